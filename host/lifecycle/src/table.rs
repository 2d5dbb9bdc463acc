//! The one table: what the next step for an account is, from what is observed, what is wanted and what the target can do.

use serde::{Deserialize, Serialize};

use crate::account::{AccountState, DesiredAccount};
use crate::connector::Capabilities;

/// What is wanted of an account, without its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DesiredKind {
    /// Exists and is enabled.
    Enabled,
    /// If it exists: disabled, entitlements as they are.
    Suspended,
    /// If it exists: disabled and stripped of entitlements.
    Retained,
    /// Does not exist.
    Absent,
}

impl DesiredKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Enabled, Self::Suspended, Self::Retained, Self::Absent];

    /// One word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Suspended => "suspended",
            Self::Retained => "retained",
            Self::Absent => "absent",
        }
    }
}

impl DesiredAccount {
    /// Its kind.
    pub const fn kind(&self) -> DesiredKind {
        match self {
            Self::Enabled { .. } => DesiredKind::Enabled,
            Self::Suspended => DesiredKind::Suspended,
            Self::Retained => DesiredKind::Retained,
            Self::Absent => DesiredKind::Absent,
        }
    }
}

/// The next step for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableStep {
    /// As it should be.
    Nothing,
    /// Make it.
    Create,
    /// Enable it.
    Enable,
    /// Disable it.
    Disable,
    /// Delete it.
    Delete,
    /// Read it before anything is decided.
    Read,
    /// The target cannot: why. People are told; the account stays as it is.
    Blocked(&'static str),
}

/// Why a target without `disable` keeps an account usable.
pub const CANNOT_DISABLE: &str = "the target cannot disable accounts";
/// Why a disabled account stays disabled.
pub const CANNOT_ENABLE: &str = "the target cannot enable accounts";
/// Why an account outlives its retention.
pub const CANNOT_DELETE: &str = "the target cannot delete accounts";
/// Why nothing at all can be done.
pub const CANNOT_END: &str = "the target can neither disable nor delete accounts";

/// The next step. Where a target can delete but not disable, a person in retention keeps the account until it is over: a delete cannot
/// be taken back, so it is never done early; the plan says that it is blocked, and entitlements are taken away all the same.
pub const fn next_step(
    observed: AccountState,
    desired: DesiredKind,
    capabilities: Capabilities,
) -> TableStep {
    use {AccountState as Is, DesiredKind as Wanted};
    let (disable, delete) = (capabilities.disable, capabilities.delete);
    match (observed, desired, disable, delete) {
        (Is::Absent, Wanted::Enabled, _, _) => TableStep::Create,
        (Is::Absent, Wanted::Suspended | Wanted::Retained | Wanted::Absent, _, _) => TableStep::Nothing,

        (Is::Enabled, Wanted::Enabled, _, _) => TableStep::Nothing,
        (Is::Enabled, Wanted::Suspended | Wanted::Retained, true, _) => TableStep::Disable,
        (Is::Enabled, Wanted::Suspended | Wanted::Retained, false, _) => TableStep::Blocked(CANNOT_DISABLE),
        (Is::Enabled, Wanted::Absent, true, _) => TableStep::Disable,
        (Is::Enabled, Wanted::Absent, false, true) => TableStep::Delete,
        (Is::Enabled, Wanted::Absent, false, false) => TableStep::Blocked(CANNOT_END),

        (Is::Disabled, Wanted::Enabled, true, _) => TableStep::Enable,
        (Is::Disabled, Wanted::Enabled, false, _) => TableStep::Blocked(CANNOT_ENABLE),
        (Is::Disabled, Wanted::Suspended | Wanted::Retained, _, _) => TableStep::Nothing,
        (Is::Disabled, Wanted::Absent, _, true) => TableStep::Delete,
        (Is::Disabled, Wanted::Absent, _, false) => TableStep::Blocked(CANNOT_DELETE),

        (Is::Unknown, Wanted::Enabled | Wanted::Suspended | Wanted::Retained | Wanted::Absent, _, _) => {
            TableStep::Read
        }
    }
}

/// What the account is once a step has been done, as far as the step tells.
pub const fn state_after(observed: AccountState, step: TableStep) -> AccountState {
    match step {
        TableStep::Create | TableStep::Enable => AccountState::Enabled,
        TableStep::Disable => AccountState::Disabled,
        TableStep::Delete => AccountState::Absent,
        TableStep::Nothing | TableStep::Read | TableStep::Blocked(_) => observed,
    }
}

/// The four sorts of target the table tells apart, with their headings.
const TARGETS: [(&str, bool, bool); 4] = [
    ("disables and deletes", true, true),
    ("disables only", true, false),
    ("deletes only", false, true),
    ("neither", false, false),
];

