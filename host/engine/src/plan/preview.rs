//! The whole plan as it is now. Reads everything, writes nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use usher_lifecycle::account::{AccountSlot, ObservedAccount};
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::operation::OperationState;
use usher_lifecycle::plan::{AccountPlan, IdentityPlan, PlanInput, Planner, Step};
use usher_lifecycle::targets::ApplyMode;
use usher_store::{HELD_CAUSES_MAX, HeldCause, IdentityRow, OpenOperation};

use super::report::{Plan, PlanEntry, PlanHeld, PlanTotal};
use super::shown::{display_name, plan_problem, plan_step, shown_diff};
use crate::documents::{ActivePolicy, ActiveTargets};
use crate::engine::Engine;
use crate::error::EngineError;

/// Identities read at once: a few MiB.
const PAGE: u32 = 500;

/// An identity with its plan, the row taken apart.
pub(crate) struct Thought {
    pub(crate) row: IdentityRow,
    /// The open operations of each account.
    pub(crate) open: BTreeMap<AccountSlot, Vec<OpenOperation>>,
    pub(crate) accounts: Vec<(AccountSlot, ObservedAccount)>,
    /// Those that their targets were found not to have any more.
    pub(crate) missing: Vec<AccountSlot>,
    pub(crate) plan: IdentityPlan,
}

impl Thought {
    /// The key of the first source record, for people.
    pub(crate) fn key(&self) -> String {
        self.row
            .records
            .first()
            .map(|record| record.key.clone())
            .unwrap_or_default()
    }

    /// The open operations of an account.
    pub(crate) fn open(&self, slot: &AccountSlot) -> &[OpenOperation] {
        self.open.get(slot).map_or(&[], Vec::as_slice)
    }
}

impl Engine {
    /// Plans one identity. Pure but for the zone database.
    pub(crate) fn think(
        &self,
        row: IdentityRow,
        policy: &ActivePolicy,
        targets: &ActiveTargets,
        now: Timestamp,
    ) -> Thought {
        self.think_with(&mut policy.planner(), row, targets, now)
    }

    /// Plans a page of identities.
    pub(crate) fn think_of_all(
        &self,
        rows: Vec<IdentityRow>,
        policy: &ActivePolicy,
        targets: &ActiveTargets,
        now: Timestamp,
    ) -> Vec<Thought> {
        let mut planner = policy.planner();
        let think = |row| self.think_with(&mut planner, row, targets, now);
        rows.into_iter().map(think).collect()
    }

    fn think_with(
        &self,
        planner: &mut Planner,
        mut row: IdentityRow,
        targets: &ActiveTargets,
        now: Timestamp,
    ) -> Thought {
        let mut open = BTreeMap::new();
        let mut accounts = Vec::with_capacity(row.accounts.len());
        let mut missing = Vec::new();
        for account in &mut row.accounts {
            if !account.open.is_empty() {
                open.insert(account.slot.clone(), std::mem::take(&mut account.open));
            }
            if account.missing_since.is_some() {
                missing.push(account.slot.clone());
            }
            let observed = std::mem::replace(&mut account.observed, ObservedAccount::absent());
            accounts.push((account.slot.clone(), observed));
        }
        let plan = planner.plan(
            &input(&row, &accounts, &missing),
            &targets.facts,
            &self.ports.zones,
            now,
        );
        Thought {
            row,
            open,
            accounts,
            missing,
            plan,
        }
    }

    /// Plans somebody under other documents too.
    pub(crate) fn think_again(
        &self,
        thought: &Thought,
        policy: &ActivePolicy,
        targets: &ActiveTargets,
        now: Timestamp,
    ) -> IdentityPlan {
        let input = input(&thought.row, &thought.accounts, &thought.missing);
        policy
            .planner()
            .plan(&input, &targets.facts, &self.ports.zones, now)
    }

