//! What became of a file of people.

use usher_engine::import::ImportReport;

use super::escape::{message, safe, safe_lines};
use super::ink::{Ink, Style};
use super::table::{ROWS_MAX, count, grouped, more};

/// The report as text.
pub(crate) fn import(report: &ImportReport, ink: &Ink) -> String {
    let file = safe(&report.origin);
    let rows = count(report.rows, "row", "rows");
    let mut out = match &report.refused {
        Some(refusal) => format!(
            "{} {file} ({rows}) for source {}: nothing was changed\n  {}\n",
            ink.paint(Style::Bad, "Refused"),
            report.source,
            safe_lines(&refusal.reason).replace('\n', "\n  "),
        ),
        None => format!(
            "{} {file} ({rows}) for source {}\n",
            ink.paint(Style::Good, "Accepted"),
            report.source
        ),
    };
    if report.refused.is_none() {
        out.push_str(&counts(report));
    }
    if let Some(reason) = &report.absence_not_counted {
        out.push_str(&format!(
            "  {} no absence was counted: {}\n",
            ink.paint(Style::Warn, "!"),
            message(reason)
        ));
    }
    out.push_str(&problems(report, ink));
    match &report.refused {
        Some(refusal) if refusal.may_be_overridden => {
            out.push_str("If the file is right all the same, import it with --override-guards.\n");
        }
        Some(_) => {}
        None => out.push_str("`usher plan` shows what follows from it.\n"),
    }
    out
}

fn counts(report: &ImportReport) -> String {
    let parts = [
        (report.new, "new"),
        (report.changed, "changed"),
        (report.returned, "back again"),
        (report.unchanged, "unchanged"),
        (report.missing, "missing"),
        (report.set_aside, "set aside"),
    ];
    let said: Vec<_> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", grouped(*number)))
        .collect();
    let mut out = format!(
        "  {}\n",
        if said.is_empty() {
            "no people".to_owned()
        } else {
            said.join(", ")
        }
    );
    if report.confirmed_missing > 0 {
        let people = count(
            report.confirmed_missing,
            "person's absence counts",
            "people's absences count",
        );
        out.push_str(&format!("  {people} from now on: for them this is the end\n"));
    }
    out
}

fn problems(report: &ImportReport, ink: &Ink) -> String {
    if report.problems_total == 0 {
        return String::new();
    }
    let total = count(report.problems_total, "problem", "problems");
    let aside = if report.refused.is_none() {
        "; the people in these rows stay as they were"
    } else {
        ""
    };
    let mut out = format!("{}\n", ink.paint(Style::Warn, &format!("{total}{aside}")));
    for problem in report.problems.iter().take(ROWS_MAX) {
        out.push_str(&format!("  {}\n", message(&problem.to_string())));
    }
    let shown = report.problems.len().min(ROWS_MAX);
    out.push_str(&more(
        usize::try_from(report.problems_total).unwrap_or(usize::MAX),
        shown,
        2,
    ));
    out
}

#[cfg(test)]
mod tests {
    use usher_engine::import::Refusal;

    use super::*;
    use crate::render::samples;

    #[test]
    fn an_accepted_file_with_bad_rows() {
        insta::assert_snapshot!(import(&samples::import(), &Ink::plain()), @r"
        Accepted people.csv (203 rows) for source hr
          12 new, 3 changed, 1 back again, 185 unchanged, 2 missing, 2 set aside
          1 person's absence counts from now on: for them this is the end
        2 problems; the people in these rows stay as they were
          line 14, column start_date (key e1007): `2026-02-30` is not a date: write 2026-03-02
          line 90: the row has 7 fields, the header 9\u{1b}[2J
        `usher plan` shows what follows from it.
        ");
    }

    #[test]
    fn a_guard_can_be_overridden_a_wrong_form_cannot() {
        let refusal = |may_be_overridden| ImportReport {
            refused: Some(Refusal {
                reason: "20 people in this file, 203 are present".into(),
                may_be_overridden,
            }),
            problems: vec![],
            problems_total: 0,
            rows: 20,
            ..samples::import()
        };
        insta::assert_snapshot!(import(&refusal(true), &Ink::plain()), @r"
        Refused people.csv (20 rows) for source hr: nothing was changed
          20 people in this file, 203 are present
        If the file is right all the same, import it with --override-guards.
        ");
        assert!(!import(&refusal(false), &Ink::plain()).contains("--override-guards"));
    }
}