/// The table as Markdown, made from the code.
pub fn markdown() -> String {
    let mut text = String::from("| observed | wanted |");
    for (heading, _, _) in TARGETS {
        text += &format!(" target {heading} |");
    }
    text += "\n|---|---|---|---|---|---|\n";
    for observed in AccountState::ALL {
        for desired in DesiredKind::ALL {
            text += &format!("| {observed} | {} |", desired.as_str());
            for (_, disable, delete) in TARGETS {
                let capabilities = Capabilities {
                    disable,
                    delete,
                    entitlements: true,
                };
                text += &format!(" {} |", cell(next_step(observed, desired, capabilities)));
            }
            text.push('\n');
        }
    }
    text
}

fn cell(step: TableStep) -> String {
    match step {
        TableStep::Nothing => "–".to_owned(),
        TableStep::Create => "create".to_owned(),
        TableStep::Enable => "enable".to_owned(),
        TableStep::Disable => "disable".to_owned(),
        TableStep::Delete => "delete".to_owned(),
        TableStep::Read => "read".to_owned(),
        TableStep::Blocked(reason) => format!("*blocked: {reason}*"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cell, written by hand: observed, wanted, then both, disable only, delete only, neither.
    const EXPECTED: [(AccountState, DesiredKind, [TableStep; 4]); 16] = {
        use TableStep::{Blocked, Create, Delete, Disable, Enable, Nothing, Read};
        use {AccountState as A, DesiredKind as D};
        const NO_DISABLE: TableStep = Blocked(CANNOT_DISABLE);
        const NO_ENABLE: TableStep = Blocked(CANNOT_ENABLE);
        const NO_DELETE: TableStep = Blocked(CANNOT_DELETE);
        [
            (A::Absent, D::Enabled, [Create, Create, Create, Create]),
            (A::Absent, D::Suspended, [Nothing, Nothing, Nothing, Nothing]),
            (A::Absent, D::Retained, [Nothing, Nothing, Nothing, Nothing]),
            (A::Absent, D::Absent, [Nothing, Nothing, Nothing, Nothing]),
            (A::Enabled, D::Enabled, [Nothing, Nothing, Nothing, Nothing]),
            (
                A::Enabled,
                D::Suspended,
                [Disable, Disable, NO_DISABLE, NO_DISABLE],
            ),
            (
                A::Enabled,
                D::Retained,
                [Disable, Disable, NO_DISABLE, NO_DISABLE],
            ),
            (
                A::Enabled,
                D::Absent,
                [Disable, Disable, Delete, Blocked(CANNOT_END)],
            ),
            (A::Disabled, D::Enabled, [Enable, Enable, NO_ENABLE, NO_ENABLE]),
            (A::Disabled, D::Suspended, [Nothing, Nothing, Nothing, Nothing]),
            (A::Disabled, D::Retained, [Nothing, Nothing, Nothing, Nothing]),
            (A::Disabled, D::Absent, [Delete, NO_DELETE, Delete, NO_DELETE]),
            (A::Unknown, D::Enabled, [Read, Read, Read, Read]),
            (A::Unknown, D::Suspended, [Read, Read, Read, Read]),
            (A::Unknown, D::Retained, [Read, Read, Read, Read]),
            (A::Unknown, D::Absent, [Read, Read, Read, Read]),
        ]
    };

    #[test]
    fn every_cell_is_as_written_by_hand() {
        let mut seen = std::collections::BTreeSet::new();
        for (observed, desired, steps) in EXPECTED {
            assert!(seen.insert((observed, desired)));
            for ((_, disable, delete), expected) in TARGETS.into_iter().zip(steps) {
                for entitlements in [true, false] {
                    let capabilities = Capabilities {
                        disable,
                        delete,
                        entitlements,
                    };
                    assert_eq!(
                        next_step(observed, desired, capabilities),
                        expected,
                        "{observed} {desired:?} {capabilities:?}"
                    );
                }
            }
        }
        assert_eq!(seen.len(), AccountState::ALL.len() * DesiredKind::ALL.len());
    }

    #[test]
    fn following_the_table_ends_after_at_most_two_steps() {
        for observed in [
            AccountState::Absent,
            AccountState::Enabled,
            AccountState::Disabled,
        ] {
            for desired in DesiredKind::ALL {
                for (_, disable, delete) in TARGETS {
                    let capabilities = Capabilities {
                        disable,
                        delete,
                        entitlements: true,
                    };
                    let (mut state, mut steps) = (observed, 0);
                    loop {
                        let step = next_step(state, desired, capabilities);
                        if matches!(step, TableStep::Nothing | TableStep::Blocked(_)) {
                            break;
                        }
                        state = state_after(state, step);
                        steps += 1;
                        assert!(steps <= 2, "{observed} {desired:?} {capabilities:?}");
                    }
                }
            }
        }
    }

    /// `host/lifecycle/account-table.md` is what the documentation includes. When this fails after a meant change, put the printed
    /// text into that file.
    #[test]
    fn the_printed_table_is_the_one_in_the_docs() {
        let checked_in = include_str!("../account-table.md");
        assert!(
            markdown() == checked_in,
            "account-table.md should be:\n{}",
            markdown()
        );
    }
}
