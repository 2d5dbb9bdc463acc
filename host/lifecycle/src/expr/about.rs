//! What expressions are about: a person, or an account.

use super::{AttributeKind, Declared};

/// How an expression names a person.
pub(super) const PERSON: &str = "identity";
/// How an expression names an account.
pub(super) const ACCOUNT: &str = "account";

/// What an expression is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum About<'a> {
    /// A person: `identity` with these attributes, and `state`.
    Person(&'a Declared),
    /// An account as its target tells of it: `account`, with its `id` and whatever attributes it has.
    Account,
}

impl About<'_> {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Person(_) => PERSON,
            Self::Account => ACCOUNT,
        }
    }

    /// The kind of an attribute, where it is known.
    pub(super) fn kind(self, name: &str) -> Option<AttributeKind> {
        match self {
            Self::Person(declared) => declared.get(name).copied(),
            Self::Account => None,
        }
    }
}
