//! Accounts that are not plainly linked, as a table.

use std::fmt::Write as _;

use usher_store::{FoundAccount, FoundOwner};

use super::escape::{cut, message, safe, word};
use super::ink::{Ink, Style};
use super::reconcile::style;
use super::table::{Align, Table, styled};
use crate::commands::accounts::Listed;

/// Longest list of attributes shown, in columns.
const ATTRIBUTES_COLUMNS_MAX: usize = 60;

/// A page of accounts.
pub(crate) fn accounts(listed: &Listed, ink: &Ink) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    if listed.accounts.is_empty() {
        text.push_str("no accounts to look at\n");
    } else {
        let mut table = Table::new(&[
            ("target", Align::Left),
            ("id", Align::Left),
            ("situation", Align::Left),
            ("state", Align::Left),
            ("owner", Align::Left),
            ("perhaps", Align::Left),
            ("since", Align::Left),
            ("attributes", Align::Left),
        ]);
        for account in &listed.accounts {
            table.row([
                account.target.to_string().into(),
                word(&account.external_id).into(),
                styled(style(account.situation), account.situation.as_str()),
                account.state.to_string().into(),
                account.owner.as_ref().map(person).unwrap_or_default().into(),
                perhaps(account).into(),
                ink.time(account.since).into(),
                attributes(account).into(),
            ]);
        }
        text.push_str(&table.render(0, ink));
    }
    for account in listed.accounts.iter().filter(|account| account.decided.is_some()) {
        if let Some(decided) = &account.decided {
            let why = decided.reason.as_deref().map(message).unwrap_or_default();
            let _ = writeln!(
                text,
                "{} of {}: left by {} at {}: {why}",
                word(&account.external_id),
                account.target,
                safe(&decided.by.to_string()),
                ink.time(decided.at)
            );
        }
    }
    if let Some(last) = listed.accounts.last().filter(|_| listed.more) {
        let _ = writeln!(
            text,
            "more: usher accounts --target {} --after {}",
            last.target,
            word(&last.external_id)
        );
    }
    if !listed.totals.is_empty() {
        let totals: Vec<String> = listed
            .totals
            .iter()
            .map(|total| format!("{} {} in {}", total.accounts, total.situation, total.target))
            .collect();
        let _ = writeln!(
            text,
            "{}",
            ink.paint(Style::Dim, &format!("In all: {}", totals.join(", ")))
        );
    }
    text
}

fn person(owner: &FoundOwner) -> String {
    let key = owner
        .key
        .as_deref()
        .map_or_else(|| owner.identity.to_string(), safe);
    if owner.kind.as_str() == "primary" {
        key
    } else {
        format!("{key} ({})", owner.kind)
    }
}

fn perhaps(account: &FoundAccount) -> String {
    let all: Vec<String> = account
        .candidates
        .iter()
        .map(|candidate| match candidate.weight {
            Some(weight) => format!("{} {weight}", person(&candidate.who)),
            None => person(&candidate.who),
        })
        .collect();
    all.join(", ")
}

fn attributes(account: &FoundAccount) -> String {
    let all: Vec<String> = account
        .attributes
        .iter()
        .map(|(name, value)| format!("{}={}", word(name), super::escape::value(value)))
        .collect();
    cut(&all.join(" "), ATTRIBUTES_COLUMNS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn accounts_line_up_with_who_may_own_them() {
        insta::assert_snapshot!(accounts(&samples::found_accounts(), &Ink::plain()));
    }

    #[test]
    fn none_is_said() {
        let listed = Listed {
            totals: Vec::new(),
            accounts: Vec::new(),
            more: false,
        };
        assert_eq!(accounts(&listed, &Ink::plain()), "no accounts to look at\n");
    }
}
