//! Operations as a table.

use usher_lifecycle::operation::Work;
use usher_store::OperationRow;

use super::account::operation_style;
use super::escape::{message, safe, word};
use super::ink::Ink;
use super::table::{Align, Table, styled};

/// The operations, newest first.
pub(crate) fn operations(rows: &[OperationRow], ink: &Ink) -> String {
    if rows.is_empty() {
        return "no operations\n".to_owned();
    }
    let mut table = Table::new(&[
        ("operation", Align::Left),
        ("person", Align::Left),
        ("account", Align::Left),
        ("does", Align::Left),
        ("state", Align::Left),
        ("tries", Align::Right),
        ("due or ended", Align::Left),
        ("message", Align::Left),
    ]);
    for row in rows {
        table.row([
            row.id.to_string().into(),
            safe(&row.key).into(),
            row.slot.to_string().into(),
            work(&row.work).into(),
            styled(operation_style(row.state), row.state.to_string()),
            row.attempts.to_string().into(),
            ink.time(row.at).into(),
            row.message.as_deref().map(message).unwrap_or_default().into(),
        ]);
    }
    table.render(0, ink)
}

fn work(work: &Work) -> String {
    match work {
        Work::Grant { entitlement, .. } | Work::Revoke { entitlement } => {
            format!("{} {}", work.verb(), word(entitlement))
        }
        Work::Create { .. }
        | Work::Update { .. }
        | Work::Disable
        | Work::Enable
        | Work::Delete
        | Work::Read => work.verb().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn operations_line_up() {
        insta::assert_snapshot!(operations(&samples::operations(), &Ink::plain()));
    }

    #[test]
    fn none_is_said() {
        assert_eq!(operations(&[], &Ink::plain()), "no operations\n");
    }
}