    /// The full plan at this moment. Nothing is written.
    ///
    /// # Errors
    /// No policy is active, or the store fails.
    pub async fn preview(&self) -> Result<Plan, EngineError> {
        let (policy, targets) = (self.policy().await?, self.targets().await?);
        let versions = self.ports.store.versions().await?;
        let now = self.ports.clock.now();
        let mut making = Making {
            targets: &targets,
            plan: empty(now, versions),
            hasher: Sha256::new(),
            totals: BTreeMap::new(),
            announced: BTreeMap::new(),
        };
        let held = self.ports.store.held_causes(HELD_CAUSES_MAX).await?;
        making.plan.held = held.into_iter().map(plan_held).collect();
        let mut after = None;
        loop {
            let rows = self.ports.store.identities_page(after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.reference);
            for thought in self.think_of_all(rows, &policy, &targets, now) {
                making.add(&thought);
            }
        }
        Ok(making.finish())
    }
}

fn input<'a>(
    row: &'a IdentityRow,
    accounts: &'a [(AccountSlot, ObservedAccount)],
    missing: &'a [AccountSlot],
) -> PlanInput<'a> {
    PlanInput {
        records: &row.records,
        accounts,
        recorded: row.state,
        holds: &row.holds,
        assignments: &row.assignments,
        held: &row.held,
        exceptions: &row.exceptions,
        reservations: &row.reservations,
        missing,
    }
}

fn empty(made_at: Timestamp, versions: usher_store::StoreVersions) -> Plan {
    Plan {
        made_at,
        versions,
        digest: String::new(),
        identities: 0,
        accounts: Vec::new(),
        totals: Vec::new(),
        announced: Vec::new(),
        held: Vec::new(),
        problems: Vec::new(),
    }
}

struct Making<'a> {
    targets: &'a ActiveTargets,
    plan: Plan,
    hasher: Sha256,
    totals: Totals,
    announced: Totals,
}

