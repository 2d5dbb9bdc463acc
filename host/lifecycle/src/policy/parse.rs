//! Reads the policy document.

use std::collections::{BTreeMap, BTreeSet};

use super::authority::read_authority;
use super::correlation::read_correlation;
use super::flow::{Flows, made_from, read_flows};
use super::mapping::read_mappings;
use super::reactions::read_reactions;
use super::role::read_roles;
use super::separation::read_separations;
use super::source::{Sources, read_sources};
use super::thresholds::read_thresholds;
use super::{Policy, Positions, Unassigned};
use crate::account::AccountSlot;
use crate::budget::Thresholds;
use crate::circle::circle;
use crate::document::DocumentErrors;
use crate::document::item::Item;
use crate::document::reader::{Reader, Table};
use crate::expr::{Declared, Mapper, Mistake, MistakeKind, Rule, Strictness};
use crate::name::Name;

/// Longest retention, in days: ten years, longer than any law asks.
pub const RETENTION_DAYS_MAX: u32 = 3_650;
/// Retention when the document says nothing, in days.
pub const RETENTION_DAYS_DEFAULT: u32 = 30;
/// Most expressions of a document: each is compiled on a thread of its own, one after the other.
pub const EXPRESSIONS_MAX: usize = 5_000;
/// Longest name of an attribute or id of an entitlement, in characters; directories allow no more for a distinguished name.
pub const LABEL_CHARS_MAX: usize = 255;

/// Reads a policy document that was in force before (or one whose expressions are judged elsewhere): it takes what any earlier version
/// took, so that a stored policy stops nobody's plans. `file` is the name shown in errors.
///
/// # Errors
/// Every mistake found, in the order of their lines.
pub fn parse(file: &str, text: &str) -> Result<Policy, DocumentErrors> {
    Reader::read(file, text, |root| read_policy(root, Strictness::Stored))
}

/// Reads a policy document that is to come into force: like [`parse`], and expressions whose types cannot work for some people, or that
/// compare what is never equal, are mistakes too. What it takes, `parse` takes with the same meaning.
///
/// # Errors
/// Every mistake found, in the order of their lines.
pub fn parse_strictly(file: &str, text: &str) -> Result<Policy, DocumentErrors> {
    Reader::read(file, text, |root| read_policy(root, Strictness::New))
}

fn read_policy(root: &Table<'_, '_>, strictness: Strictness) -> Option<Policy> {
    let zone = root
        .need(
            "zone",
            "the time zone of people who have none of their own, like zone = \"Europe/Berlin\"",
        )
        .and_then(|item| read_zone(&item));
    let retention_days = optional(root.take("retention-days"), RETENTION_DAYS_DEFAULT, |item| {
        item.number(0..=RETENTION_DAYS_MAX)
    });
    let unassigned = optional(root.take("unassigned"), Unassigned::default(), |item| {
        item.choice(&[("disable", Unassigned::Disable), ("delete", Unassigned::Delete)])
    });
    let sources_item = root.need("sources", "without one nobody is known; begin with [sources.hr]");
    let Sources { sources, declared } = sources_item.map(|item| read_sources(&item)).unwrap_or_default();
    let authority = optional(root.take("authority"), BTreeMap::new(), |item| {
        read_authority(&item, sources.as_deref())
    });
    let mut expressions = Expressions {
        declared: &declared,
        complete: sources.is_some(),
        strictness,
        left: EXPRESSIONS_MAX,
    };
    let mut positions = Positions::new();
    let roles = optional(root.take("roles"), Vec::new(), |item| {
        read_roles(&item, &mut expressions, &mut positions)
    });
    let separations = optional(root.take("separation"), Vec::new(), |item| {
        read_separations(&item, roles.as_deref())
    });
    let correlation = optional(root.take("correlation"), BTreeMap::new(), |item| {
        read_correlation(&item, &mut expressions, &mut positions)
    });
    let reactions = optional(root.take("reactions"), BTreeMap::new(), |item| {
        read_reactions(&item, &mut positions)
    });
    let flows_item = root.take("flows");
    let flows = match &flows_item {
        None => Some(Flows::none(&declared)),
        Some(item) => read_flows(item, &declared, &mut positions),
    };
    // What cannot be read above cannot be read by a mapping; its mistakes come first.
    let readable = flows.as_ref().map_or(&declared, |flows| &flows.declared);
    expressions.declared = readable;
    expressions.complete &= flows.is_some();
    let mappings = optional(root.take("mappings"), BTreeMap::new(), |item| {
        read_mappings(&item, &mut expressions, &mut positions)
    });
    let flows = flows.map_or_else(Vec::new, |flows| flows.flows);
    let made_from = mappings.as_ref().map(|mappings| made_from(mappings, &flows));
    if let (Some(made_from), Some(item)) = (&made_from, &flows_item) {
        refuse_circle(made_from, item)?;
    }
    let thresholds = optional(root.take("thresholds"), Thresholds::default(), |item| {
        read_thresholds(&item, &mut positions)
    });
    Some(Policy {
        zone: zone?,
        retention_days: retention_days?,
        unassigned: unassigned?,
        sources: sources?,
        authority: authority?,
        roles: roles?,
        separations: separations?,
        thresholds: thresholds?,
        mappings: mappings?,
        flows,
        made_from: made_from?,
        declared,
        correlation: correlation?,
        reactions: reactions?,
        positions,
    })
}

