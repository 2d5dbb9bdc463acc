//! Durable operations from end to end with a connector that does nothing, beside the bare store loop.

use std::time::Duration;

use usher_engine::import::ImportRequest;
use usher_engine::run::{ApplyRequest, Stop};
use usher_engine::{NoProgress, Phase};
use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::cause::{Actor, Cause};
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::name::Name;
use usher_lifecycle::operation::{Priority, Work};
use usher_lifecycle::state::IdentityState;
use usher_store::{
    Claim, Context, Decision, Documents as _, FactsStore as _, Identities as _, NewOperation,
    Operations as _, Outcome, Planned, Planning as _, Randomness as _, SqliteStore, TargetClaim,
};

use crate::measure::{Stretch, peak_memory_mib, stretch};
use crate::phases::Phases;
use crate::report::Table;
use crate::world::{Counted, WallClock};
use crate::{noop, people, world};
use usher_engine::ports::Clock as _;

/// Accounts to create.
const ACCOUNTS: usize = 20_000;

/// How many the bare loop claims and records at a time.
const FLOOR_BATCH: u32 = 64;

/// The bare loop: claim 64, do nothing, record 64, in one commit each time.
pub(crate) async fn floor() -> anyhow::Result<Table> {
    let folder = tempfile::tempdir()?;
    let store = world::store(&folder.path().join("data")).await?;
    prepare(&store).await?;
    let target: Name = "noop".parse()?;
    let end = stretch();
    let mut done: Vec<Outcome> = Vec::new();
    let mut recorded = 0;
    loop {
        let claim = Claim {
            targets: vec![TargetClaim {
                target: target.clone(),
                limit: FLOOR_BATCH,
            }],
        };
        let (claimed, refused) = store.record_and_claim(&[], &done, &claim, &context()).await?;
        anyhow::ensure!(refused.is_empty(), "an outcome was fenced off");
        recorded += done.len();
        if claimed.is_empty() {
            break;
        }
        done = claimed
            .into_iter()
            .map(|operation| {
                let mut observed = operation.observed;
                observed.state = usher_lifecycle::account::AccountState::Enabled;
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
            })
            .collect();
    }
    anyhow::ensure!(recorded == ACCOUNTS, "recorded {recorded} of {ACCOUNTS}");
    Ok(table("bare store loop: claim 64, record 64, one commit", &end()))
}

/// The whole way: the engine, the sandbox, the store.
pub(crate) async fn end_to_end() -> anyhow::Result<Table> {
    let folder = tempfile::tempdir()?;
    let store = world::store(&folder.path().join("data")).await?;
    store
        .add_artifact("noop", "0.1.0", &noop::component(), &context())
        .await?;
    let engine = world::engine(store, &["noop"]).await?;
    engine
        .activate_policy("policy.toml", &people::policy(&["noop"]), Actor::Usher)
        .await?;
    engine
        .activate_targets("targets.toml", &noop::targets_document(&["noop"]), Actor::Usher)
        .await?;
    import(&engine).await?;
    let phases = Phases::default();
    let end = stretch();
    let request = ApplyRequest {
        expect: None,
        wait_ms: 0,
        stop: Stop::never(),
        actor: Actor::Usher,
    };
    let report = engine.apply(request, &phases).await?;
    let whole = end();
    anyhow::ensure!(
        report.done() == ACCOUNTS as u64,
        "not everything was done: {report:?}"
    );
    let running = phases.took(Phase::Running);
    let mut table = table("end to end, planning included", &whole);
    table.note(format!(
        "planning {:.2} s, running {:.2} s: {:.0} operations/s while running",
        phases.took(Phase::Planning).as_secs_f64(),
        running.as_secs_f64(),
        per_second(running)
    ));
    Ok(table)
}

fn table(name: &str, stretch: &Stretch) -> Table {
    let mut table = Table::new(
        &format!("operations: {ACCOUNTS} creates, SQLite synchronous=FULL"),
        &["way", "operations/s", "CPU µs/operation", "peak memory MiB"],
    );
    table.row(&[
        name.into(),
        format!("{:.0}", per_second(stretch.wall)),
        format!("{:.0}", stretch.cpu.as_secs_f64() * 1e6 / ACCOUNTS as f64),
        format!("{:.0}", peak_memory_mib()),
    ]);
    table
}

fn per_second(wall: Duration) -> f64 {
    ACCOUNTS as f64 / wall.as_secs_f64().max(1e-9)
}

fn context() -> Context {
    Context {
        actor: Actor::Usher,
        at: WallClock.now(),
    }
}

async fn import(engine: &usher_engine::Engine) -> anyhow::Result<()> {
    let source: Name = "hr".parse()?;
    let file = people::csv(ACCOUNTS, None);
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

/// Puts one create for each of [`ACCOUNTS`] people into the queue without the engine's planner.
async fn prepare(store: &std::sync::Arc<SqliteStore>) -> anyhow::Result<()> {
    let engine = world::engine(store.clone(), &[]).await?;
    engine
        .activate_policy("policy.toml", &people::policy(&[]), Actor::Usher)
        .await?;
    import(&engine).await?;
    anyhow::ensure!(store.absorb(1).await? == 0, "the import is not absorbed");
    let slot = AccountSlot {
        target: "noop".parse()?,
        kind: Name::primary(),
    };
    let versions = store.versions().await?;
    let random = Counted::default();
    loop {
        let at = WallClock.now();
        let due = store.due(at, versions, 256).await?;
        if due.is_empty() {
            return Ok(());
        }
        let planned: Vec<Planned> = due
            .into_iter()
            .map(|identity| {
                let mut bytes = [0; 10];
                random.fill(&mut bytes);
                let attributes: Attributes = identity
                    .records
                    .into_iter()
                    .next()
                    .map(|r| r.attributes)
                    .unwrap_or_default();
                Planned {
                    reference: identity.reference,
                    facts_version: identity.facts_version,
                    state: IdentityState::Active,
                    state_cause: Cause::new("bench"),
                    next_change_at: None,
                    superseded: vec![],
                    operations: vec![NewOperation {
                        id: OperationId::from_parts(at, &bytes),
                        slot: slot.clone(),
                        work: Work::Create { attributes },
                        priority: Priority::Onboarding,
                        due_at: at,
                        cause: Cause::new("bench"),
                    }],
                }
            })
            .collect();
        store.commit_plan(&planned, versions, &context()).await?;
    }
}
