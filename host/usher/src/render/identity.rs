//! One person: facts, state, roles, accounts, timeline.

use usher_engine::views::{AccountView, IdentityView};
use usher_lifecycle::attributes::Attributes;
use usher_store::Erased;

use super::account::{
    account_style, differences, identity_style, notes, person, problems, queued, steps, wanted,
};
use super::escape::{message, safe, value, word};
use super::ink::{Ink, Style};
use super::personal_facts;
use super::plan::apply_mode;
use super::stops;
use super::table::{Align, Table, count};
use super::timeline::timeline;

/// The person as text.
pub(crate) fn identity(view: &IdentityView, ink: &Ink) -> String {
    let key = view
        .records
        .first()
        .map_or("(no record)", |record| record.key.as_str());
    let who = ink.paint(Style::Bold, &person(key, view.name.as_deref()));
    let mut out = format!("{who}  {}\n", ink.paint(Style::Dim, &view.id.to_string()));
    out.push_str(&state(view, ink));
    if let Some(stop) = &view.stop {
        out.push_str(&stops::section(stop, ink));
    }
    out.push_str(&facts(view, ink));
    out.push_str(&roles(view, ink));
    out.push_str(&personal_facts::set(view, ink));
    out.push_str(&heading("Accounts", ink));
    if view.accounts.is_empty() {
        out.push_str("  none\n");
    }
    for one in &view.accounts {
        out.push_str(&account(one, ink));
    }
    out.push_str(&problems(&view.problems, ink));
    out.push_str(&heading("Timeline", ink));
    out.push_str(&timeline(&view.timeline, ink));
    out
}

/// A heading with an empty line above it.
pub(crate) fn heading(text: &str, ink: &Ink) -> String {
    format!("\n{}\n", ink.paint(Style::Bold, text))
}

fn state(view: &IdentityView, ink: &Ink) -> String {
    let mut out = format!(
        "  {}",
        ink.paint(identity_style(view.state), &view.state.to_string())
    );
    if let Some(since) = view.since {
        out.push_str(&format!(" since {}", ink.time(since)));
    }
    out.push_str(&format!("\n  because {}\n", message(&view.state_cause)));
    match view.next_change {
        Some(at) => out.push_str(&format!("  changes next {}, if no fact changes\n", ink.time(at))),
        None => out.push_str("  does not change by itself\n"),
    }
    if let Some(recorded) = view.recorded_state {
        out.push_str(&format!(
            "  still recorded as {recorded}; the next `usher apply` records the change\n"
        ));
    }
    out
}

fn facts(view: &IdentityView, ink: &Ink) -> String {
    let mut out = heading("Facts", ink);
    for record in &view.records {
        out.push_str(&format!("  {} {}", record.source, word(&record.key)));
        if let Some(since) = record.absent_since {
            out.push_str(&ink.paint(
                Style::Warn,
                &format!("  gone from the source since {}", ink.time(since)),
            ));
        }
        out.push('\n');
        out.push_str(&attributes(&record.attributes, 4, ink));
    }
    // With one source the merged attributes are that source's.
    if view.records.len() > 1 {
        out.push_str("  merged by authority\n");
        out.push_str(&attributes(&view.attributes, 4, ink));
    }
    out
}

/// One attribute a line, names aligned.
fn attributes(attributes: &Attributes, indent: usize, ink: &Ink) -> String {
    let mut table = Table::new(&[("attribute", Align::Left), ("value", Align::Left)]);
    for (name, one) in attributes {
        table.row([safe(name).into(), value(one).into()]);
    }
    if table.is_empty() {
        return format!("{}no attributes\n", " ".repeat(indent));
    }
    table.render_rows(indent, ink)
}

fn roles(view: &IdentityView, ink: &Ink) -> String {
    let mut out = heading("Roles", ink);
    if view.roles.is_empty() {
        out.push_str("  none\n");
        return out;
    }
    let mut table = Table::new(&[
        ("role", Align::Left),
        ("gives", Align::Left),
        ("because", Align::Left),
    ]);
    for role in &view.roles {
        let gives = role
            .accounts
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        table.row([
            role.name.to_string().into(),
            gives.into(),
            message(
                role.rule
                    .as_deref()
                    .unwrap_or("no rule: by assignment, or with another role"),
            )
            .into(),
        ]);
    }
    out.push_str(&table.render(2, ink));
    out
}

fn account(view: &AccountView, ink: &Ink) -> String {
    let slot = view.slot.to_string();
    let state = ink.paint(account_style(view.state), &view.state.to_string());
    let mut out = format!(
        "  {}  {state}, wanted {}",
        ink.paint(Style::Bold, &slot),
        wanted(view.desired)
    );
    if let Some(id) = &view.external_id {
        out.push_str(&format!(", id {}", safe(id)));
    }
    if let Some(at) = view.observed_at {
        out.push_str(&format!(", seen {}", ink.time(at)));
    }
    match view.apply {
        Some(mode) => out.push_str(&format!(", apply {}\n", apply_mode(mode))),
        None => out.push_str(", target no longer configured\n"),
    }
    if !view.attributes.is_empty() {
        let all = view
            .attributes
            .iter()
            .map(|(name, one)| format!("{}={}", safe(name), value(one)));
        out.push_str(&format!("    has      {}\n", all.collect::<Vec<_>>().join(", ")));
    }
    if !view.entitlements.is_empty() {
        let all = view.entitlements.keys().map(|entitlement| word(entitlement));
        out.push_str(&format!("    holds    {}\n", all.collect::<Vec<_>>().join(", ")));
    }
    if !view.diff.is_empty() {
        out.push_str(&format!("    differs  {}\n", differences(&view.diff).join(", ")));
    }
    out.push_str(&steps(&view.steps, &slot, &view.diff, 4, ink));
    for operation in &view.open {
        out.push_str(&queued(operation, 4, ink));
    }
    out.push_str(&notes(&view.notes, 4, ink));
    out
}

/// What was erased.
pub(crate) fn erased(erased: &Erased) -> String {
    let mut text = format!(
        "Erased {}: {}, {}, {}\nWhat the audit says of them cannot be read any more; its chains stay whole.\n",
        erased.id,
        count(erased.records, "source record", "source records"),
        count(erased.accounts, "account", "accounts"),
        count(erased.operations, "operation", "operations")
    );
    if !erased.scrubbed {
        text.push_str(
            "The database's files may still hold traces: on SQLite until the log is folded (at the latest when usher ends), on PostgreSQL until \
             VACUUM has run and the server's log is recycled. Backups made until now hold everything.\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn a_person_reads_from_facts_to_timeline() {
        insta::assert_snapshot!(identity(&samples::identity(), &Ink::plain()));
    }

    #[test]
    fn times_are_local_with_their_offset() {
        let ink = Ink {
            zone: jiff::tz::TimeZone::get("America/New_York").unwrap(),
            ..Ink::plain()
        };
        assert!(identity(&samples::identity(), &ink).contains("2026-03-02 03:00:00 -05:00"));
    }
}
