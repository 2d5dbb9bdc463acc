//! Lists that do not end, repeat themselves, or say strange things.

use serde_json::{Value, json};
use usher_connectors::{Connector as _, Listing};
use usher_lifecycle::connector::{CallError, Effect, ErrorKind};
use usher_lifecycle::targets::Limits;

use super::{Ends, check_end, with};
use crate::support::{hostile, login, noop, target, write};

/// Walks through all accounts to the end, good or bad.
async fn walk(settings: Value) -> (usize, Result<(), CallError>) {
    let generation = hostile(&with(settings)).await;
    let (mut listing, mut count) = (Listing::new(), 0);
    let end = loop {
        match listing.accounts(&*generation).await {
            Ok(Some(page)) => count += page.len(),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(
        generation.create(&write(), &login("good")).await.unwrap().id,
        "good"
    );
    assert_eq!(
        noop().await.create(&write(), &login("ada")).await.unwrap().id,
        "op_1"
    );
    (count, end)
}

#[tokio::test]
async fn a_repeated_cursor_is_an_error_at_once_or_in_a_circle() {
    for listing in ["repeated-cursor", "circle"] {
        let (_, end) = walk(json!({ "listing": listing })).await;
        check_end(
            listing,
            &end.unwrap_err(),
            &Ends::Crashed("a cursor it had answered before"),
            Effect::None,
        );
    }
}

#[tokio::test]
async fn empty_pages_without_end_have_an_end() {
    let (count, end) = walk(json!({ "listing": "endless-empty" })).await;
    check_end(
        "empty",
        &end.unwrap_err(),
        &Ends::Limit("50 empty pages in a row"),
        Effect::None,
    );
    assert_eq!(count, 0);
}

#[tokio::test]
async fn full_pages_without_end_have_an_end() {
    // That a listing is cut at its number of pages and items is shown in `listing.rs`: in a debug build, twenty thousand calls take
    // too long. Here: a guest can go on for long, and each page is a call of its own under the limits of one.
    let generation = hostile(&with(json!({ "listing": "endless" }))).await;
    let mut listing = Listing::new();
    for _ in 0..20 {
        assert_eq!(listing.accounts(&*generation).await.unwrap().unwrap().len(), 500);
    }
    let mut listing = Listing::new();
    for _ in 0..20 {
        assert_eq!(
            listing.entitlements(&*generation).await.unwrap().unwrap().len(),
            500
        );
    }
    assert_eq!(listing.duplicates(), 0);
}

#[tokio::test]
async fn duplicates_are_kept_once_the_last_of_them() {
    let generation = hostile(&with(json!({ "listing": "duplicates" }))).await;
    let mut listing = Listing::new();
    let page = listing.accounts(&*generation).await.unwrap().unwrap();
    let kept: Vec<_> = page
        .iter()
        .map(|account| (account.id.as_str(), account.attributes["turn"].as_u64()))
        .collect();
    assert_eq!(kept, [("2", Some(1)), ("3", Some(3)), ("1", Some(4))]);
    assert_eq!(listing.duplicates(), 2);
    assert!(listing.accounts(&*generation).await.unwrap().is_none());
}

#[tokio::test]
async fn ids_that_look_alike_are_different_accounts() {
    let (count, end) = walk(json!({ "listing": "look-alikes" })).await;
    assert_eq!((count, end), (5, Ok(())));
}

#[tokio::test]
async fn pages_and_finds_keep_to_their_limits() {
    let nonsense = |error: CallError, says: &'static str| {
        check_end(says, &error, &Ends::Crashed(says), Effect::None);
    };
    let generation = hostile(&target(json!({ "more": 1 }))).await;
    nonsense(generation.list(None, 5).await.unwrap_err(), "a page of 6 items");
    let generation = hostile(&target(json!({ "cursor-bytes": 5_000 }))).await;
    nonsense(
        generation.list(None, 5).await.unwrap_err(),
        "cursor of 5000 bytes",
    );
    let generation = hostile(&target(json!({ "entitlements": 1_000 }))).await;
    nonsense(
        generation.entitlements(None, 500).await.unwrap_err(),
        "a page of 1000 items",
    );
    let generation = hostile(&target(json!({ "holdings": 10_001 }))).await;
    nonsense(generation.held("7").await.unwrap_err(), "10001 holdings");
    // So many that they cannot even be handed over.
    let mut many = target(json!({ "more": 2_000_000 }));
    many.limits = Limits {
        memory_mib: 1_024,
        cpu_ms: 20_000,
        ..Limits::default()
    };
    let error = hostile(&many).await.list(None, 5).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::LimitExceeded(_)), "{error:?}");
}

#[tokio::test]
async fn names_of_entitlements_are_one_harmless_line() {
    let settings = json!({ "entitlements": 1, "entitlement-name": "\u{1b}]0;owned\u{7}\u{202e}nimda\n=cmd|'/c calc'!A1", "kind": "g\u{9b}31m" });
    let generation = hostile(&target(settings)).await;
    let page = generation.entitlements(None, 5).await.unwrap();
    assert_eq!(
        page.items[0].name,
        "\\u{1b}]0;owned\\u{7}\\u{202e}nimda\\n=cmd|'/c calc'!A1"
    );
    assert_eq!(page.items[0].kind, "g\\u{9b}31m");
    let long = hostile(&target(
        json!({ "entitlements": 1, "entitlement-name": "x".repeat(10_000) }),
    ))
    .await;
    let name = &long.entitlements(None, 5).await.unwrap().items[0].name;
    assert!(name.len() < 4_200, "{}", name.len());
}
