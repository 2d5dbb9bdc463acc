//! What an apply did.

use usher_engine::run::{ApplyReport, ApplyTotal, Left, RetryReason, TroubleState};
use usher_lifecycle::targets::ApplyMode;

use super::account::problems;
use super::escape::{message_lines, safe};
use super::identity::heading;
use super::ink::{Ink, Style};
use super::plan::{apply_mode, observed};
use super::table::{Align, ROWS_MAX, Table, count, grouped, more, styled};

/// The report as text. `stopped`: a person asked it to stop.
pub(crate) fn apply(report: &ApplyReport, stopped: bool, ink: &Ink) -> String {
    let mut out = String::new();
    if report.recovered.operations > 0 || report.recovered.absorbed > 0 {
        out.push_str(&format!(
            "Taken up from an earlier run that was cut short: {} under way, {} of an import\n",
            count(report.recovered.operations, "operation", "operations"),
            count(report.recovered.absorbed, "row", "rows"),
        ));
    }
    out.push_str(&format!(
        "{} planned, {} queued, {} done\n",
        count(report.planned, "person", "people"),
        count(report.queued, "operation", "operations"),
        grouped(report.done()),
    ));
    if !report.totals.is_empty() {
        out.push('\n');
        out.push_str(&totals(&report.totals, ink));
    }
    out.push_str(&troubles(report, ink));
    out.push_str(&retries(&report.retries));
    out.push_str(&paused(report, ink));
    out.push_str(&problems(&report.problems, ink));
    out.push('\n');
    out.push_str(&closing(report, stopped, ink));
    out
}

fn totals(totals: &[ApplyTotal], ink: &Ink) -> String {
    let mut table = Table::new(&[
        ("target", Align::Left),
        ("operation", Align::Left),
        ("done", Align::Right),
        ("settled", Align::Right),
        ("retried", Align::Right),
        ("held", Align::Right),
        ("failed", Align::Right),
    ]);
    for total in totals {
        let number = |number: u64, style: Style| match number {
            0 => styled(Style::Dim, "·"),
            number => styled(style, grouped(number)),
        };
        table.row([
            total.target.to_string().into(),
            safe(&total.verb).into(),
            number(total.done, Style::Good),
            number(total.settled, Style::Good),
            number(total.retrying, Style::Plain),
            number(total.held, Style::Warn),
            number(total.failed, Style::Bad),
        ]);
    }
    table.render(0, ink)
}

fn troubles(report: &ApplyReport, ink: &Ink) -> String {
    if report.troubles.is_empty() {
        return String::new();
    }
    let mut out = heading("A person should look at these", ink);
    for trouble in report.troubles.iter().take(ROWS_MAX) {
        let state = match trouble.state {
            TroubleState::Held => ink.paint(Style::Warn, "held"),
            TroubleState::Failed => ink.paint(Style::Bad, "failed"),
        };
        out.push_str(&format!(
            "  {state} {} {} {}\n      {}\n",
            trouble.operation,
            safe(&trouble.verb),
            safe(&trouble.account),
            message_lines(&trouble.message, "      ")
        ));
    }
    out.push_str(&more(report.troubles.len(), ROWS_MAX, 2));
    out.push_str("  `usher operations retry OPERATION` lets one run again once its cause is mended\n");
    out
}

/// Why operations are tried again: one line for each target and reason.
fn retries(retries: &[RetryReason]) -> String {
    let line = |reason: &RetryReason| {
        format!(
            "{}: {} retried, latest: {}\n",
            reason.target,
            grouped(reason.operations),
            message_lines(&reason.message, "      ")
        )
    };
    let lines: String = retries.iter().map(line).collect();
    if lines.is_empty() {
        lines
    } else {
        format!("\n{lines}")
    }
}

fn paused(report: &ApplyReport, ink: &Ink) -> String {
    let line = |target: &usher_engine::run::PausedTarget| {
        let until = target.until.map_or_else(
            || "for the rest of this run".to_owned(),
            |at| format!("until {}", ink.time(at)),
        );
        format!(
            "{} target {} was paused {until}: {}\n",
            ink.paint(Style::Warn, "!"),
            target.target,
            message_lines(&target.reason, "      ")
        )
    };
    let lines: String = report.paused.iter().map(line).collect();
    if lines.is_empty() {
        lines
    } else {
        format!("\n{lines}")
    }
}

/// Operations left at targets that are applied: what `observe` targets keep is left on purpose.
pub(crate) fn left_over(report: &ApplyReport) -> u64 {
    let runs = |left: &&Left| left.apply != ApplyMode::Observe;
    report
        .left
        .iter()
        .filter(runs)
        .map(|left| left.open + left.held)
        .sum()
}

fn closing(report: &ApplyReport, stopped: bool, ink: &Ink) -> String {
    let mut out = String::new();
    if stopped {
        out.push_str("Stopped as asked; what was under way is recorded. `usher apply` goes on.\n");
    }
    for left in report.left.iter().filter(|left| left.open + left.held > 0) {
        if left.apply == ApplyMode::Observe {
            out.push_str(&observed(left.open + left.held, &left.target));
            continue;
        }
        let held = if left.held > 0 {
            format!(" ({} held)", grouped(left.held))
        } else {
            String::new()
        };
        let open = count(left.open + left.held, "operation", "operations");
        out.push_str(&format!(
            "{open} left at {}{held}, apply {}\n",
            left.target,
            apply_mode(left.apply)
        ));
    }
    if let Some(at) = report.next_due {
        out.push_str(&format!(
            "The next operation is due {}; `usher apply --wait SECONDS` waits for it.\n",
            ink.time(at)
        ));
    }
    if let Some(at) = report.next_change {
        out.push_str(&format!("The state of a person changes next {}.\n", ink.time(at)));
    }
    if !report.problems.is_empty() {
        let problems = count(report.problems.len() as u64, "problem", "problems");
        out.push_str(&format!("{problems} above to mend.\n"));
    }
    let nothing_left = report.left.iter().all(|left| left.open + left.held == 0);
    if nothing_left && report.troubles.is_empty() && report.problems.is_empty() && !stopped {
        out.push_str(&format!("{}\n", ink.paint(Style::Good, "Nothing is left to do.")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn a_run_with_trouble() {
        insta::assert_snapshot!(apply(&samples::apply(), false, &Ink::plain()));
        assert_eq!(left_over(&samples::apply()), 3);
    }

    #[test]
    fn a_run_with_nothing_to_do() {
        insta::assert_snapshot!(apply(&ApplyReport::default(), false, &Ink::plain()), @r"
        0 people planned, 0 operations queued, 0 done

        Nothing is left to do.
        ");
    }

    #[test]
    fn what_is_only_observed_or_wrong_is_left() {
        let observed = ApplyReport {
            left: samples::apply().left.split_off(1),
            ..ApplyReport::default()
        };
        insta::assert_snapshot!(closing(&observed, false, &Ink::plain()), @r#"50 operations only observed: set apply = "manual" or "auto" for directory to carry them out."#);
        let wrong = ApplyReport {
            problems: samples::apply().problems,
            ..ApplyReport::default()
        };
        insta::assert_snapshot!(closing(&wrong, false, &Ink::plain()), @"1 problem above to mend.");
    }

    #[test]
    fn a_stopped_run_never_says_that_nothing_is_left() {
        let text = apply(&ApplyReport::default(), true, &Ink::plain());
        assert!(
            text.contains("Stopped as asked") && !text.contains("Nothing is left"),
            "{text}"
        );
    }
}
