//! A queue of creations, made without the engine's planner: what the bare store loop works off.

use std::sync::Arc;

use usher_engine::import::ImportRequest;
use usher_engine::ports::Clock as _;
use usher_engine::{Engine, NoProgress};
use usher_lifecycle::account::{AccountSlot, AccountState};
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::cause::{Actor, Cause};
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::name::Name;
use usher_lifecycle::operation::{Priority, Work};
use usher_lifecycle::state::IdentityState;
use usher_store::{
    Claim, ClaimedOperation, Context, Decision, FactsStore as _, Identities as _, NewOperation, Outcome,
    Planned, Planning as _, Randomness as _, SqlStore, TargetClaim,
};

use crate::world::{Counted, WallClock};
use crate::{people, world};

/// How many are claimed and recorded at a time.
pub(crate) const BATCH: u32 = 64;

/// Names of targets.
pub(crate) const TARGETS: [&str; 8] = [
    "noop", "noop-2", "noop-3", "noop-4", "noop-5", "noop-6", "noop-7", "noop-8",
];

pub(crate) fn context() -> Context {
    Context {
        actor: Actor::Usher,
        at: WallClock.now(),
    }
}

/// So many people, imported.
pub(crate) async fn import(engine: &Engine, people: usize) -> anyhow::Result<()> {
    let source: Name = "hr".parse()?;
    let file = people::csv(people, None);
    let request = ImportRequest {
        source: &source,
        origin: "people.csv",
        bytes: file.as_bytes(),
        override_guards: false,
        actor: Actor::Usher,
    };
    engine.import(request, &NoProgress).await?;
    Ok(())
}

/// Puts one creation for each person and target into the queue.
pub(crate) async fn fill(store: &Arc<SqlStore>, people: usize, targets: &[&str]) -> anyhow::Result<()> {
    let engine = world::engine(store.clone(), &[]).await?;
    engine
        .activate_policy("policy.toml", &people::policy(&[]), Actor::Usher)
        .await?;
    import(&engine, people).await?;
    anyhow::ensure!(store.absorb(1).await? == 0, "the import is not absorbed");
    let slots: Vec<AccountSlot> = targets
        .iter()
        .map(|target| {
            Ok(AccountSlot {
                target: target.parse()?,
                kind: Name::primary(),
            })
        })
        .collect::<anyhow::Result<_>>()?;
    let versions = store.versions().await?;
    let random = Counted::default();
    loop {
        let at = WallClock.now();
        let due = store.due(at, BATCH * 4).await?;
        if due.is_empty() {
            return Ok(());
        }
        let planned: Vec<Planned> = due
            .into_iter()
            .map(|identity| {
                let records = identity.records.into_iter();
                let attributes = records.map(|record| record.attributes).next().unwrap_or_default();
                Planned {
                    reference: identity.reference,
                    facts_version: identity.facts_version,
                    state: IdentityState::Active,
                    state_cause: Cause::new("bench"),
                    next_change_at: None,
                    held: Vec::new(),
                    superseded: vec![],
                    replan: false,
                    in_the_way: Vec::new(),
                    operations: slots
                        .iter()
                        .map(|slot| create(slot, &attributes, at, &random))
                        .collect(),
                }
            })
            .collect();
        store.commit_plan(&planned, versions, &context()).await?;
    }
}

fn create(
    slot: &AccountSlot,
    attributes: &Attributes,
    at: jiff::Timestamp,
    random: &Counted,
) -> NewOperation {
    let mut bytes = [0; 10];
    random.fill(&mut bytes);
    NewOperation {
        id: OperationId::from_parts(at, &bytes),
        slot: slot.clone(),
        work: Work::Create {
            attributes: attributes.clone(),
        },
        priority: Priority::Onboarding,
        due_at: at,
        cause: Cause::new("bench"),
        budgeted: false,
    }
}

/// A claim of a whole batch over these targets.
pub(crate) fn claim(targets: &[&str]) -> anyhow::Result<Claim> {
    let share = BATCH / u32::try_from(targets.len())?;
    let targets = targets.iter().map(|target| {
        Ok(TargetClaim {
            target: target.parse()?,
            limit: share,
        })
    });
    Ok(Claim {
        targets: targets.collect::<anyhow::Result<_>>()?,
        ..Claim::default()
    })
}

/// What a target that does nothing would have answered.
pub(crate) fn created(operation: ClaimedOperation) -> Outcome {
    let mut observed = operation.observed;
    observed.state = AccountState::Enabled;
    observed.external_id = Some(operation.id.to_string());
    if let Work::Create { attributes } = operation.work {
        observed.attributes = attributes;
    }
    Outcome {
        number: operation.number,
        attempt: operation.attempt,
        decision: Decision::Done,
        observed: Some(observed),
        dirty: false,
        message: "created".into(),
    }
}
