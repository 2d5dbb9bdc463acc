//! Lists that do not end, repeat themselves, or are larger than asked for.

use serde_json::Value;

use crate::bindings::exports::usher::connector::entitlements::{
    Entitlement, EntitlementPage, Holding, HoldingPage,
};
use crate::bindings::usher::connector::types::{AccountPage, Call, CallError, FindQuery};
use crate::{Account, account, number, settings, text};

pub(crate) fn find(call: &Call, query: &FindQuery) -> Result<Vec<Account>, CallError> {
    let count = match query {
        FindQuery::Marker(marker) => marker.len() as u64,
        FindQuery::Unique(_) => 1,
    };
    let padding = "x".repeat(number(&settings(call), "padding") as usize);
    Ok((0..count)
        .map(|number| account(format!("{number}{padding}")))
        .collect())
}

/// The cursor after this one, as the settings say.
fn next(settings: &Value, cursor: Option<&str>) -> Option<String> {
    let page: u64 = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or_default();
    match text(settings, "listing") {
        // The same one for ever.
        "repeated-cursor" => Some("again".to_owned()),
        // One and two, turn and turn about.
        "circle" => Some((page % 2 + 1).to_string()),
        // Always a new one.
        "endless" | "endless-empty" => Some((page + 1).to_string()),
        _ => match number(settings, "cursor-bytes") {
            0 => None,
            bytes => Some("c".repeat(bytes as usize)),
        },
    }
}

pub(crate) fn accounts(call: &Call, cursor: Option<String>, limit: u32) -> Result<AccountPage, CallError> {
    let settings = settings(call);
    let page: u64 = cursor
        .as_deref()
        .and_then(|cursor| cursor.parse().ok())
        .unwrap_or_default();
    let ids: Vec<String> = match text(&settings, "listing") {
        "endless-empty" => vec![],
        "endless" => (0..u64::from(limit))
            .map(|number| format!("{page}-{number}"))
            .collect(),
        "duplicates" => ["1", "2", "1", "3", "1"].map(str::to_owned).to_vec(),
        "look-alikes" => ["ada", "a\u{200b}da", "ada\u{202e}", "ada\0", "\u{430}da"]
            .map(str::to_owned)
            .to_vec(),
        _ => (0..u64::from(limit) + number(&settings, "more"))
            .map(|number| number.to_string())
            .collect(),
    };
    let in_turn = |(turn, id): (usize, String)| Account {
        attributes: format!("{{\"turn\":{turn}}}"),
        ..account(id)
    };
    Ok(AccountPage {
        accounts: ids.into_iter().enumerate().map(in_turn).collect(),
        next: next(&settings, cursor.as_deref()),
    })
}

pub(crate) fn entitlements(
    call: &Call,
    cursor: Option<String>,
    limit: u32,
) -> Result<EntitlementPage, CallError> {
    let settings = settings(call);
    let name = |number: u64| match text(&settings, "entitlement-name") {
        "" => format!("Group {number}"),
        name => name.to_owned(),
    };
    let count = match text(&settings, "listing") {
        "endless" => u64::from(limit),
        _ => number(&settings, "entitlements"),
    };
    let one = |number: u64| Entitlement {
        id: format!("{}-{number}", cursor.as_deref().unwrap_or_default()),
        kind: text(&settings, "kind").to_owned(),
        name: name(number),
    };
    Ok(EntitlementPage {
        entitlements: (0..count).map(one).collect(),
        next: next(&settings, cursor.as_deref()),
    })
}

fn holding(account: &str, entitlement: &str, parameters: Option<String>) -> Holding {
    Holding {
        account_id: account.to_owned(),
        entitlement_id: entitlement.to_owned(),
        parameters,
    }
}

pub(crate) fn members(
    call: &Call,
    entitlement: String,
    cursor: Option<String>,
    _limit: u32,
) -> Result<HoldingPage, CallError> {
    let settings = settings(call);
    let parameters = settings["parameters"].as_str().map(str::to_owned);
    let of = match text(&settings, "behaviour") {
        "another-account" => "another".to_owned(),
        _ => entitlement,
    };
    Ok(HoldingPage {
        holdings: vec![holding("1", &of, parameters)],
        next: next(&settings, cursor.as_deref()),
    })
}

pub(crate) fn held(call: &Call, account: String) -> Result<Vec<Holding>, CallError> {
    let settings = settings(call);
    let of = match text(&settings, "behaviour") {
        "another-account" => "another".to_owned(),
        _ => account,
    };
    let parameters = Some(r#"{"level":2}"#.to_owned());
    let count = number(&settings, "holdings").max(1);
    Ok((0..count)
        .map(|number| match number {
            0 => holding(&of, "staff", parameters.clone()),
            number => holding(&of, &format!("g{number}"), None),
        })
        .collect())
}
