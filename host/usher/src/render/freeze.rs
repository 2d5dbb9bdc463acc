//! A freeze, where nobody can overlook it.

use usher_store::Freeze;

use super::escape::message;
use super::ink::{Ink, Style};

/// Said before everything else; nothing when the store is not frozen.
pub(crate) fn banner(frozen: Option<&Freeze>, ink: &Ink) -> String {
    let Some(freeze) = frozen else {
        return String::new();
    };
    format!(
        "{} since {}: {}\n  {}; `usher thaw --reason TEXT` lets it go on\n\n",
        ink.paint(Style::Bad, "FROZEN"),
        ink.time(freeze.since),
        message(&freeze.reason),
        if freeze.all {
            "nothing is done in any target, not even for a security hold"
        } else {
            "nothing is done in any target but what a security hold (`usher revoke`) asks for"
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_says_why_and_what_to_do() {
        let freeze = Freeze {
            reason: "restored to the state of 2026-03-01\u{1b}[2J".to_owned(),
            since: "2026-03-02T08:00:00Z".parse().unwrap(),
            all: false,
        };
        insta::assert_snapshot!(banner(Some(&freeze), &Ink::plain()), @r"
        FROZEN since 2026-03-02 08:00:00 +00:00: restored to the state of 2026-03-01\u{1b}[2J
          nothing is done in any target but what a security hold (`usher revoke`) asks for; `usher thaw --reason TEXT` lets it go on
        ");
        let all = Freeze { all: true, ..freeze };
        assert!(banner(Some(&all), &Ink::plain()).contains("not even for a security hold"));
        assert_eq!(banner(None, &Ink::plain()), "");
    }
}
