//! Unique names: the plan asks for one of several candidates, the store reserves one, and from then on it is a fact.

use serde::{Deserialize, Serialize};

use crate::account::AccountSlot;

/// A name that is reserved for an account of a person. At most one for each slot and attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reservation {
    /// Which account.
    pub slot: AccountSlot,
    /// Which attribute of it.
    pub attribute: String,
    /// The name.
    pub value: String,
}

/// A name the plan asks for: the first candidate that nobody has in this target and attribute, and that is not barred from reuse, is to be
/// reserved (in place of an earlier reservation of the same slot and attribute), and the person planned again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NameWanted {
    /// For which account.
    pub slot: AccountSlot,
    /// For which attribute of it.
    pub attribute: String,
    /// What would do, best first, each once; never empty.
    pub candidates: Vec<String>,
}
