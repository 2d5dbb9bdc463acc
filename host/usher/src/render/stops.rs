//! How far the end of somebody's access is.

use std::collections::BTreeMap;

use serde::Serialize;
use usher_engine::run::Revoked;
use usher_engine::views::{StopAccount, StopProgress, StopView};

use super::account::person;
use super::escape::{message, safe, word};
use super::identity::heading;
use super::ink::{Ink, Style};
use super::table::{Align, Cell, Table, styled};

/// What a revoke answers.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    /// The hold was set now.
    #[serde(rename = "new")]
    pub(crate) is_new: bool,
    #[serde(flatten)]
    pub(crate) view: &'a StopView,
}

impl<'a> Shown<'a> {
    pub(crate) const fn of(revoked: &'a Revoked) -> Self {
        Self {
            is_new: revoked.is_new,
            view: &revoked.view,
        }
    }
}

/// The answer of `usher revoke`.
pub(crate) fn revoked(shown: &Shown<'_>, ink: &Ink) -> String {
    let view = shown.view;
    let who = ink.paint(Style::Bold, &person(&view.key, view.name.as_deref()));
    let is = if view.ended {
        ink.paint(Style::Good, "access has ended everywhere")
    } else {
        ink.paint(Style::Bad, "access has not ended everywhere yet")
    };
    let mut out = format!("{who}: {is}\n");
    if !shown.is_new {
        out.push_str("  the security hold was in force already; this is how far it is\n");
    }
    out.push_str(&below(view, ink));
    if view.goes_on() {
        out.push_str(
            "  what is left goes on before everything else with `usher serve` or the next `usher apply`;\n",
        );
        out.push_str("  the same command again shows how far it is\n");
    }
    out
}

/// The same as a part of what is shown of a person.
pub(crate) fn section(view: &StopView, ink: &Ink) -> String {
    let title = if view.ended {
        "Access has ended"
    } else {
        "Access is being ended"
    };
    heading(title, ink) + &below(view, ink)
}

fn below(view: &StopView, ink: &Ink) -> String {
    let hold = &view.hold;
    let mut out = format!(
        "  security hold since {} by {}: {}\n  `usher identity end {} --reason TEXT` ends it\n",
        ink.time(hold.since),
        message(&hold.by.to_string()),
        message(&hold.reason),
        hold.id
    );
    if let Some(freeze) = &view.frozen {
        out.push_str(&ink.paint(
            Style::Bad,
            &format!(
                "  everything is frozen, so this waits too: {}\n",
                message(&freeze.reason)
            ),
        ));
    }
    if view.accounts.is_empty() {
        out.push_str("  no account is known\n");
        return out;
    }
    let mut table = Table::new(&[
        ("account", Align::Left),
        ("is", Align::Left),
        ("how far", Align::Left),
    ]);
    for account in &view.accounts {
        table.row([
            account.slot.to_string().into(),
            account.state.to_string().into(),
            far(&account.progress, ink),
        ]);
    }
    out.push('\n');
    out.push_str(&table.render(2, ink));
    out.push_str(&lives_on(&view.accounts, ink));
    out
}

/// What disabling does not end, with the accounts it is said of.
fn lives_on(accounts: &[StopAccount], ink: &Ink) -> String {
    let mut said: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for account in accounts {
        if let Some(what) = &account.lives_on {
            said.entry(what).or_default().push(account.slot.to_string());
        }
    }
    if said.is_empty() {
        return String::new();
    }
    let mut out = heading("What disabling does not end", ink);
    for (what, slots) in said {
        out.push_str(&format!("  {}: {}\n", slots.join(", "), safe(what)));
    }
    out
}

/// Everybody who still has access under a security hold, for the status; nothing where there is nobody.
pub(crate) fn unfinished(views: &[StopView], ink: &Ink) -> String {
    if views.is_empty() {
        return String::new();
    }
    let mut out = heading("Revoked, and access has not ended", ink);
    let mut table = Table::new(&[
        ("person", Align::Left),
        ("since", Align::Left),
        ("account", Align::Left),
        ("is", Align::Left),
        ("how far", Align::Left),
    ]);
    for view in views {
        for account in view
            .accounts
            .iter()
            .filter(|account| !account.progress.has_ended())
        {
            table.row([
                word(&view.key).into(),
                ink.time(view.hold.since).into(),
                account.slot.to_string().into(),
                account.state.to_string().into(),
                far(&account.progress, ink),
            ]);
        }
    }
    out.push_str(&table.render(2, ink));
    out
}

fn far(progress: &StopProgress, ink: &Ink) -> Cell {
    let style = if progress.has_ended() {
        Style::Good
    } else if progress.goes_on() {
        Style::Warn
    } else {
        Style::Bad
    };
    styled(style, words(progress, ink))
}

/// How far, in words.
pub(crate) fn words(progress: &StopProgress, ink: &Ink) -> String {
    match progress {
        StopProgress::Disabled => "disabled".to_owned(),
        StopProgress::Absent => "no account".to_owned(),
        StopProgress::Due => "to be planned".to_owned(),
        StopProgress::Queued => "to be disabled next".to_owned(),
        StopProgress::UnderWay => "being disabled".to_owned(),
        StopProgress::InTheWay { verb } => {
            format!(
                "waits for {} under way, which is cut short if it takes long",
                safe(verb)
            )
        }
        StopProgress::Again { attempts, at, why } => {
            let attempts = if *attempts == 0 {
                String::new()
            } else {
                format!(" after {attempts} tries")
            };
            format!("again {}{attempts}: {}", ink.time(*at), message(why))
        }
        StopProgress::Held { operation, why } => {
            format!(
                "waits for a person (usher operations retry {operation}): {}",
                message(why)
            )
        }
        StopProgress::Blocked { why } => format!("must be done there by hand: {}", message(why)),
        StopProgress::Protected { why } => format!("protected, never touched: {}", message(why)),
    }
}

#[cfg(test)]
mod tests {
    use usher_store::Freeze;

    use super::*;
    use crate::render::samples;

    fn all(view: &StopView, is_new: bool) -> String {
        revoked(&Shown { is_new, view }, &Ink::plain())
    }

    #[test]
    fn a_revoke_says_how_far_it_is_and_what_lives_on() {
        insta::assert_snapshot!(all(&samples::stop(), true));
    }

    #[test]
    fn one_that_is_done_says_so_and_one_that_was_before_too() {
        let mut view = samples::stop();
        view.accounts.retain(|account| account.progress.has_ended());
        view.ended = true;
        insta::assert_snapshot!(all(&view, false));
    }

    #[test]
    fn a_freeze_of_everything_is_said() {
        let view = StopView {
            frozen: Some(Freeze {
                reason: "the restore is looked at\u{1b}[2J".to_owned(),
                since: samples::stop().at,
                all: true,
            }),
            accounts: Vec::new(),
            ..samples::stop()
        };
        insta::assert_snapshot!(all(&view, true));
    }

    #[test]
    fn those_who_still_have_access_are_listed() {
        insta::assert_snapshot!(unfinished(&[samples::stop()], &Ink::plain()));
        assert_eq!(unfinished(&[], &Ink::plain()), "");
    }
}
