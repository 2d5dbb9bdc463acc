//! The full plan of many people through the store, three targets and forty roles: nothing changed, one in a hundred changed, and one person's change
//! among them. Beside the bare reading of the store, and the same plan without tables.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use usher_engine::import::ImportRequest;
use usher_engine::ports::Clock as _;
use usher_engine::{Engine, NoProgress};
use usher_lifecycle::account::{AccountSlot, AccountState, DesiredAccount, ObservedAccount, Written};
use usher_lifecycle::cause::Actor;
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::name::{Name, TargetName};
use usher_lifecycle::operation::{Priority, Work};
use usher_lifecycle::plan::{IdentityPlan, PlanInput, Planner, TargetFacts, plan_identity};
use usher_lifecycle::policy::{self, Policy};
use usher_store::{
    Claim, Decision, Identities as _, IdentityRow, NewOperation, Operations as _, Outcome, Planned,
    Planning as _, Randomness as _, SqlStore, TargetClaim,
};

use crate::database::{Bed, Database};
use crate::measure::{Samples, Stretch, forget_peak_memory, peak_memory_mib, stretch};
use crate::plan_world::{ROLES, TARGETS, policy_text, targets};
use crate::queue::context;
use crate::report::Table;
use crate::world::{Counted, WallClock};
use crate::{people, world};

/// People, in a store of their own each.
const PEOPLE: [usize; 2] = [10_000, 1_000_000];
/// One person in so many is changed.
const ONE_IN: usize = 100;
/// People read at once.
const PAGE: u32 = 500;
/// Single changes measured.
const SINGLE: usize = 1_000;
/// Operations of one target claimed and recorded at once while the accounts are made.
const CLAIMED: u32 = 170;

/// Runs the bench and gives its table.
pub(crate) async fn run(database: Database) -> anyhow::Result<Table> {
    let mut table = Table::new(
        &format!(
            "plan: {} targets, {ROLES} roles, pages of {PAGE}, {}",
            TARGETS.len(),
            database.title()
        ),
        &[
            "people",
            "what",
            "seconds",
            "CPU µs/person",
            "÷ reading alone",
            "peak memory MiB",
        ],
    );
    for people in PEOPLE {
        measure(database, people, &mut table).await?;
    }
    Ok(table)
}

async fn measure(database: Database, people: usize, table: &mut Table) -> anyhow::Result<()> {
    let bed = Bed::new(database).await?;
    let engine = world::engine(bed.store.clone(), &[]).await?;
    let text = policy_text();
    engine.activate_policy("policy.toml", &text, Actor::Usher).await?;
    let policy = policy::parse("policy.toml", &text).map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let under = Under {
        policy: Arc::new(policy),
        targets: targets()?,
        zones: TimeZoneDatabase::bundled(),
    };
    import(&engine, &people::csv(people, None)).await?;
    furnish(&bed.store, &under).await?;

    let mut reading = None;
    let mut planner = Planner::new(Arc::clone(&under.policy));
    for (what, how, wanted) in [
        ("reading alone", How::Read, 0),
        ("nothing changed", How::Tables, 0),
        ("nothing changed, without tables", How::Plain, 0),
    ] {
        let found = pass(
            &bed.store,
            &under,
            &mut planner,
            how,
            people,
            what,
            &mut reading,
            table,
        )
        .await?;
        anyhow::ensure!(found == wanted, "{what}: {found} people have something to do");
    }
    import(&engine, &moved(&people::csv(people, None))).await?;
    let what = format!("one in {ONE_IN} changed");
    let found = pass(
        &bed.store,
        &under,
        &mut planner,
        How::Tables,
        people,
        &what,
        &mut reading,
        table,
    )
    .await?;
    anyhow::ensure!(
        found == people / ONE_IN,
        "{what}: {found} people have something to do"
    );
    single_changes(&bed.store, &under, &mut planner, people, table).await
}

