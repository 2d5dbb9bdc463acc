//! The policy document: where people come from, what their attributes mean, which roles they have by rule, and what the
//! accounts of those roles look like.
//!
//! [`parse_strictly`] reads a new one and [`parse`] one that was in force already; both report every mistake at once, and what they return is
//! ready to evaluate. [`check_against`] then compares it with the targets document.
//!
//! `[authority]` names, attribute by attribute, the sources to be believed first; the others follow in the order of the document. A source's
//! `lifecycle` says which attributes are the dates of a contract (`start`, `end`, `leave-from`, `leave-until`), its `zone`, and its `id`
//! for people. A person may have several contracts in one source; [`Policy::employment`] says which records are.
//!
//! Records belong together when what their sources' `join` names says the same: an employee number in the file of employees and in that of badges, or
//! in two contracts of one file. Without `join` every record is a person. Whose a record is stays so, whatever it says later.
//!
//! A role is given by its rule (`when`), by assignment, or by a role that `includes` it; `overlap-days` keeps it for a mover.
//! `[[separation]]` says what nobody may have at once: `of` names roles (`role:payer`) and entitlements (`entitlement:app:ledger`,
//! `entitlement:app/admin:root`). Of what would be new nothing is given, what is held already stays and is reported. An exception for a person
//! lets it be given until the exception ends; what is held then stays and is reported, nothing is removed. An attribute of a mapping is an
//! expression, or a table: `value`, `strength` (`initial`: only when the account is made; `normal`; `weak`: only where the target has nothing), or
//! `candidates` with `unique = true` and `follow-name` ([`Make::Unique`]). `[flows]` lets mappings read what a person's other accounts were observed
//! to have ([`Flow`]): the account made from them waits until those are there.
//!
//! `[thresholds.app]` and `[thresholds."*"]` are budgets ([`crate::budget`]): `disable`, `delete` and `create`, each with `most`, `percent` (of the
//! accounts of the target) or both, within `per-hours`. A role with `observe = true` gives nothing yet, one with `pilot = "…"` only to whom that
//! expression names; the plan says what it would give the others.
//!
//! `[[correlation.app]]` says whose an account is that a target has and nobody owns: rules in their order, the first that finds anybody decides.
//! `exact = { username = "identity.employeeId" }` compares attributes of the account with values of the person (all must be equal; an
//! attribute may be `{ identity = "…", case = "ignore" }`); `weighted = [{ account, identity, weight }]` weighs them: from `link` on an
//! account is theirs, from `ask` on a person is asked. `[reactions.app]` says what follows from what a reconcile finds ([`Reactions`]);
//! everything is only reported unless said.
//!
//! A whole policy:
//!
//! ```toml
#![doc = include_str!("example.toml")]
//! ```

mod authority;
mod check;
mod correlation;
mod employment;
mod evaluate;
mod flow;
mod mapping;
mod parse;
mod reactions;
mod role;
mod rollout;
mod same;
mod separation;
mod source;
mod thresholds;

use std::collections::{BTreeMap, BTreeSet};

use crate::account::AccountSlot;
use crate::attributes::Attributes;
use crate::budget::Thresholds;
use crate::correlation::Correlation;
use crate::document::reader::Place;
use crate::expr::Declared;
use crate::name::{SourceName, TargetName};
use crate::state::IdentityState;

pub use crate::expr::ExpressionError;
pub use check::{check_against, check_schemas, unused_mappings};
pub use correlation::{COMPARISONS_MAX, CORRELATION_RULES_MAX, WEIGHT_MAX};
pub(crate) use flow::with_flows;
pub use flow::{FLOWS_MAX, Flow, FlowTakes};
pub use mapping::{AttributeMapping, CANDIDATES_MAX, Make, Mapping};
pub use parse::{
    EXPRESSIONS_MAX, LABEL_CHARS_MAX, RETENTION_DAYS_DEFAULT, RETENTION_DAYS_MAX, parse, parse_strictly,
};
pub use reactions::{
    MissingReaction, Reactions, UNMATCHED_MAX, UNMATCHED_MAX_DEFAULT, UnlinkedReaction, UnmatchedReaction,
};
pub use role::{OVERLAP_DAYS_MAX, PARAMETERS_BYTES_MAX, ROLES_MAX, Role};
pub use rollout::Rollout;
pub use separation::{Duty, SEPARATIONS_MAX, Separation};
pub use source::{ABSENT_SNAPSHOTS_MAX, COLUMNS_MAX, SEPARATOR_CHARS_MAX, SOURCES_MAX};

