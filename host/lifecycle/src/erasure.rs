//! Whether what is personal about an identity may be erased.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::account::{AccountSlot, AccountState, ObservedAccount};
use crate::facts::Hold;
use crate::state::{IdentityState, hold_at, hold_phrase};

/// What forbids to erase an identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "blocked")]
pub enum Blocked {
    /// It has not departed: only then nothing is to be done for it any more.
    NotDeparted {
        /// Where it is.
        state: IdentityState,
    },
    /// A hold is in force: what happened may still matter.
    OnHold {
        /// The hold, as causes say it.
        hold: String,
    },
    /// An account is still there, or may be: without its link nobody would ever find it again.
    Account {
        /// Which.
        slot: AccountSlot,
        /// What is known of it.
        state: AccountState,
    },
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDeparted { state } => {
                write!(f, "the person is {state}; only who has departed may be erased")
            }
            Self::OnHold { hold } => write!(f, "a hold is in force: {hold}"),
            Self::Account {
                slot,
                state: AccountState::Unknown,
            } => write!(
                f,
                "{slot}: whether there is an account is not known; it must be read first"
            ),
            Self::Account { slot, state } => write!(f, "{slot}: there is still an account, {state}"),
        }
    }
}

/// Whether an identity may be erased. One that is erased already stays so: erasing it again is right and does nothing.
///
/// # Errors
/// Everything that forbids it.
pub fn erasable(
    state: IdentityState,
    accounts: &[(AccountSlot, ObservedAccount)],
    holds: &[Hold],
    now: Timestamp,
) -> Result<(), Vec<Blocked>> {
    let mut blocked = Vec::new();
    match state {
        IdentityState::Erased => return Ok(()),
        IdentityState::Departed => {}
        IdentityState::Staged | IdentityState::Active | IdentityState::Suspended | IdentityState::Leaving => {
            blocked.push(Blocked::NotDeparted { state });
        }
    }
    blocked.extend(hold_at(holds, now).map(|hold| Blocked::OnHold {
        hold: hold_phrase(hold),
    }));
    let present = accounts.iter().filter(|(_, observed)| match observed.state {
        AccountState::Absent => false,
        AccountState::Enabled | AccountState::Disabled => true,
        // One that was never linked is none we know of.
        AccountState::Unknown => observed.external_id.is_some(),
    });
    blocked.extend(present.map(|(slot, observed)| Blocked::Account {
        slot: slot.clone(),
        state: observed.state,
    }));
    if blocked.is_empty() { Ok(()) } else { Err(blocked) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Actor;
    use crate::facts::HoldKind;

    fn account(name: &str, state: AccountState, external_id: Option<&str>) -> (AccountSlot, ObservedAccount) {
        let slot = AccountSlot {
            target: name.parse().unwrap(),
            kind: crate::name::Name::primary(),
        };
        let observed = ObservedAccount {
            state,
            external_id: external_id.map(ToOwned::to_owned),
            ..ObservedAccount::absent()
        };
        (slot, observed)
    }

    #[test]
    fn only_who_has_departed_may_be_erased_and_who_is_erased_stays_so() {
        for state in IdentityState::ALL {
            let allowed = match state {
                IdentityState::Departed | IdentityState::Erased => Ok(()),
                IdentityState::Staged
                | IdentityState::Active
                | IdentityState::Suspended
                | IdentityState::Leaving => Err(vec![Blocked::NotDeparted { state }]),
            };
            assert_eq!(
                erasable(state, &[], &[], Timestamp::UNIX_EPOCH),
                allowed,
                "{state}"
            );
        }
    }

    #[test]
    fn every_account_that_is_or_may_be_there_is_named() {
        let accounts = [
            account("app", AccountState::Disabled, Some("1")),
            account("directory", AccountState::Absent, Some("2")),
            account("mail", AccountState::Unknown, Some("3")),
            account("never", AccountState::Unknown, None),
            account("wiki", AccountState::Enabled, None),
        ];
        let hold = Hold {
            kind: HoldKind::Security,
            from: Timestamp::UNIX_EPOCH,
            until: None,
            reason: "inquiry 7".to_owned(),
            by: Actor::Person("ada".to_owned()),
        };
        let blocked = erasable(
            IdentityState::Departed,
            &accounts,
            std::slice::from_ref(&hold),
            Timestamp::UNIX_EPOCH,
        );
        let text: Vec<String> = blocked.unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "a hold is in force: security hold by person ada",
                "app: there is still an account, disabled",
                "mail: whether there is an account is not known; it must be read first",
                "wiki: there is still an account, enabled",
            ]
        );
        let before = Timestamp::MIN;
        let gone = [account("app", AccountState::Absent, Some("1"))];
        assert_eq!(erasable(IdentityState::Departed, &gone, &[hold], before), Ok(()));
    }
}