/// What people are planned under.
struct Under {
    policy: Arc<Policy>,
    targets: BTreeMap<TargetName, TargetFacts>,
    zones: TimeZoneDatabase,
}

#[derive(Clone, Copy)]
enum How {
    Read,
    Tables,
    Plain,
}

/// Reads everybody, plans them, and says how many have something to do.
#[expect(clippy::too_many_arguments, reason = "a bench in one place")]
async fn pass(
    store: &Arc<SqlStore>,
    under: &Under,
    planner: &mut Planner,
    how: How,
    people: usize,
    what: &str,
    reading: &mut Option<f64>,
    table: &mut Table,
) -> anyhow::Result<usize> {
    forget_peak_memory();
    let now = WallClock.now();
    let (mut seen, mut found) = (0, 0);
    let mut after = None;
    let end = stretch();
    loop {
        let rows = store.identities_page(after, PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.reference);
        seen += rows.len();
        for row in rows {
            let plan = match how {
                How::Read => continue,
                How::Tables => under.plan(Some(&mut *planner), &row, now),
                How::Plain => under.plan(None, &row, now),
            };
            found += usize::from(plan.accounts.iter().any(|account| !account.steps.is_empty()));
        }
    }
    let Stretch { wall, cpu } = end();
    anyhow::ensure!(seen == people, "{seen} people were read, not {people}");
    let seconds = wall.as_secs_f64();
    let base = *reading.get_or_insert(seconds);
    table.row(&[
        people.to_string(),
        what.to_owned(),
        format!("{seconds:.2}"),
        format!("{:.1}", cpu.as_secs_f64() * 1e6 / people as f64),
        format!("{:.2}x", seconds / base),
        format!("{:.0}", peak_memory_mib()),
    ]);
    Ok(found)
}

/// One changed person after the other is read, planned and recorded, as the planner does it.
async fn single_changes(
    store: &Arc<SqlStore>,
    under: &Under,
    planner: &mut Planner,
    people: usize,
    table: &mut Table,
) -> anyhow::Result<()> {
    let versions = store.versions().await?;
    let count = SINGLE.min(people / ONE_IN);
    let mut samples = Samples::new(count);
    for _ in 0..count {
        let began = Instant::now();
        let now = WallClock.now();
        let rows = store.due(now, 1).await?;
        let row = rows.first().ok_or_else(|| anyhow::anyhow!("nobody is due"))?;
        let plan = under.plan(Some(&mut *planner), row, now);
        // The operations themselves cost the same however many people there are.
        let commit = store
            .commit_plan(&[decided(row, &plan, Vec::new())], versions, &context())
            .await?;
        samples.add(began);
        anyhow::ensure!(commit.planned == 1, "the plan was not recorded");
    }
    table.note(format!(
        "One person's change among {people}, read, planned and recorded durably: p50 {:.0} µs, p99 {:.0} µs.",
        samples.percentile_us(500),
        samples.percentile_us(990)
    ));
    Ok(())
}

impl Under {
    fn plan(&self, planner: Option<&mut Planner>, row: &IdentityRow, now: Timestamp) -> IdentityPlan {
        let accounts: Vec<(AccountSlot, ObservedAccount)> = row
            .accounts
            .iter()
            .map(|account| (account.slot.clone(), account.observed.clone()))
            .collect();
        let input = PlanInput {
            records: &row.records,
            accounts: &accounts,
            recorded: row.state,
            assignments: &row.assignments,
            held: &row.held,
            exceptions: &row.exceptions,
            reservations: &row.reservations,
            holds: &row.holds,
            missing: &[],
        };
        match planner {
            Some(planner) => planner.plan(&input, &self.targets, &self.zones, now),
            None => plan_identity(&input, &self.policy, &self.targets, &self.zones, now),
        }
    }
}

