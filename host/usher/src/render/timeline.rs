//! What happened: one line for each event, with who and why.

use serde_json::Value;
use usher_engine::views::TimelineEntry;
use usher_store::AuditRow;

use super::account::chain;
use super::escape::{message, safe, value, word};
use super::ink::{Ink, Style};
use super::table::{Align, ROWS_MAX, Table, styled};

/// What happened to one person, oldest first. Of a long life only the newest part is shown.
pub(crate) fn timeline(entries: &[TimelineEntry], ink: &Ink) -> String {
    if entries.is_empty() {
        return "  nothing yet\n".to_owned();
    }
    let earlier = entries.len().saturating_sub(ROWS_MAX);
    let mut table = columns();
    for entry in entries.iter().skip(earlier) {
        let event = Event {
            name: &entry.event,
            actor: &entry.actor,
            cause: &entry.cause,
            detail: &entry.detail,
        };
        table.row(event.cells(ink.time(entry.at)));
    }
    let hint = if earlier > 0 {
        format!("  … {earlier} earlier (--json shows all)\n")
    } else {
        String::new()
    };
    hint + &table.render_rows(2, ink)
}

/// Rows of the audit, oldest first.
pub(crate) fn audit(rows: &[AuditRow], ink: &Ink) -> String {
    if rows.is_empty() {
        return "nothing was recorded yet\n".to_owned();
    }
    let mut table = columns();
    for row in rows {
        let actor = row.actor.to_string();
        let event = Event {
            name: &row.event,
            actor: &actor,
            cause: row.cause.links(),
            detail: &row.payload,
        };
        table.row(event.cells(ink.time(row.at)));
    }
    table.render_rows(0, ink)
}

fn columns() -> Table {
    Table::new(&[
        ("when", Align::Left),
        ("who", Align::Left),
        ("what", Align::Left),
        ("why", Align::Left),
    ])
}

struct Event<'a> {
    name: &'a str,
    actor: &'a str,
    cause: &'a [String],
    detail: &'a Value,
}

impl Event<'_> {
    fn cells(&self, at: String) -> [super::table::Cell; 4] {
        let mut what = safe(self.name);
        if self.detail.get("erased") == Some(&Value::Bool(true)) {
            what.push_str(" (erased)");
        }
        let deed = deed(self.detail);
        if !deed.is_empty() {
            what.push_str(&format!(" {deed}"));
        }
        let mut why = chain(self.cause);
        if let Some(text) = self.text("message").or_else(|| self.text("reason")) {
            why.push_str(&format!(
                "{}{}",
                if why.is_empty() { "" } else { ": " },
                message(text)
            ));
        }
        [
            at.into(),
            safe(self.actor).into(),
            styled(event_style(self.name), what),
            why.into(),
        ]
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.detail.get(name)?.as_str().filter(|text| !text.is_empty())
    }
}

/// The details of an event in a few words: which account and work, which change of state, which attributes.
fn deed(detail: &Value) -> String {
    let text = |name: &str| detail.get(name).and_then(Value::as_str);
    let mut words: Vec<String> = Vec::new();
    if let (Some(work), Some(account)) = (text("work"), text("account")) {
        words.push(format!("{} {}", safe(work), safe(account)));
    }
    words.extend(text("entitlement").map(word));
    words.extend(text("external-id").map(|id| format!("id {}", safe(id))));
    if let Some(to) = text("to") {
        words.push(format!("{} → {}", safe(text("from").unwrap_or("new")), safe(to)));
    }
    if let Some(changes) = detail.get("changes").and_then(Value::as_object) {
        let side = |change: &Value, name: &str| change.get(name).map_or_else(|| "none".to_owned(), value);
        let changes = changes
            .iter()
            .map(|(name, one)| format!("{}: {} → {}", safe(name), side(one, "from"), side(one, "to")));
        words.push(changes.collect::<Vec<_>>().join(", "));
    }
    if let Some(origin) = text("origin") {
        words.push(safe(origin));
    }
    if let (Some(name), Some(version)) = (text("name"), text("version")) {
        words.push(format!("{} {}", safe(name), safe(version)));
    }
    words.join(" ")
}

/// The colour of an event.
fn event_style(event: &str) -> Style {
    match event {
        "operation.failed" | "import.refused" => Style::Bad,
        "operation.held" | "operation.retry" | "operation.recovered" => Style::Warn,
        "operation.done" | "operation.settled" => Style::Good,
        // Events are an open list; most are neither good nor bad.
        _ => Style::Plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::render::samples;

    #[test]
    fn of_a_long_life_the_newest_part_is_shown() {
        let one = samples::identity().timeline[0].clone();
        let text = timeline(&vec![one; ROWS_MAX + 5], &Ink::plain());
        assert!(text.starts_with("  … 5 earlier (--json shows all)\n"), "{text}");
        assert_eq!(text.lines().count(), ROWS_MAX + 1);
    }

    #[test]
    fn details_are_told_in_a_few_words() {
        let cases = [
            (
                json!({"work": "grant", "account": "app", "entitlement": "All Staff"}),
                "grant app \"All Staff\"",
            ),
            (
                json!({"work": "create", "account": "app/admin", "external-id": "17"}),
                "create app/admin id 17",
            ),
            (json!({"from": null, "to": "staged"}), "new → staged"),
            (
                json!({"changes": {"title": {"from": "Dev", "to": null}}}),
                "title: Dev → none",
            ),
            (json!({"origin": "a\u{1b}b.csv"}), "a\\u{1b}b.csv"),
            (json!({}), ""),
            (Value::Null, ""),
        ];
        for (detail, words) in cases {
            assert_eq!(deed(&detail), words, "{detail}");
        }
    }
}
