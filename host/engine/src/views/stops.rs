//! How far the stopping of a person's access is: every account of somebody under a security hold, and what disabling it does not end.

use jiff::Timestamp;
use serde::Serialize;
use usher_lifecycle::account::{AccountSlot, AccountState};
use usher_lifecycle::cause::Actor;
use usher_lifecycle::diff::Note;
use usher_lifecycle::facts::HoldKind;
use usher_lifecycle::ids::{IdentityId, OperationId};
use usher_lifecycle::operation::{OperationState, Work};
use usher_lifecycle::plan::AccountPlan;
use usher_lifecycle::targets::ApplyMode;
use usher_store::{FactId, Freeze, OpenOperation, PersonalFact, StoredFact};

use crate::documents::ActiveTargets;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::plan::{Thought, display_name};

/// Most people listed whose access is not at its end.
const UNFINISHED_LISTED: u32 = 50;

/// What goes on after an account is disabled. No connector can end it yet: the contract has no sessions.
pub const LIVES_ON: &str = "sessions already open, API tokens, app passwords and SSH keys of this account may work until they expire: its connector cannot end them";

/// A person whose access is to end now, and how far that is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StopView {
    /// Whose access.
    pub identity: IdentityId,
    /// The key of their first source record.
    pub key: String,
    /// What people call them.
    pub name: Option<String>,
    /// The moment this view is of.
    pub at: Timestamp,
    /// The security hold, which ends the stopping when it is ended.
    pub hold: StopHold,
    /// Accounts, those that are not at their end first.
    pub accounts: Vec<StopAccount>,
    /// Nothing is left to wait for, and nobody has to do anything.
    pub ended: bool,
    /// Why security holds wait too, if everything is frozen.
    pub frozen: Option<Freeze>,
}

/// The security hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StopHold {
    /// By this it can be ended.
    pub id: FactId,
    /// Who set it.
    pub by: Actor,
    /// Since when it is in force.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
}

/// One account of somebody whose access is to end.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StopAccount {
    /// Which.
    pub slot: AccountSlot,
    /// Whether other operations of its target run; `None` where the target is not in the document any more.
    pub apply: Option<ApplyMode>,
    /// What is known of it.
    pub state: AccountState,
    /// How far it is.
    pub progress: StopProgress,
    /// What goes on although it is disabled; nothing where there is no account.
    pub lives_on: Option<String>,
}

/// How far the end of access to one account is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum StopProgress {
    /// It cannot be signed in with.
    Disabled,
    /// There is none.
    Absent,
    /// To be planned.
    Due,
    /// To be done.
    Queued,
    /// Being done.
    UnderWay,
    /// Something else is under way on this account, and is cut short if it takes long.
    InTheWay {
        /// What.
        verb: String,
    },
    /// To be tried again.
    Again {
        /// Attempts so far.
        attempts: u32,
        /// When.
        at: Timestamp,
        /// What the last one said.
        why: String,
    },
    /// A person must decide.
    Held {
        /// By this the operation is let run again.
        operation: OperationId,
        /// Why.
        why: String,
    },
    /// Its target cannot do it: it must be done there by hand.
    Blocked {
        /// Why.
        why: String,
    },
    /// It is never touched.
    Protected {
        /// Why.
        why: String,
    },
}

impl StopProgress {
    /// Access has ended here.
    pub const fn has_ended(&self) -> bool {
        match self {
            Self::Disabled | Self::Absent => true,
            Self::Due
            | Self::Queued
            | Self::UnderWay
            | Self::InTheWay { .. }
            | Self::Again { .. }
            | Self::Held { .. }
            | Self::Blocked { .. }
            | Self::Protected { .. } => false,
        }
    }

    /// It goes on by itself.
    pub const fn goes_on(&self) -> bool {
        match self {
            Self::Due | Self::Queued | Self::UnderWay | Self::InTheWay { .. } | Self::Again { .. } => true,
            Self::Disabled
            | Self::Absent
            | Self::Held { .. }
            | Self::Blocked { .. }
            | Self::Protected { .. } => false,
        }
    }
}

impl StopView {
    /// Something goes on by itself and may be waited for.
    pub fn goes_on(&self) -> bool {
        self.accounts.iter().any(|account| account.progress.goes_on())
    }
}

impl Engine {
    /// How far the stopping of a person's access is; `None` where no security hold is in force.
    ///
    /// # Errors
    /// There is no such person, no policy is active, or the store fails.
    pub async fn stop_of(&self, key: &str) -> Result<Option<StopView>, EngineError> {
        let (policy, targets) = (self.policy().await?, self.targets().await?);
        let row = self.ports.store.identity(key).await?;
        let at = self.ports.clock.now();
        let set = self.ports.store.personal_facts(row.id).await?;
        let Some(hold) = hold_in_force(&set, at) else {
            return Ok(None);
        };
        let frozen = self.ports.store.frozen().await?.filter(|freeze| freeze.all);
        let thought = self.think(row, &policy, &targets, at);
        let mut accounts: Vec<StopAccount> = thought
            .plan
            .accounts
            .iter()
            .map(|account| stop_account(&thought, account, &targets, at))
            .collect();
        accounts.sort_by_key(|account| account.progress.has_ended());
        Ok(Some(StopView {
            identity: thought.row.id,
            key: thought.key(),
            name: display_name(&thought.plan.attributes),
            at,
            hold,
            ended: accounts.iter().all(|account| account.progress.has_ended()),
            accounts,
            frozen,
        }))
    }