/// Operations by target and verb.
type Totals = BTreeMap<(TargetName, &'static str), u64>;

impl Making<'_> {
    fn add(&mut self, thought: &Thought) {
        self.plan.identities += 1;
        for problem in &thought.plan.problems {
            self.plan.problems.push(plan_problem(thought, problem));
        }
        for account in &thought.plan.accounts {
            if account.steps.is_empty() && account.notes.is_empty() && account.announced.is_none() {
                continue;
            }
            for step in &account.steps {
                self.hash(thought.row.id, &account.slot, step);
                *self
                    .totals
                    .entry((account.slot.target.clone(), step.work.verb()))
                    .or_default() += 1;
            }
            for step in account.announced.iter().flat_map(|announced| &announced.steps) {
                let total = self
                    .announced
                    .entry((account.slot.target.clone(), step.work.verb()));
                *total.or_default() += 1;
            }
            let apply = self.apply(&account.slot.target);
            let entry = entry(thought, account, apply, self.plan.made_at);
            self.plan.accounts.push(entry);
        }
    }

    fn apply(&self, target: &TargetName) -> ApplyMode {
        self.targets
            .facts
            .get(target)
            .map_or(ApplyMode::Observe, |facts| facts.apply)
    }

    fn hash(&mut self, identity: IdentityId, slot: &AccountSlot, step: &Step) {
        self.hasher.update(identity.uuid().as_bytes());
        self.hasher.update(slot.to_string());
        // A step is plain data with text keys: writing it as JSON cannot fail.
        self.hasher
            .update(serde_json::to_vec(&step.work).unwrap_or_default());
        self.hasher.update([0]);
    }

    fn plan_totals(&self, totals: &Totals) -> Vec<PlanTotal> {
        let totals = totals.iter().map(|((target, verb), operations)| PlanTotal {
            target: target.clone(),
            verb: (*verb).to_owned(),
            operations: *operations,
            apply: self.apply(target),
        });
        totals.collect()
    }

    fn finish(mut self) -> Plan {
        self.plan.totals = self.plan_totals(&self.totals);
        self.plan.announced = self.plan_totals(&self.announced);
        self.plan.digest = hex(&self.hasher.finalize());
        self.plan
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing into a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn entry(thought: &Thought, account: &AccountPlan, apply: ApplyMode, now: Timestamp) -> PlanEntry {
    let open = thought.open(&account.slot);
    let (held, later) = waiting(open, &account.steps, now);
    let mut notes: Vec<String> = account.notes.iter().map(ToString::to_string).collect();
    notes.extend(
        open.iter()
            .filter(|operation| operation.state == OperationState::Held)
            .map(|operation| {
                let why = operation.message.as_deref().unwrap_or("no reason given");
                format!("{} is held: {why}", operation.work.verb())
            }),
    );
    let announced = account.announced.as_ref();
    PlanEntry {
        announced: announced
            .iter()
            .flat_map(|one| &one.steps)
            .map(plan_step)
            .collect(),
        announced_because: announced.map(|one| one.because.clone()).unwrap_or_default(),
        identity: thought.row.id,
        key: thought.key(),
        name: display_name(&thought.plan.attributes),
        identity_state: thought.plan.state.state,
        slot: account.slot.clone(),
        state: account.observed_state,
        desired: account.desired.as_ref().map(|desired| desired.kind()),
        apply,
        steps: account.steps.iter().map(plan_step).collect(),
        diff: account.diff.iter().map(shown_diff).collect(),
        queued: open.len() as u64,
        held,
        later,
        notes,
    }
}

fn plan_held(cause: HeldCause) -> PlanHeld {
    PlanHeld {
        id: cause.id,
        target: cause.target,
        verb: cause.counted.verb().to_owned(),
        operations: cause.operations,
        why: cause.why,
    }
}

/// What is only announced of an account, as a note: what would be done, and why it is not.
pub(crate) fn announced_note(account: &AccountPlan) -> Option<String> {
    let announced = account.announced.as_ref()?;
    let steps: Vec<&str> = announced
        .steps
        .iter()
        .filter_map(|step| step.cause.links().last())
        .map(String::as_str)
        .collect();
    let mut notes: Vec<String> = announced.notes.iter().map(ToString::to_string).collect();
    if !steps.is_empty() {
        notes.insert(0, steps.join(", "));
    }
    Some(format!(
        "only announced ({}): {}",
        announced.because.join("; "),
        notes.join("; ")
    ))
}

/// How many of the steps wait for a person, and how many for their time. The queue keeps operations for as long as they are the
/// steps wanted, and the operations of an account run one after the other: one that waits makes all behind it wait.
fn waiting(open: &[OpenOperation], steps: &[Step], now: Timestamp) -> (u64, u64) {
    let kept = || {
        open.iter()
            .zip(steps)
            .take_while(|(queued, step)| queued.work == step.work)
            .map(|(queued, _)| queued)
    };
    let from = |place: Option<usize>| place.map_or(0, |place| (steps.len() - place) as u64);
    let held = from(kept().position(|queued| queued.state == OperationState::Held));
    let later = from(kept().position(|queued| queued.due_at > now));
    (held, later.saturating_sub(held))
}

#[cfg(test)]
mod tests {
    use usher_lifecycle::cause::Cause;
    use usher_lifecycle::ids::OperationId;
    use usher_lifecycle::operation::{Priority, Work};

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn queued(work: Work, state: OperationState, due_in_s: i64) -> OpenOperation {
        OpenOperation {
            id: OperationId::new(uuid::Uuid::nil()),
            work,
            state,
            priority: Priority::Change,
            attempts: 1,
            settle: false,
            due_at: NOW + jiff::SignedDuration::from_secs(due_in_s),
            message: None,
            cause: Cause::new("role employee"),
        }
    }

    #[test]
    fn what_stands_behind_a_held_or_later_operation_waits_with_it() {
        let step = |work| Step {
            work,
            priority: Priority::Change,
            cause: Cause::new("role employee"),
        };
        let steps = [step(Work::Enable), step(Work::Read), step(Work::Disable)];
        let ready = || queued(Work::Enable, OperationState::Ready, 0);
        let of = |open: &[OpenOperation]| waiting(open, &steps, NOW);
        assert_eq!(of(&[]), (0, 0));
        assert_eq!(of(&[ready()]), (0, 0));
        assert_eq!(of(&[queued(Work::Enable, OperationState::Held, 0)]), (3, 0));
        assert_eq!(of(&[queued(Work::Enable, OperationState::Ready, 9)]), (0, 3));
        assert_eq!(
            of(&[ready(), queued(Work::Read, OperationState::Held, 0)]),
            (2, 0)
        );
        let both = [
            queued(Work::Enable, OperationState::Ready, 9),
            queued(Work::Read, OperationState::Held, 0),
        ];
        assert_eq!(of(&both), (2, 1));
        // What is not wanted any more is superseded, whatever it waits for.
        assert_eq!(of(&[queued(Work::Delete, OperationState::Held, 0)]), (0, 0));
    }
}
