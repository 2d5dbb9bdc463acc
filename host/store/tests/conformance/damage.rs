//! Rows that make no sense: the database refuses most of them, the store names the rest.

use usher_store::StoreError;

use super::*;

/// The database itself holds the states and what must go together.
#[tokio::test]
async fn checks_hold_the_states() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    one_person(&store, vec![create("app")]).await;
    for wrong in [
        "UPDATE identity SET state = 6",
        "UPDATE identity SET dirty = 2",
        "UPDATE identity SET replan = 2",
        "UPDATE account SET state = 4",
        "UPDATE account SET state = -1",
        "UPDATE operation SET state = 7",
        "UPDATE operation SET priority = 5",
        "UPDATE operation SET attempts = -1",
        "UPDATE operation SET settle = 2",
        "UPDATE operation SET state = 2",
        "UPDATE source_record SET missing_snapshots = -1",
        "UPDATE snapshot SET state = 4",
        "UPDATE meta SET rehearsal = 2",
        "INSERT INTO meta (id, high_water_us) VALUES (2, 0)",
        "INSERT INTO document (kind, version, text, resolved, activated_us) VALUES (2, 1, '', '{}', 0)",
        "INSERT INTO operation (public_id, account, target, state, priority, due_us, work, cause) \
         SELECT public_id, account, target, 0, priority, due_us, work, cause FROM operation",
        "INSERT INTO account (identity, target, kind) SELECT identity, target, kind FROM account",
        "UPDATE operation SET account = 99",
    ] {
        // SQLite checks references of a connection that asks for it, which any other may not.
        assert!(database.raw(wrong).await.is_err(), "{wrong}");
    }
    store.audit_verify().await.unwrap();
    assert_eq!(claim(&store, "app", 1, 1).await.len(), 1);
}

/// A value that only damage or another program can have put there is an error that says where it is.
#[tokio::test]
async fn a_row_that_makes_no_sense_is_named() {
    for (damage, expected) in [
        (
            "UPDATE account SET attributes = '{\"a\":' WHERE id = 2",
            ("account", "attributes", 2),
        ),
        (
            "UPDATE account SET entitlements = '7' WHERE id = 2",
            ("account", "entitlements", 2),
        ),
        (
            "UPDATE account SET kind = 'Not a name!' WHERE id = 2",
            ("account", "kind", 2),
        ),
        (
            "UPDATE source_record SET attributes = '[]' WHERE id = 2",
            ("source_record", "attributes", 2),
        ),
        (
            "UPDATE identity SET next_change_us = 9223372036854775807 WHERE id = 2",
            ("identity", "next_change_us", 2),
        ),
    ] {
        let Some(database) = crate::database() else { return };
        let store = database.open(at(0)).await;
        let rows = people(&store, 2).await;
        let plan: Vec<Planned> = rows.iter().map(|row| planned(row, vec![create("app")])).collect();
        commit(&store, &plan, 1).await;
        database.raw(damage).await.unwrap();
        let found = store.identity("p01").await;
        let Err(StoreError::Corrupt {
            table, column, row, ..
        }) = found
        else {
            panic!("{damage}: {found:?}")
        };
        assert_eq!((table, column, row), expected, "{damage}");
        store.identity("p00").await.unwrap();
    }
}

/// So is one that a claim or an outcome meets; nothing is claimed by halves.
#[tokio::test]
async fn a_claim_that_meets_damage_claims_nothing() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let rows = people(&store, 2).await;
    let plan: Vec<Planned> = rows.iter().map(|row| planned(row, vec![create("app")])).collect();
    commit(&store, &plan, 1).await;
    database
        .raw("UPDATE operation SET work = '{}' WHERE id = 2")
        .await
        .unwrap();
    let refused = store
        .record_and_claim(&[], &[], &from(&[("app", 10)]), &context(2))
        .await;
    let Err(StoreError::Corrupt {
        table: "operation",
        column: "work",
        row: 2,
        ..
    }) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(
        verbs(&claim(&store, "app", 1, 3).await),
        ["create"],
        "the other one can be claimed"
    );
}

/// A number with a bad value that cannot be read any more.
#[tokio::test]
async fn the_audit_shows_what_was_changed() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    one_person(&store, vec![create("app")]).await;
    store.audit_verify().await.unwrap();
    database
        .raw("UPDATE audit SET at_us = at_us + 1 WHERE seq = 3")
        .await
        .unwrap();
    let found = store.audit_verify().await;
    let Err(StoreError::Corrupt {
        table: "audit",
        column: "hash",
        row: 3,
        ..
    }) = found
    else {
        panic!("{found:?}")
    };
}