    /// People under a security hold who still have access, at most 50; those with nothing left but protected accounts are not among them.
    ///
    /// # Errors
    /// The store fails.
    pub async fn unfinished_stops(&self) -> Result<Vec<StopView>, EngineError> {
        if self.policy_if_any().await?.is_none() {
            return Ok(Vec::new());
        }
        let now = self.ports.clock.now();
        let mut unfinished = Vec::new();
        for identity in self.ports.store.not_stopped(now, UNFINISHED_LISTED).await? {
            let view = self.stop_of(&identity.to_string()).await?;
            unfinished.extend(view.filter(|view| {
                let protected =
                    |account: &StopAccount| matches!(account.progress, StopProgress::Protected { .. });
                let mut left = view
                    .accounts
                    .iter()
                    .filter(|account| !account.progress.has_ended());
                left.any(|account| !protected(account))
            }));
        }
        Ok(unfinished)
    }
}

/// The security hold in force, the oldest first.
pub(crate) fn hold_in_force(set: &[StoredFact], now: Timestamp) -> Option<StopHold> {
    set.iter()
        .filter(|fact| fact.ended.is_none())
        .find_map(|fact| match &fact.fact {
            PersonalFact::Hold(hold) if hold.kind == HoldKind::Security && hold.in_force(now) => {
                Some(StopHold {
                    id: fact.id,
                    by: fact.by.clone(),
                    since: hold.from,
                    reason: hold.reason.clone(),
                })
            }
            PersonalFact::Hold(_) | PersonalFact::Assignment(_) | PersonalFact::Exception(_) => None,
        })
}

fn stop_account(
    thought: &Thought,
    account: &AccountPlan,
    targets: &ActiveTargets,
    now: Timestamp,
) -> StopAccount {
    let facts = targets.facts.get(&account.slot.target);
    let progress = progress(account, thought.open(&account.slot), now);
    StopAccount {
        slot: account.slot.clone(),
        apply: facts.map(|facts| facts.apply),
        state: account.observed_state,
        lives_on: (progress != StopProgress::Absent).then(|| LIVES_ON.to_owned()),
        progress,
    }
}

fn progress(account: &AccountPlan, open: &[OpenOperation], now: Timestamp) -> StopProgress {
    if let Some(ended) = noted(account) {
        return ended;
    }
    let front = open.first();
    // What gives access, or is to tell whether it was given, is no end.
    let made =
        front.is_some_and(|front| matches!(front.work, Work::Create { .. } | Work::Enable | Work::Read));
    match (account.observed_state, front) {
        (AccountState::Absent, Some(front)) if made => of_operation(front, now),
        (AccountState::Disabled, Some(front)) if made => of_operation(front, now),
        (AccountState::Absent, _) => StopProgress::Absent,
        (AccountState::Disabled, _) => StopProgress::Disabled,
        (AccountState::Enabled | AccountState::Unknown, None) => StopProgress::Due,
        (AccountState::Enabled | AccountState::Unknown, Some(front)) => of_operation(front, now),
    }
}

/// What the plan says of an account that nothing is done to.
fn noted(account: &AccountPlan) -> Option<StopProgress> {
    if account.observed_state == AccountState::Absent {
        return None;
    }
    account.notes.iter().find_map(|note| match note {
        Note::Protected { reason } => Some(StopProgress::Protected { why: reason.clone() }),
        Note::Blocked { reason } | Note::LeftAlone { reason }
            if account.observed_state != AccountState::Disabled =>
        {
            Some(StopProgress::Blocked { why: reason.clone() })
        }
        Note::Blocked { .. }
        | Note::LeftAlone { .. }
        | Note::Waits { .. }
        | Note::NotChangeable { .. }
        | Note::KeepsAnotherValue { .. } => None,
    })
}

fn of_operation(front: &OpenOperation, now: Timestamp) -> StopProgress {
    let why = || front.message.clone().unwrap_or_default();
    let stops = matches!(front.work, Work::Disable | Work::Delete | Work::Read);
    match front.state {
        OperationState::Held => StopProgress::Held {
            operation: front.id,
            why: why(),
        },
        OperationState::Claimed if stops => StopProgress::UnderWay,
        OperationState::Claimed => StopProgress::InTheWay {
            verb: front.work.verb().to_owned(),
        },
        OperationState::Waiting | OperationState::Ready if !stops && !front.settle => StopProgress::Due,
        OperationState::Waiting | OperationState::Ready
            if front.due_at > now || front.attempts > 0 || front.message.is_some() =>
        {
            StopProgress::Again {
                attempts: front.attempts,
                at: front.due_at,
                why: why(),
            }
        }
        OperationState::Waiting | OperationState::Ready => StopProgress::Queued,
        OperationState::Done | OperationState::Failed | OperationState::Superseded => StopProgress::Due,
    }
}
