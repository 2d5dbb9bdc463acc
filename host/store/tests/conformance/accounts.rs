//! Accounts: what the target told us, and the link.

use usher_lifecycle::account::Written;
use usher_lifecycle::operation::OperationState;

use super::*;

/// Everything a target told us comes back with the account and with the next claim of it.
#[tokio::test]
async fn an_observation_is_kept_whole() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(
        &store,
        vec![create("app"), operation("app", Work::Read, Priority::Change, 0)],
    )
    .await;
    let claimed = claim(&store, "app", 1, 1).await;
    assert_eq!(claimed[0].observed, ObservedAccount::absent());
    let observed = ObservedAccount {
        state: AccountState::Disabled,
        external_id: Some("Zoë \"1\"".to_owned()),
        attributes: attributes("seen"),
        entitlements: [("staff".to_owned(), serde_json::json!({ "site": "B" }))]
            .into_iter()
            .collect(),
        version: Some("W/\"3\"".to_owned()),
        written: Some(Written {
            desired: [1; 16],
            observed: [2; 16],
        }),
    };
    let seen = Outcome {
        observed: Some(observed.clone()),
        dirty: true,
        ..outcome(&claimed[0], Decision::Done)
    };
    record(&store, &[seen], 2).await;
    let account = again(&store, &person).await.accounts.remove(0);
    assert_eq!((&account.observed, account.observed_at), (&observed, Some(at(2))));
    assert_eq!(store.due(at(2), 10).await.unwrap().len(), 1, "dirty");
    assert_eq!(claim(&store, "app", 1, 3).await[0].observed, observed);
    assert_eq!(
        store.account_totals().await.unwrap(),
        [(name("app"), AccountState::Disabled, 1)]
    );
}

/// Linking and removing are told in the timeline.
#[tokio::test]
async fn a_link_is_made_and_removed() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let person = one_person(
        &store,
        vec![
            create("app"),
            operation("app", Work::Delete, Priority::Deprovision, 0),
        ],
    )
    .await;
    let claimed = claim(&store, "app", 1, 1).await;
    record(&store, &[done_as(&claimed[0], "x1")], 2).await;
    let deleted = claim(&store, "app", 1, 3).await;
    let gone = ObservedAccount {
        external_id: Some("x1".to_owned()),
        ..ObservedAccount::absent()
    };
    record(
        &store,
        &[Outcome {
            observed: Some(gone),
            ..outcome(&deleted[0], Decision::Done)
        }],
        4,
    )
    .await;
    let timeline = store.timeline(person.reference, 100).await.unwrap();
    let told: Vec<_> = timeline[timeline.len() - 4..]
        .iter()
        .map(|row| row.event.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "operation.done",
            "account.linked",
            "operation.done",
            "account.removed"
        ]
    );
    assert_eq!(timeline.last().unwrap().payload["external-id"], "x1");
    assert_eq!(
        timeline.last().unwrap().cause.links(),
        ["hr: in the file", "active"]
    );
}

/// Two identities, one account of the target: the second is held, its outcome is not lost, the first keeps its link.
#[tokio::test]
async fn an_account_has_one_owner() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 3).await;
    let plan: Vec<_> = rows
        .iter()
        .map(|row| planned(row, vec![create("app"), create("directory")]))
        .collect();
    commit(&store, &plan, 1).await;
    let claimed = claim(&store, "app", 10, 2).await;
    // The first two in one batch, the third later; and the same id in another target is nobody else's business.
    assert!(
        record(
            &store,
            &[done_as(&claimed[0], "admin"), done_as(&claimed[1], "admin")],
            3
        )
        .await
        .is_empty()
    );
    assert!(
        record(&store, &[done_as(&claimed[2], "admin")], 4)
            .await
            .is_empty()
    );
    let elsewhere = claim(&store, "directory", 1, 4).await;
    record(&store, &[done_as(&elsewhere[0], "admin")], 5).await;

    let now = store.identities_page(None, 10).await.unwrap();
    assert_eq!(now[0].accounts[0].observed.external_id.as_deref(), Some("admin"));
    assert_eq!(now[0].accounts[1].observed.external_id.as_deref(), Some("admin"));
    for loser in &now[1..] {
        let open = &loser.accounts[0].open;
        assert_eq!(open[0].state, OperationState::Held);
        assert_eq!(loser.accounts[0].observed, ObservedAccount::absent());
        let message = open[0].message.as_deref().unwrap();
        assert!(
            message.contains("`admin`") && message.contains(&now[0].id.to_string()),
            "{message}"
        );
        assert!(message.contains("as the target said"), "{message}");
    }
}

/// A link given up by one account can be taken by another.
#[tokio::test]
async fn a_link_given_up_is_free() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 2).await;
    let delete = operation("app", Work::Delete, Priority::Deprovision, 0);
    let plan = [
        planned(&rows[0], vec![create("app"), delete]),
        planned(&rows[1], vec![create("app")]),
    ];
    commit(&store, &plan, 1).await;
    let first = claim(&store, "app", 1, 2).await;
    record(&store, &[done_as(&first[0], "x1")], 3).await;
    let deleting = claim(&store, "app", 1, 4).await;
    assert_eq!(verbs(&deleting), ["delete"]);
    let gone = ObservedAccount {
        external_id: Some("x1".to_owned()),
        ..ObservedAccount::absent()
    };
    record(
        &store,
        &[Outcome {
            observed: Some(gone),
            ..outcome(&deleting[0], Decision::Done)
        }],
        5,
    )
    .await;
    let second = claim(&store, "app", 1, 6).await;
    record(&store, &[done_as(&second[0], "x1")], 7).await;
    assert_eq!(
        again(&store, &rows[1]).await.accounts[0]
            .observed
            .external_id
            .as_deref(),
        Some("x1")
    );
}
