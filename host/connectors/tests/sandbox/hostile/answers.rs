//! Guests that answer what the contract does not allow, or what somebody might be fooled by.

use serde_json::{Value, json};
use usher_connectors::Connector as _;
use usher_lifecycle::connector::{CallError, Effect, ErrorKind};
use usher_lifecycle::targets::Limits;

use super::{Ends, behaving, check_end, contained, with};
use crate::support::{hostile, login, write};

#[tokio::test]
async fn giants_are_not_taken() {
    let mut target = behaving("giant-return");
    target.limits = Limits::default();
    contained(&target, Ends::Limit("16777216 bytes"), Effect::None).await;
    for (behaviour, says) in [
        ("giant-attributes", "JSON of 2097160 bytes"),
        ("deep-attributes", "nested deeper than 32"),
        ("many-values", "more values"),
        ("long-id", "account id of 2000 bytes"),
        ("long-version", "version of 2000 bytes"),
        ("empty-id", "an empty account id"),
    ] {
        let mut target = behaving(behaviour);
        target.limits = Limits::default();
        contained(&target, Ends::Crashed(says), Effect::None).await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_not_taken() {
    for behaviour in ["no-utf-8", "no-utf-8-attributes", "no-utf-8-error"] {
        contained(&behaving(behaviour), Ends::Crashed("utf-8"), Effect::None).await;
    }
}

#[tokio::test]
async fn json_that_is_none_or_means_two_things_is_not_taken() {
    for (attributes, says) in [
        ("not JSON", "not JSON"),
        ("", "not JSON"),
        ("[1]", "not a JSON object"),
        ("{\"a\":NaN}", "not JSON"),
        ("{\"a\":-Infinity}", "not JSON"),
        ("{\"a\":1e400}", "not JSON"),
        ("{\"a\":\"\\ud800\"}", "not JSON"),
        ("{\"a\":1,\"\\u0061\":2}", "the name `a` twice"),
        ("{\"a\":1}{\"a\":2}", "not JSON"),
        ("{\"a\":\"\u{1b}[2J\"}", "not JSON"),
    ] {
        let target = with(json!({ "behaviour": "attributes", "attributes": attributes }));
        contained(&target, Ends::Crashed(says), Effect::None).await;
    }
}

#[tokio::test]
async fn what_a_guest_says_is_cut_and_escaped() {
    let error = contained(
        &behaving("rude-message"),
        Ends::With(ErrorKind::Other(format!("{}…", "x".repeat(64))), "\\u{1b}[2Jyyyy"),
        Effect::None,
    )
    .await;
    assert!(error.message.len() < 4_200, "{}", error.message.len());
}

#[tokio::test]
async fn an_answer_about_another_account_is_not_taken() {
    let target = behaving("another-account");
    let generation = hostile(&target).await;
    let refused = |what: &str, error: CallError| {
        let ends = Ends::Crashed("`7-of-somebody-else` when asked for `7`");
        check_end(what, &error, &ends, Effect::None);
    };
    refused("get", generation.get("7").await.unwrap_err());
    refused("disable", generation.disable(&write(), "7").await.unwrap_err());
    refused("enable", generation.enable(&write(), "7").await.unwrap_err());
    let update = generation.update(&write(), "7", &[], &login("ada"), None).await;
    refused("update", update.unwrap_err());
    let error = generation.held("7").await.unwrap_err();
    assert!(error.message.contains("with the account `another`"), "{error:?}");
    let error = generation.members("staff", None, 10).await.unwrap_err();
    assert!(
        error.message.contains("with the entitlement `another`"),
        "{error:?}"
    );
    assert_eq!(generation.get("good").await.unwrap().unwrap().id, "good");
}

#[tokio::test]
async fn a_wait_is_at_most_a_day_and_an_id_at_most_an_id() {
    let told = |more: Value| {
        let mut settings = json!({ "behaviour": "error", "message": "no" });
        settings
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        with(settings)
    };
    let day_ms = 24 * 60 * 60 * 1_000;
    for (asked, given) in [(0, 0), (1_500, 1_500), (day_ms + 1, day_ms), (u64::MAX, day_ms)] {
        let target = told(json!({ "retry-after-ms": asked }));
        let error = contained(&target, Ends::With(ErrorKind::Conflict, "no"), Effect::None).await;
        assert_eq!(error.retry_after_ms, Some(given));
    }
    for (asked, given) in [("x".repeat(2_000), None), ("7".to_owned(), Some("7"))] {
        let target = told(json!({ "existing-id": asked }));
        let error = contained(&target, Ends::With(ErrorKind::Conflict, "no"), Effect::None).await;
        assert_eq!(error.existing_id.as_deref(), given);
    }
    // It may know better than the host that something was done; never that less was.
    contained(
        &told(json!({ "applied": 1 })),
        Ends::With(ErrorKind::Conflict, "no"),
        Effect::Applied,
    )
    .await;
}

#[tokio::test]
async fn ids_are_kept_exactly_and_never_mistaken_for_each_other() {
    for id in [
        "=1+1",
        "\u{1b}[2J",
        "a\u{200b}da",
        "ada\0",
        "../../x",
        "' OR 1=1 --",
    ] {
        let generation = hostile(&with(json!({ "behaviour": "id", "id": id }))).await;
        let made = generation.create(&write(), &login("ada")).await.unwrap();
        assert_eq!(made.id, id);
    }
}
