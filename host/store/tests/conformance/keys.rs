//! Keys: who opens the store, what is sealed, and how keys change.

use usher_store::{KeyChanges, OperatorKey, SecretStore, StoreError};

use super::*;
use crate::database;

fn another() -> OperatorKey {
    OperatorKey::from_bytes([9; 32])
}

#[tokio::test]
async fn a_wrong_key_is_refused_with_both_names() {
    let Some(database) = database() else { return };
    drop(database.open(at(0)).await);
    let Err(StoreError::Key(message)) = database.join_under(&another(), at(1)).await else {
        panic!("it opened")
    };
    for key in [another(), super::database::key()] {
        assert!(message.contains(&key.fingerprint().to_string()), "{message}");
    }
    let store = database.open(at(1)).await;
    store.audit_verify().await.unwrap();
}

#[tokio::test]
async fn a_secret_is_kept_and_nowhere_to_be_seen() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let name = name("app-token");
    assert!(matches!(store.secret(&name).await, Err(StoreError::NotFound(_))));
    let first = store.set_secret(&name, "hunter2", &context(1)).await.unwrap();
    let second = store.set_secret(&name, "hunter3 ÄÖ", &context(2)).await.unwrap();
    assert_eq!((first.version, second.version), (1, 2));
    assert_eq!(*store.secret(&name).await.unwrap(), "hunter3 ÄÖ");
    assert_eq!(store.secrets().await.unwrap(), [second]);
    let told = format!("{:?}", store.audit_tail(100).await.unwrap());
    assert!(
        told.contains("secret.set") && told.contains("app-token"),
        "{told}"
    );
    assert!(!told.contains("hunter"), "{told}");
    drop(store);
    let store = database.open(at(3)).await;
    assert_eq!(*store.secret(&name).await.unwrap(), "hunter3 ÄÖ");
    store.remove_secret(&name, &context(4)).await.unwrap();
    assert!(matches!(store.secret(&name).await, Err(StoreError::NotFound(_))));
    let again = store.remove_secret(&name, &context(5)).await;
    assert!(matches!(again, Err(StoreError::NotFound(_))));
    for value in ["", &"x".repeat(70_000)] {
        assert!(store.set_secret(&name, value, &context(6)).await.is_err());
    }
}

#[tokio::test]
async fn a_secret_under_another_name_or_version_does_not_open() {
    for damage in [
        "UPDATE secret SET name = 'other' WHERE name = 'app-token'",
        "UPDATE secret SET version = 7",
    ] {
        let Some(database) = database() else { return };
        let store = database.open(at(0)).await;
        store
            .set_secret(&name("app-token"), "hunter2", &context(1))
            .await
            .unwrap();
        database.raw(damage).await.unwrap();
        let shown = store.secrets().await.unwrap();
        let found = store.secret(&shown[0].name).await;
        assert!(
            matches!(
                &found,
                Err(StoreError::Corrupt {
                    table: "secret",
                    column: "sealed",
                    ..
                })
            ),
            "{damage}: {found:?}"
        );
    }
}

#[tokio::test]
async fn a_new_operator_key_takes_the_place_of_the_old() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    people(&store, 2).await;
    store
        .set_secret(&name("app-token"), "hunter2", &context(1))
        .await
        .unwrap();
    let same = store
        .change_operator_key(&super::database::key(), &context(1))
        .await;
    assert!(matches!(same, Err(StoreError::Key(_))));
    store.change_operator_key(&another(), &context(2)).await.unwrap();
    assert_eq!(
        store.key_status().await.unwrap().fingerprint,
        another().fingerprint()
    );
    // Whoever is at work goes on.
    assert_eq!(*store.secret(&name("app-token")).await.unwrap(), "hunter2");
    store
        .set_secret(&name("app-token"), "hunter3", &context(3))
        .await
        .unwrap();
    drop(store);
    let old = database.join(at(4)).await;
    assert!(matches!(old, Err(StoreError::Key(_))));
    let store = database.join_under(&another(), at(5)).await.unwrap();
    assert_eq!(*store.secret(&name("app-token")).await.unwrap(), "hunter3");
    let told = store.audit_tail(100).await.unwrap();
    assert!(told.iter().any(|row| row.event == "key.changed"));
    assert!(
        told.iter().any(|row| row.payload["source"] == "hr"),
        "sealed rows still open"
    );
    store.audit_verify().await.unwrap();
}

#[tokio::test]
async fn a_new_data_key_seals_everything_anew() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let before = people(&store, 5).await;
    store
        .set_secret(&name("app-token"), "hunter2", &context(1))
        .await
        .unwrap();
    store.seal(&context(1)).await.unwrap().unwrap();
    let timeline = store.timeline(before[0].reference, 10).await.unwrap();
    let done = store.change_data_key(&context(2)).await.unwrap();
    assert_eq!((done.secrets, done.identities), (2, 5));
    assert_eq!(store.key_status().await.unwrap().data_keys, 1);
    assert_eq!(*store.secret(&name("app-token")).await.unwrap(), "hunter2");
    assert_eq!(store.timeline(before[0].reference, 10).await.unwrap(), timeline);
    import(
        &store,
        "hr",
        &[upsert("p00", "second"), upsert("new", "first")],
        3,
    )
    .await;
    drop(store);
    let store = database.open(at(4)).await;
    assert_eq!(
        store.timeline(before[0].reference, 10).await.unwrap().len(),
        timeline.len() + 1
    );
    store.seal(&context(5)).await.unwrap().unwrap();
    store.audit_verify().await.unwrap();
}

#[tokio::test]
async fn a_change_of_the_data_key_that_was_cut_short_is_finished() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let before = people(&store, 3).await;
    store
        .set_secret(&name("app-token"), "hunter2", &context(1))
        .await
        .unwrap();
    // Takes the last step away: the old key stays, as after a crash before it; then some of the work is undone too.
    database
        .raw("CREATE TABLE kept AS SELECT * FROM data_key")
        .await
        .unwrap();
    database
        .raw("CREATE TABLE were AS SELECT id, audit_key FROM identity")
        .await
        .unwrap();
    store.change_data_key(&context(2)).await.unwrap();
    drop(store);
    database
        .raw("INSERT INTO data_key SELECT * FROM kept")
        .await
        .unwrap();
    database
        .raw("UPDATE identity SET audit_key = (SELECT audit_key FROM were w WHERE w.id = identity.id) WHERE id > 1")
        .await
        .unwrap();
    let store = database.open(at(3)).await;
    assert_eq!(store.key_status().await.unwrap().data_keys, 2);
    for identity in &before {
        assert_eq!(store.timeline(identity.reference, 10).await.unwrap().len(), 1);
    }
    let done = store.change_data_key(&context(4)).await.unwrap();
    assert_eq!(done.identities, 2);
    let status = store.key_status().await.unwrap();
    assert_eq!(status.data_keys, 1);
    assert_eq!(*store.secret(&name("app-token")).await.unwrap(), "hunter2");
    for identity in &before {
        assert_eq!(store.timeline(identity.reference, 10).await.unwrap().len(), 1);
    }
}
