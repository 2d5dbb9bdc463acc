//! What people set about one person: roles, holds, exceptions; and the names that are theirs.

use jiff::Timestamp;
use usher_engine::views::IdentityView;
use usher_engine::{FactSet, RecordJoined};
use usher_lifecycle::assignment::Origin;
use usher_store::{PersonalFact, StoredFact};

use super::escape::{message, safe, word};
use super::identity::heading;
use super::ink::{Ink, Style};

/// A record that has moved.
pub(crate) fn joined(joined: &RecordJoined) -> String {
    let record = &joined.record;
    format!(
        "{}/{} is {} now. What follows from it comes with the next plan.\n",
        record.source,
        safe(&record.key),
        joined.identity
    )
}

/// Everything set, and every name; nothing where there is neither.
pub(crate) fn set(view: &IdentityView, ink: &Ink) -> String {
    let mut out = String::new();
    if !view.set.is_empty() {
        out.push_str(&heading("Set by people", ink));
    }
    for fact in &view.set {
        out.push_str(&one(fact, view.at, ink));
    }
    if !view.names.is_empty() {
        out.push_str(&heading("Names", ink));
    }
    for name in &view.names {
        let one = &name.reservation;
        let barred = name.barred_until.map_or_else(String::new, |at| {
            format!(", nobody else's until {}", ink.time(at))
        });
        out.push_str(&format!(
            "  {} {} of {}{barred}\n",
            safe(&one.attribute),
            word(&one.value),
            one.slot
        ));
    }
    out
}

fn one(fact: &StoredFact, now: Timestamp, ink: &Ink) -> String {
    let (what, from, until, reason) = match &fact.fact {
        PersonalFact::Assignment(one) => {
            let origin = match one.origin {
                Origin::Manual => "by hand",
                Origin::Request => "on request",
            };
            let what = format!("role {} {origin}", one.role);
            (what, one.valid_from, one.valid_until, &one.reason)
        }
        PersonalFact::Hold(one) => {
            let what = one.kind.as_str().to_owned();
            (what, Some(one.from), one.ends(), &one.reason)
        }
        PersonalFact::Exception(one) => {
            let what = format!("exception from separation {}", one.separation);
            (what, None, Some(one.until), &one.reason)
        }
    };
    let counts =
        fact.ended.is_none() && from.is_none_or(|from| from <= now) && until.is_none_or(|until| now < until);
    let style = if counts { Style::Bold } else { Style::Dim };
    let mut out = format!("  {}", ink.paint(style, &what));
    if let Some(from) = from {
        out.push_str(&format!(" from {}", ink.time(from)));
    }
    if let Some(until) = until {
        out.push_str(&format!(" until {}", ink.time(until)));
    }
    out.push_str(&format!(": {}\n", message(reason)));
    let mut below = format!(
        "{}, set {} by {}",
        fact.id,
        ink.time(fact.added_at),
        message(&fact.by.to_string())
    );
    if let Some(ended) = &fact.ended {
        below.push_str(&format!(
            "; ended {} by {}: {}",
            ink.time(ended.at),
            message(&ended.by.to_string()),
            message(&ended.reason)
        ));
    }
    out.push_str(&format!("      {}\n", ink.paint(Style::Dim, &below)));
    out
}

/// A fact was set.
pub(crate) fn added(set: &FactSet) -> String {
    format!(
        "{} is set. `usher plan` shows what follows from it; `usher identity end {} --reason TEXT` ends it.\n",
        set.id, set.id
    )
}

/// A fact was ended.
pub(crate) fn ended(set: &FactSet) -> String {
    format!(
        "{} is ended. `usher plan` shows what follows from that.\n",
        set.id
    )
}
