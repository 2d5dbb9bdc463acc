//! How everything is.

use usher_engine::views::{DocumentVersion, HeldView, StatusView, TargetStatus};
use usher_lifecycle::account::AccountState;
use usher_lifecycle::operation::OperationState;
use usher_store::{Snapshot, SnapshotState};

use super::escape::{message, safe};
use super::held;
use super::identity::heading;
use super::ink::{Ink, Style};
use super::plan::apply_mode;
use super::stops;
use super::table::{Align, Table, grouped, styled};

/// The status as text.
pub(crate) fn status(view: &StatusView, ink: &Ink) -> String {
    let mut out = format!(
        "{}\n",
        ink.paint(
            Style::Bold,
            &format!(
                "Status of {}",
                ink.time_beside(view.at, view.next_due.unwrap_or(view.at))
            )
        )
    );
    if !view.revoking.is_empty() {
        out.push_str(&stops::unfinished(&view.revoking, ink));
        out.push('\n');
    }
    out.push_str(&format!(
        "  policy   {}\n",
        document(view.policy.as_ref(), "usher policy activate FILE", ink)
    ));
    out.push_str(&format!(
        "  targets  {}\n",
        document(view.targets_document.as_ref(), "usher targets activate FILE", ink)
    ));
    out.push_str(&format!("  people   {}\n", people(view)));
    if let Some(at) = view.next_due {
        out.push_str(&format!(
            "  the next operation is due {}\n",
            ink.time_beside(at, view.at)
        ));
    }
    if let Some(at) = view.next_change {
        out.push_str(&format!(
            "  the state of a person changes next {}\n",
            ink.time(at)
        ));
    }
    if !view.targets.is_empty() {
        out.push_str(&heading("Targets", ink));
        out.push_str(&targets(&view.targets, ink));
    }
    if !view.held.is_empty() {
        out.push_str(&heading("Held: a person must decide", ink));
        out.push_str(&held_table(&view.held, ink));
        out.push_str("  `usher operations retry OPERATION` lets one run again\n");
    }
    if !view.held_causes.is_empty() {
        out.push_str(&heading("Held by budgets", ink));
        for cause in &view.held_causes {
            let line = held::line(
                cause.operations,
                cause.counted.verb(),
                cause.target.as_str(),
                &cause.why,
            );
            out.push_str(&format!("  {line}"));
        }
        out.push_str("  `usher held` says what, `usher release ID --reason TEXT` lets it run\n");
    }
    out.push_str(&heading("Imports", ink));
    out.push_str(&imports(&view.imports, ink));
    out
}

fn document(version: Option<&DocumentVersion>, make: &str, ink: &Ink) -> String {
    match version {
        Some(document) => format!(
            "version {}, active since {}",
            document.version,
            ink.time(document.activated_at)
        ),
        None => format!("none is active; `{make}` makes one"),
    }
}

fn people(view: &StatusView) -> String {
    let all: u64 = view.identities.values().sum();
    if all == 0 {
        return "none yet; `usher import FILE --source NAME` takes them in".to_owned();
    }
    let states = view
        .identities
        .iter()
        .map(|(state, number)| format!("{} {}", grouped(*number), safe(state)));
    format!("{}: {}", grouped(all), states.collect::<Vec<_>>().join(", "))
}

fn targets(targets: &[TargetStatus], ink: &Ink) -> String {
    let mut table = Table::new(&[
        ("target", Align::Left),
        ("connector", Align::Left),
        ("apply", Align::Left),
        ("enabled", Align::Right),
        ("disabled", Align::Right),
        ("unknown", Align::Right),
        ("open", Align::Right),
        ("held", Align::Right),
        ("failed", Align::Right),
    ]);
    for target in targets {
        let accounts = |state| grouped(target.accounts.get(&state).copied().unwrap_or(0));
        let operations = |state| target.operations.get(&state).copied().unwrap_or(0);
        let open = [
            OperationState::Waiting,
            OperationState::Ready,
            OperationState::Claimed,
        ]
        .map(operations);
        let (held, failed) = (
            operations(OperationState::Held),
            operations(OperationState::Failed),
        );
        table.row([
            target.name.to_string().into(),
            safe(&target.connector).into(),
            target.apply.map_or("not configured", apply_mode).into(),
            accounts(AccountState::Enabled).into(),
            accounts(AccountState::Disabled).into(),
            accounts(AccountState::Unknown).into(),
            grouped(open.iter().sum()).into(),
            styled(if held > 0 { Style::Warn } else { Style::Plain }, grouped(held)),
            styled(
                if failed > 0 { Style::Bad } else { Style::Plain },
                grouped(failed),
            ),
        ]);
    }
    table.render(2, ink)
}

fn held_table(held: &[HeldView], ink: &Ink) -> String {
    let mut table = Table::new(&[
        ("operation", Align::Left),
        ("person", Align::Left),
        ("account", Align::Left),
        ("does", Align::Left),
        ("why", Align::Left),
    ]);
    for one in held {
        table.row([
            one.operation.to_string().into(),
            safe(&one.key).into(),
            one.slot.to_string().into(),
            safe(&one.verb).into(),
            message(&one.reason).into(),
        ]);
    }
    table.render(2, ink)
}

fn imports(imports: &[Snapshot], ink: &Ink) -> String {
    if imports.is_empty() {
        return "  none yet\n".to_owned();
    }
    let mut table = Table::new(&[
        ("when", Align::Left),
        ("source", Align::Left),
        ("file", Align::Left),
        ("rows", Align::Right),
        ("changes", Align::Right),
        ("result", Align::Left),
    ]);
    for import in imports {
        let result = match import.state {
            SnapshotState::Staging => styled(Style::Dim, "not finished"),
            SnapshotState::Accepted => styled(Style::Warn, "accepted, being taken in"),
            SnapshotState::Absorbed => styled(Style::Good, "accepted"),
            SnapshotState::Refused => styled(
                Style::Bad,
                format!(
                    "refused: {}",
                    message(import.reason.as_deref().unwrap_or("no reason kept"))
                ),
            ),
        };
        table.row([
            ink.time(import.at).into(),
            import.source.to_string().into(),
            safe(&import.origin).into(),
            grouped(import.rows).into(),
            grouped(import.changes).into(),
            result,
        ]);
    }
    table.render(2, ink)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn the_status_at_a_glance() {
        insta::assert_snapshot!(status(&samples::status(), &Ink::plain()));
    }

    #[test]
    fn a_new_folder_says_what_to_do_first() {
        let empty = StatusView {
            identities: Default::default(),
            targets: vec![],
            held: vec![],
            held_causes: vec![],
            revoking: vec![],
            imports: vec![],
            policy: None,
            targets_document: None,
            next_due: None,
            next_change: None,
            ..samples::status()
        };
        insta::assert_snapshot!(status(&empty, &Ink::plain()), @r"
        Status of 2026-03-02 08:00:00 +00:00
          policy   none is active; `usher policy activate FILE` makes one
          targets  none is active; `usher targets activate FILE` makes one
          people   none yet; `usher import FILE --source NAME` takes them in

        Imports
          none yet
        ");
    }
}
