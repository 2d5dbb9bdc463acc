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
        "{} since {}: {}\n  nothing is done in any target; `usher thaw --reason TEXT` lets it go on\n\n",
        ink.paint(Style::Bad, "FROZEN"),
        ink.time(freeze.since),
        message(&freeze.reason)
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
        };
        insta::assert_snapshot!(banner(Some(&freeze), &Ink::plain()), @r"
        FROZEN since 2026-03-02 08:00:00 +00:00: restored to the state of 2026-03-01\u{1b}[2J
          nothing is done in any target; `usher thaw --reason TEXT` lets it go on
        ");
        assert_eq!(banner(None, &Ink::plain()), "");
    }
}