/// The policy, checked and compiled.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Time zone (IANA name) of people who have none of their own.
    pub zone: String,
    /// How long accounts stay disabled after the end, in days, before they are deleted.
    pub retention_days: u32,
    /// What happens to an account that no role gives any more while the person is active.
    pub unassigned: Unassigned,
    /// Sources in the order of the document: an earlier one has authority over a later one.
    pub sources: Vec<SourcePolicy>,
    /// Attributes for which another order holds: the sources that give them, as places in [`Self::sources`], the first with authority.
    pub authority: BTreeMap<String, Vec<usize>>,
    /// Roles in the order of the document.
    pub roles: Vec<Role>,
    /// What nobody may have at once, in the order of the document.
    pub separations: Vec<Separation>,
    /// How much may happen within some hours before a person is asked.
    pub thresholds: Thresholds,
    /// What accounts look like.
    pub mappings: BTreeMap<AccountSlot, Mapping>,
    /// What mappings may read of a person's other accounts, in the order of the document.
    pub flows: Vec<Flow>,
    /// Account → the accounts it is made from, by the flows its mapping reads. Without a circle.
    pub made_from: BTreeMap<AccountSlot, BTreeSet<AccountSlot>>,
    /// The attributes its sources declare: what expressions may read.
    pub(crate) declared: Declared,
    /// How the owner of an account that was found in a target is told.
    pub correlation: BTreeMap<AccountSlot, Correlation>,
    /// What follows from what is found there, where it is not only reported.
    pub reactions: BTreeMap<TargetName, Reactions>,
    /// Where the items are that name targets or attributes of accounts, for [`check_against`] and [`check_schemas`].
    positions: Positions,
}

/// Path of an item → where it is in the document.
type Positions = BTreeMap<String, Place>;

/// What happens to an account that no role gives any more while the person is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unassigned {
    /// It is disabled and stripped of entitlements.
    #[default]
    Disable,
    /// It is deleted.
    Delete,
}

/// How one source is read and what its columns mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePolicy {
    /// Its name.
    pub name: SourceName,
    /// The byte between two fields.
    pub delimiter: u8,
    /// A WHATWG encoding label, as the document gives it.
    pub encoding: String,
    /// The column that holds the source's own key.
    pub key: String,
    /// What happens to a row that cannot be read.
    pub bad_rows: BadRows,
    /// More bad rows than this share (in percent) and the file is refused.
    pub bad_rows_max_percent: u8,
    /// Fewer rows than `100 - this` percent of the people present and the file is refused.
    pub shrink_max_percent: u8,
    /// A missing row ends a person only after so many snapshots in a row.
    pub absent_after_snapshots: u32,
    /// Columns that are read, in the order of the document.
    pub columns: Vec<Column>,
    /// The attribute that tells whose a new record is: a record of any source whose `join` says the same, without regard to case, belongs to the same
    /// person. Without one every record is somebody else.
    pub join: Option<String>,
    /// Which attributes decide the lifecycle.
    pub lifecycle: LifecycleAttributes,
}

/// What happens to a row that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BadRows {
    /// The row is set aside, the others count.
    #[default]
    SetAside,
    /// The file is refused.
    Refuse,
}

/// One column of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The header.
    pub name: String,
    /// The attribute it becomes.
    pub attribute: String,
    /// How its text is read.
    pub kind: ColumnKind,
    /// A row without it is bad.
    pub required: bool,
}

/// How the text of a column is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ColumnKind {
    /// As it is.
    #[default]
    Text,
    /// An ISO date, or an instant with an offset.
    Date,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// Several texts.
    List {
        /// What stands between them.
        separator: String,
    },
}

/// The attributes that decide a person's lifecycle; all optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifecycleAttributes {
    /// First day of work.
    pub start: Option<String>,
    /// Last day worked.
    pub end: Option<String>,
    /// First day of leave.
    pub leave_from: Option<String>,
    /// Last day of leave.
    pub leave_until: Option<String>,
    /// IANA name of the person's time zone.
    pub zone: Option<String>,
    /// What causes call the contract, where the source's key would not tell people enough.
    pub id: Option<String>,
}

/// What an expression may look at.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// The merged attributes: `identity` in expressions.
    pub attributes: &'a Attributes,
    /// The lifecycle state: `state` in expressions.
    pub state: IdentityState,
}

impl Policy {
    /// The policy of a source.
    pub fn source(&self, name: &SourceName) -> Option<&SourcePolicy> {
        self.sources.iter().find(|source| source.name == *name)
    }

    /// What follows from what is found in a target.
    pub fn reactions(&self, target: &TargetName) -> Reactions {
        self.reactions.get(target).copied().unwrap_or_default()
    }

    /// The rules that tell whose an account of a target is, by kind of account.
    pub fn correlation_of<'p>(
        &'p self,
        target: &'p TargetName,
    ) -> impl Iterator<Item = (&'p AccountSlot, &'p Correlation)> {
        self.correlation
            .iter()
            .filter(move |(slot, _)| slot.target == *target)
    }
}

#[cfg(test)]
mod tests;