/// An account cannot be made from itself, not even through others: it would never be there.
fn refuse_circle(
    made_from: &BTreeMap<AccountSlot, BTreeSet<AccountSlot>>,
    item: &Item<'_, '_>,
) -> Option<()> {
    let Some(members) = circle(made_from) else {
        return Some(());
    };
    let members: Vec<String> = members.iter().map(ToString::to_string).collect();
    item.mistake_of_key(format!(
        "an account would be made from itself: {}",
        members.join(" from ")
    ));
    None
}

/// The value of an item that may be missing: the default then, nothing when it is wrong.
pub(super) fn optional<'r, 'd, T>(
    item: Option<Item<'r, 'd>>,
    default: T,
    read: impl FnOnce(Item<'r, 'd>) -> Option<T>,
) -> Option<T> {
    item.map_or(Some(default), read)
}

/// An IANA name by its form; whether it exists is asked where the zone database is.
fn read_zone(item: &Item<'_, '_>) -> Option<String> {
    let text = item.label(LABEL_CHARS_MAX)?;
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+'))
    };
    if text.split('/').all(part) {
        Some(text.to_owned())
    } else {
        item.mistake("must be the IANA name of a time zone, like \"Europe/Berlin\" or \"UTC\"");
        None
    }
}

pub(super) struct Expressions<'a> {
    declared: &'a Declared,
    /// All attributes could be read. If not, an unknown one may only be a mistake further up.
    complete: bool,
    strictness: Strictness,
    left: usize,
}

/// How a kind of expression is compiled.
type Compile<T> = fn(&str, &str, &Declared, Strictness) -> Result<T, Vec<Mistake>>;

impl Expressions<'_> {
    pub(super) fn rule(&mut self, item: &Item<'_, '_>) -> Option<Rule> {
        self.compile(item, Rule::compile_as)
    }

    pub(super) fn mapper(&mut self, item: &Item<'_, '_>) -> Option<Mapper> {
        self.compile(item, Mapper::compile_as)
    }

    fn compile<T>(&mut self, item: &Item<'_, '_>, compile: Compile<T>) -> Option<T> {
        let source = item.text()?;
        let Some(left) = self.left.checked_sub(1) else {
            item.mistake(format!("more than {EXPRESSIONS_MAX} expressions"));
            return None;
        };
        self.left = left;
        match compile(item.path(), source, self.declared, self.strictness) {
            Ok(compiled) => Some(compiled),
            Err(mistakes) => {
                let trusted = |mistake: &Mistake| self.complete || mistake.kind == MistakeKind::Expression;
                for mistake in mistakes.into_iter().filter(trusted) {
                    item.mistake_in_expression(source, mistake.offset, mistake.message);
                }
                None
            }
        }
    }
}

/// `target` or `target/kind`.
pub(super) fn read_slot(item: &Item<'_, '_>, text: &str) -> Option<AccountSlot> {
    let (target, kind) = match text.split_once('/') {
        Some((target, kind)) => (target, Some(kind)),
        None => (text, None),
    };
    let kind: Result<Name, _> = kind.map_or_else(|| Ok(Name::primary()), str::parse);
    match (target.parse::<Name>(), kind) {
        (Ok(target), Ok(kind)) => Some(AccountSlot { target, kind }),
        (Err(error), _) | (_, Err(error)) => {
            item.mistake_of_key(format!("must be a target, or target/kind: {error}"));
            None
        }
    }
}
