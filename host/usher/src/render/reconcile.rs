//! What a reconcile found.

use std::fmt::Write as _;

use usher_engine::reconcile::ReconcileReport;
use usher_lifecycle::situation::Situation;

use super::escape::{message, message_lines};
use super::ink::{Ink, Style};

/// The report.
pub(crate) fn reconcile(report: &ReconcileReport, ink: &Ink) -> String {
    let mut text = String::new();
    let target = &report.target;
    // Writing into a String cannot fail.
    if let Some(refused) = &report.refused {
        let head = ink.paint(Style::Bad, "Not believed:");
        let _ = writeln!(text, "{head} {} accounts of {target} were listed", report.listed);
        let _ = writeln!(text, "  {}", message_lines(&refused.reason, "  "));
        let _ = writeln!(text, "Nothing took effect.");
        return text;
    }
    let _ = writeln!(
        text,
        "{} {} accounts of {target} listed",
        ink.paint(Style::Bold, "Reconciled:"),
        report.listed
    );
    for (count, told) in [
        (report.duplicates, "were listed more than once; the last counts"),
        (report.unlisted, "were not listed, but are there"),
        (report.updated, "brought up to date"),
        (
            report.drifted,
            "of them drifted: they differed though nobody here changed them",
        ),
        (report.missing, "linked accounts are not there any more"),
        (report.linked, "linked by the rules"),
        (
            report.put_off,
            "left for the next reconcile: work on them was under way",
        ),
        (report.disabled, "that nobody owns were disabled"),
    ] {
        if count > 0 {
            let _ = writeln!(text, "  {count:>8}  {told}");
        }
    }
    if let Some(left) = &report.not_disabled {
        let head = ink.paint(Style::Warn, "Not disabled:");
        let _ = writeln!(text, "{head} {}", message(&left.reason));
    }
    if !report.situations.is_empty() {
        let _ = writeln!(text, "Not plainly linked now:");
        for total in &report.situations {
            let situation = ink.paint(style(total.situation), total.situation.as_str());
            let _ = writeln!(text, "  {:>8}  {situation}", total.accounts);
        }
        let _ = writeln!(text, "See them with `usher accounts --target {target}`.");
    }
    for problem in &report.problems {
        let _ = writeln!(text, "  {}", message(problem));
    }
    let more = report.problems_total.saturating_sub(report.problems.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more problems");
    }
    text
}

/// How a situation looks.
pub(crate) const fn style(situation: Situation) -> Style {
    match situation {
        Situation::Linked => Style::Good,
        Situation::Unlinked | Situation::Ambiguous => Style::Warn,
        Situation::Unmatched | Situation::Missing | Situation::Disputed => Style::Bad,
    }
}

#[cfg(test)]
mod tests {
    use usher_engine::reconcile::Refusal;

    use super::*;
    use crate::render::samples;

    #[test]
    fn what_was_found_is_told_in_few_lines() {
        insta::assert_snapshot!(reconcile(&samples::reconcile_report(), &Ink::plain()));
    }

    #[test]
    fn a_list_that_is_not_believed_tells_why() {
        let report = ReconcileReport {
            refused: Some(Refusal {
                reason: "not one of the 7 accounts known here was listed. Look".to_owned(),
            }),
            ..samples::reconcile_report()
        };
        insta::assert_snapshot!(reconcile(&report, &Ink::plain()));
    }
}
