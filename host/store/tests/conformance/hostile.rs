//! Strings as a guest, a file or a peer may send them: kept letter for letter, or refused for that one item. Never does one stop the others.

use usher_lifecycle::operation::OperationState;
use usher_store::OperationFilter;

use super::*;

/// What must come back letter for letter.
const ODD: [&str; 9] = [
    "",
    " ",
    "'; DROP TABLE operation; --",
    "\"{[$1]}\\",
    "\\u0000 \\x00 %s ${x}",
    "😀𝕏\u{10FFFF}",
    "e\u{301}\u{202E}\u{200B}",
    "\r\n\t\u{1}\u{7F}\u{85}",
    "\u{FFFD}\u{FEFF}",
];

fn long() -> String {
    "长".repeat(200_000)
}

#[tokio::test]
async fn odd_and_long_values_come_back_letter_for_letter() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let texts: Vec<String> = ODD
        .iter()
        .map(|text| (*text).to_owned())
        .chain([long()])
        .collect();
    let records: Vec<StagedRecord> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| {
            let attributes: Attributes = [(text.clone(), json!({ "nested": [text, "\0"] }))]
                .into_iter()
                .collect();
            let digest = digest(&attributes);
            StagedRecord {
                // A key is indexed; how long it may be is the import's business.
                key: format!("{n} {:.200}", text),
                change: Change::Upsert {
                    attributes,
                    digest,
                    join: None,
                },
            }
        })
        .collect();
    import(&store, "hr", &records, 0).await;
    let people = store.identities_page(None, 100).await.unwrap();
    assert_eq!(people.len(), texts.len());
    for record in &records {
        let Change::Upsert { attributes, .. } = &record.change else {
            unreachable!()
        };
        let row = people
            .iter()
            .find(|row| row.records[0].key == record.key)
            .unwrap();
        assert_eq!(&row.records[0].attributes, attributes);
    }
    let plan: Vec<Planned> = people
        .iter()
        .map(|row| planned(row, vec![create("app")]))
        .collect();
    commit(&store, &plan, 1).await;
    let claimed = claim(&store, "app", 100, 1).await;
    let outcomes: Vec<Outcome> = claimed
        .iter()
        .zip(&texts)
        .enumerate()
        .map(|(n, (one, text))| {
            let mut outcome = done_as(one, &format!("{n} {:.200}", text));
            let observed = outcome.observed.as_mut().unwrap();
            observed.version = Some(text.clone());
            observed.attributes = [(text.clone(), json!([text, "\0"]))].into_iter().collect();
            observed.entitlements = [(text.clone(), json!({ "\0": text }))].into_iter().collect();
            outcome.message = text.clone();
            outcome
        })
        .collect();
    assert!(record(&store, &outcomes, 2).await.is_empty());
    for ((one, outcome), text) in claimed.iter().zip(&outcomes).zip(&texts) {
        let row = store.identity(&one.identity_id.to_string()).await.unwrap();
        assert_eq!(Some(&row.accounts[0].observed), outcome.observed.as_ref());
        let kept: String = text.chars().take(1_000).collect();
        let filter = OperationFilter {
            identity: Some(one.identity),
            limit: 1,
            ..Default::default()
        };
        assert_eq!(
            store.operations(&filter).await.unwrap()[0].message.as_deref(),
            Some(kept.as_str())
        );
    }
    store.audit_verify().await.unwrap();
}

/// PostgreSQL keeps no NUL in a text. What names an account must not be changed silently, so such an outcome is held for a person; a message is
/// for reading only.
#[tokio::test]
async fn a_nul_from_a_target_is_one_operations_trouble() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let people = people(&store, 4).await;
    let plan: Vec<Planned> = people
        .iter()
        .map(|row| planned(row, vec![create("app")]))
        .collect();
    commit(&store, &plan, 1).await;
    let claimed = claim(&store, "app", 10, 1).await;
    let mut outcomes: Vec<Outcome> = claimed
        .iter()
        .zip(["a", "b\0", "c", "d"])
        .map(|(one, id)| done_as(one, id))
        .collect();
    outcomes[2].observed.as_mut().unwrap().version = Some("W/\0".to_owned());
    outcomes[3].message = "all\0well".to_owned();
    assert!(record(&store, &outcomes, 2).await.is_empty());
    let mut states = Vec::new();
    for one in &claimed {
        let filter = OperationFilter {
            identity: Some(one.identity),
            limit: 1,
            ..Default::default()
        };
        let row = store.operations(&filter).await.unwrap().remove(0);
        let linked = store
            .identity(&one.identity_id.to_string())
            .await
            .unwrap()
            .accounts[0]
            .observed
            .external_id
            .clone();
        states.push((row.state, row.message.unwrap(), linked));
    }
    assert_eq!(
        states[0],
        (
            OperationState::Done,
            "as the target said".to_owned(),
            Some("a".to_owned())
        )
    );
    for held in &states[1..3] {
        assert!(
            held.0 == OperationState::Held && held.1.contains("NUL") && held.2.is_none(),
            "{held:?}"
        );
    }
    assert_eq!(
        states[3],
        (
            OperationState::Done,
            "all\u{FFFD}well".to_owned(),
            Some("d".to_owned())
        )
    );
    // Read back: whatever was made there is not forgotten.
    store.retry(claimed[1].id, &context(3)).await.unwrap();
    assert!(claim(&store, "app", 10, 3).await[0].settle);
    store.audit_verify().await.unwrap();
}

/// A NUL where a caller could have refused it is an error that says so, and leaves the store as it was.
#[tokio::test]
async fn a_nul_from_a_caller_is_refused_with_a_reason() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let id = store.begin_snapshot(snapshot("hr"), &context(0)).await.unwrap();
    let refused = store
        .stage(id, &[upsert("fine", "x"), upsert("no\0t", "x")])
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("NUL"), "{refused}");
    store.stage(id, &[upsert("fine", "a\0b")]).await.unwrap();
    store.accept(id, &context(0)).await.unwrap();
    absorb_all(&store).await;
    let people = store.identities_page(None, 10).await.unwrap();
    assert_eq!(people.len(), 1);
    assert_eq!(people[0].records[0].attributes, attributes("a\0b"));
    assert!(store.identity("no\0t").await.is_err(), "looked for, not found");
}