fn decided(row: &IdentityRow, plan: &IdentityPlan, operations: Vec<NewOperation>) -> Planned {
    Planned {
        reference: row.reference,
        facts_version: row.facts_version,
        state: plan.state.state,
        state_cause: plan.state_cause.clone(),
        next_change_at: plan.next_change,
        held: plan.held.clone(),
        superseded: Vec::new(),
        replan: false,
        in_the_way: Vec::new(),
        operations,
    }
}

/// Everybody gets the accounts they should have, as if targets had made them.
async fn furnish(store: &Arc<SqlStore>, under: &Under) -> anyhow::Result<()> {
    let random = Counted::default();
    let claim = Claim {
        targets: TARGETS
            .iter()
            .map(|target| {
                Ok(TargetClaim {
                    target: target.parse()?,
                    limit: CLAIMED,
                })
            })
            .collect::<anyhow::Result<_>>()?,
        ..Claim::default()
    };
    let mut planner = Planner::new(Arc::clone(&under.policy));
    let versions = store.versions().await?;
    loop {
        let now = WallClock.now();
        let due = store.due(now, PAGE).await?;
        if due.is_empty() {
            return Ok(());
        }
        let mut made: HashMap<OperationId, ObservedAccount> = HashMap::new();
        let mut planned = Vec::with_capacity(due.len());
        for row in &due {
            let plan = under.plan(Some(&mut planner), row, now);
            let mut operations = Vec::new();
            for account in &plan.accounts {
                let Some(DesiredAccount::Enabled {
                    attributes,
                    entitlements,
                }) = &account.desired
                else {
                    continue;
                };
                let mut bytes = [0; 10];
                random.fill(&mut bytes);
                let id = OperationId::from_parts(now, &bytes);
                let observed = ObservedAccount {
                    state: AccountState::Enabled,
                    external_id: Some(id.to_string()),
                    attributes: attributes.clone(),
                    entitlements: entitlements.clone(),
                    version: None,
                    written: Some(Written::of(attributes, attributes)),
                };
                made.insert(id, observed);
                operations.push(NewOperation {
                    id,
                    slot: account.slot.clone(),
                    work: Work::Create {
                        attributes: attributes.clone(),
                    },
                    priority: Priority::Onboarding,
                    due_at: now,
                    cause: account.cause.clone(),
                    budgeted: false,
                });
            }
            planned.push(decided(row, &plan, operations));
        }
        store.commit_plan(&planned, versions, &context()).await?;
        let mut done: Vec<Outcome> = Vec::new();
        loop {
            let next = store.record_and_claim(&[], &done, &claim, &context()).await?;
            if next.claimed.is_empty() {
                break;
            }
            let outcome = |operation: usher_store::ClaimedOperation| Outcome {
                number: operation.number,
                attempt: operation.attempt,
                decision: Decision::Done,
                observed: made.remove(&operation.id),
                dirty: false,
                message: "created".into(),
            };
            done = next.claimed.into_iter().map(outcome).collect();
        }
        anyhow::ensure!(made.is_empty(), "{} accounts were not made", made.len());
    }
}

async fn import(engine: &Engine, file: &str) -> anyhow::Result<()> {
    let source: Name = "hr".parse()?;
    let request = ImportRequest {
        source: &source,
        origin: "people.csv",
        bytes: file.as_bytes(),
        override_guards: false,
        actor: Actor::Usher,
    };
    let report = engine.import(request, &NoProgress).await?;
    anyhow::ensure!(report.refused.is_none(), "the file was not taken: {report:?}");
    Ok(())
}

/// The file with one person in a hundred in another department.
fn moved(file: &str) -> String {
    let mut text = String::with_capacity(file.len());
    for (n, line) in file.lines().enumerate() {
        // The header is line 0.
        if n % ONE_IN == 1 {
            let mut fields: Vec<&str> = line.split(',').collect();
            if let Some(department) = fields.get_mut(4) {
                *department = "Moved";
            }
            text.push_str(&fields.join(","));
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}
