//! The situation of an account that a reconcile looked at, from what is known of it: one total function, printed as a table.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How an account of a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Situation {
    /// An identity owns it.
    Linked,
    /// Nobody owns it, and it is exactly one identity's by the rules.
    Unlinked,
    /// Nobody owns it, and it is nobody's by the rules: an orphan.
    Unmatched,
    /// Nobody owns it, and the rules cannot tell whose it is.
    Ambiguous,
    /// An identity owns it, but the target has it no more.
    Missing,
    /// Owned by one identity and by the rules another's; or claimed for somebody who has such an account, or by several accounts at once.
    Disputed,
}

impl Situation {
    /// All situations.
    pub const ALL: [Self; 6] = [
        Self::Linked,
        Self::Unlinked,
        Self::Unmatched,
        Self::Ambiguous,
        Self::Missing,
        Self::Disputed,
    ];

    /// One word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Unlinked => "unlinked",
            Self::Unmatched => "unmatched",
            Self::Ambiguous => "ambiguous",
            Self::Missing => "missing",
            Self::Disputed => "disputed",
        }
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether the target has the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Presence {
    /// It was listed, or read.
    There,
    /// It was not listed, and `get` says that it is not there.
    Gone,
}

/// Who is said to own it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// Nobody.
    Nobody,
    /// An identity.
    Somebody,
}

/// Whose it is by the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ruled {
    /// Nobody's, or there are no rules.
    Nobody,
    /// The identity's that owns it.
    Owner,
    /// Exactly one identity's who does not own it, and who has no such account yet.
    Other,
    /// The same, but that identity has such an account, or another account is theirs by the rules as well.
    OtherTaken,
    /// Perhaps one of several.
    Several,
}

impl Presence {
    /// Both.
    pub const ALL: [Self; 2] = [Self::There, Self::Gone];
}

impl Owner {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Nobody, Self::Somebody];
}

impl Ruled {
    /// All.
    pub const ALL: [Self; 5] = [
        Self::Nobody,
        Self::Owner,
        Self::Other,
        Self::OtherTaken,
        Self::Several,
    ];
}

/// The situation; `None` where there is nothing to be told: nobody owned what is gone.
pub const fn situation(presence: Presence, owner: Owner, ruled: Ruled) -> Option<Situation> {
    match (presence, owner, ruled) {
        (Presence::Gone, Owner::Nobody, _) => None,
        (Presence::Gone, Owner::Somebody, _) => Some(Situation::Missing),
        // Rules that cannot tell are no reason to doubt a link.
        (Presence::There, Owner::Somebody, Ruled::Nobody | Ruled::Owner | Ruled::Several) => {
            Some(Situation::Linked)
        }
        (Presence::There, Owner::Somebody, Ruled::Other | Ruled::OtherTaken) => Some(Situation::Disputed),
        // Without an owner the rules cannot mean it.
        (Presence::There, Owner::Nobody, Ruled::Nobody | Ruled::Owner) => Some(Situation::Unmatched),
        (Presence::There, Owner::Nobody, Ruled::Other) => Some(Situation::Unlinked),
        (Presence::There, Owner::Nobody, Ruled::OtherTaken) => Some(Situation::Disputed),
        (Presence::There, Owner::Nobody, Ruled::Several) => Some(Situation::Ambiguous),
    }
}

/// The table as Markdown, made from the code.
pub fn markdown() -> String {
    let mut text = String::from("| the target has it | owned here | ");
    text += &Ruled::ALL.map(heading).join(" | ");
    text += " |\n|---|---|---|---|---|---|---|\n";
    for presence in Presence::ALL {
        for owner in Owner::ALL {
            let (there, owned) = match (presence, owner) {
                (Presence::There, Owner::Nobody) => ("yes", "by nobody"),
                (Presence::There, Owner::Somebody) => ("yes", "by an identity"),
                (Presence::Gone, Owner::Nobody) => ("no", "by nobody"),
                (Presence::Gone, Owner::Somebody) => ("no", "by an identity"),
            };
            text += &format!("| {there} | {owned} |");
            for ruled in Ruled::ALL {
                let cell = situation(presence, owner, ruled).map_or("–", Situation::as_str);
                text += &format!(" {cell} |");
            }
            text.push('\n');
        }
    }
    text
}

const fn heading(ruled: Ruled) -> &'static str {
    match ruled {
        Ruled::Nobody => "by the rules nobody's",
        Ruled::Owner => "the owner's",
        Ruled::Other => "another one's, who has none",
        Ruled::OtherTaken => "another one's, who has one or is claimed twice",
        Ruled::Several => "perhaps one of several",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cell, written by hand, in the order of [`Ruled::ALL`].
    #[test]
    fn every_cell_is_as_written_by_hand() {
        use Situation::{Ambiguous, Disputed, Linked, Missing, Unlinked, Unmatched};
        let rows = [
            (
                Presence::There,
                Owner::Nobody,
                [Unmatched, Unmatched, Unlinked, Disputed, Ambiguous].map(Some),
            ),
            (
                Presence::There,
                Owner::Somebody,
                [Linked, Linked, Disputed, Disputed, Linked].map(Some),
            ),
            (Presence::Gone, Owner::Nobody, [None; 5]),
            (Presence::Gone, Owner::Somebody, [Some(Missing); 5]),
        ];
        for (presence, owner, cells) in rows {
            for (ruled, expected) in Ruled::ALL.into_iter().zip(cells) {
                assert_eq!(
                    situation(presence, owner, ruled),
                    expected,
                    "{presence:?} {owner:?} {ruled:?}"
                );
            }
        }
        assert_eq!(rows.len(), Presence::ALL.len() * Owner::ALL.len());
    }

    /// `host/lifecycle/situation-table.md` is what the documentation includes. When this fails after a meant change, put the printed
    /// text into that file.
    #[test]
    fn the_printed_table_is_the_one_in_the_docs() {
        let checked_in = include_str!("../situation-table.md");
        assert!(
            markdown() == checked_in,
            "situation-table.md should be:\n{}",
            markdown()
        );
    }
}
