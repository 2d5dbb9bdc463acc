//! The audit: sealed rows, search, export, and every way of changing what was written.

use usher_store::{AuditQuery, Checkpoint, Checkpoints, Evidence, StoreError};

use super::*;
use crate::database;

#[tokio::test]
async fn what_is_said_of_a_person_is_not_in_the_table() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let person = people(&store, 1).await.remove(0);
    import(&store, "hr", &[upsert("p00", "Mei Tanaka")], 1).await;
    let timeline = store.timeline(person.reference, 10).await.unwrap();
    assert_eq!(timeline[1].payload["changes"]["name"]["to"], "Mei Tanaka");
    let said = "EXISTS (SELECT 1 FROM audit WHERE identity IS NOT NULL AND sealed IS NOT NULL)";
    database.must_hold(said).await;
    let clear = "NOT EXISTS (SELECT 1 FROM audit WHERE identity IS NOT NULL AND (sealed IS NULL OR cause <> '' OR payload <> ''))";
    database.must_hold(clear).await;
}

#[tokio::test]
async fn a_sealed_row_opens_only_where_it_was_written() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let people = people(&store, 2).await;
    database
        .raw("UPDATE audit SET sealed = (SELECT b.sealed FROM audit b WHERE b.identity = 2 AND b.event = 'identity.created') WHERE identity = 1")
        .await
        .unwrap();
    let found = store.timeline(people[0].reference, 10).await;
    assert!(
        matches!(&found, Err(StoreError::Corrupt { column: "sealed", .. })),
        "{found:?}"
    );
}

#[tokio::test]
async fn rows_are_found_by_everything_they_say() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    let who = one_person(&store, vec![create("app")]).await;
    import(&store, "hr", &[upsert("p00", "Mei Tanaka")], 10).await;
    let claimed = claim(&store, "app", 1, 20).await;
    record(&store, &[done_as(&claimed[0], "u1")], 30).await;
    let all = AuditQuery {
        limit: 100,
        ..AuditQuery::default()
    };
    let every = store.audit_search(&all).await.unwrap();
    assert_eq!(every.next, None);
    let mut oldest_first = every.rows.clone();
    oldest_first.reverse();
    assert_eq!(store.audit_tail(100).await.unwrap(), oldest_first);
    for (query, events) in [
        (
            AuditQuery {
                event: Some("operation".into()),
                ..all.clone()
            },
            vec!["operation.done", "operation.planned"],
        ),
        (
            AuditQuery {
                event: Some("operation.done".into()),
                ..all.clone()
            },
            vec!["operation.done"],
        ),
        (
            AuditQuery {
                event: Some("operation.do".into()),
                ..all.clone()
            },
            vec![],
        ),
        (
            AuditQuery {
                text: Some("mei tanaka".into()),
                ..all.clone()
            },
            vec!["identity.facts-changed"],
        ),
        (
            AuditQuery {
                target: Some(name("app")),
                ..all.clone()
            },
            vec!["account.linked", "operation.done", "operation.planned"],
        ),
        (
            AuditQuery {
                target: Some(name("other")),
                ..all.clone()
            },
            vec![],
        ),
        (
            AuditQuery {
                since: Some(at(20)),
                ..all.clone()
            },
            vec!["account.linked", "operation.done", "operations.claimed"],
        ),
        (
            AuditQuery {
                until: Some(at(20)),
                actor: Some("source hr".into()),
                event: Some("identity".into()),
                ..all.clone()
            },
            vec!["identity.facts-changed", "identity.created"],
        ),
        (
            AuditQuery {
                identity: Some(who.reference),
                event: Some("account".into()),
                ..all.clone()
            },
            vec!["account.linked"],
        ),
    ] {
        let found = store.audit_search(&query).await.unwrap();
        let found: Vec<&str> = found.rows.iter().map(|row| row.event.as_str()).collect();
        assert_eq!(found, events, "{query:?}");
    }
    let mut paged = Vec::new();
    let mut page = AuditQuery { limit: 3, ..all };
    loop {
        let found = store.audit_search(&page).await.unwrap();
        paged.extend(found.rows);
        page.before = found.next;
        if page.before.is_none() {
            break;
        }
    }
    assert_eq!(paged, every.rows);
}

#[tokio::test]
async fn an_export_has_all_that_the_hashes_cover() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    one_person(&store, vec![create("app")]).await;
    let mut records = store.audit_export(0, None, 2).await.unwrap();
    while let Some(last) = records.last() {
        let next = store.audit_export(last.row.seq, None, 2).await.unwrap();
        if next.is_empty() {
            break;
        }
        records.extend(next);
    }
    let mut hash = [0_u8; 32];
    for (n, record) in (1..).zip(&records) {
        assert_eq!(record.n, n);
        hash = rehashed(&hash, record);
        assert_eq!(record.hash, hex(&hash), "{record:?}");
        assert_eq!(record.identity.is_some(), record.sealed.is_some());
    }
    assert!(records.len() > 4);
    let late = store.audit_export(0, Some(at(1)), 100).await.unwrap();
    assert!(!late.is_empty() && late.iter().all(|record| record.row.at >= at(1)));
}

/// As the documentation of an export says, without the store's own code.
fn rehashed(previous: &[u8; 32], record: &usher_store::AuditRecord) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    let mut hasher = Sha256::new();
    hasher.update(previous);
    for number in [record.writer, record.n, record.row.at.as_microsecond()] {
        hasher.update(number.to_be_bytes());
    }
    match record.identity {
        Some(id) => {
            hasher.update([1]);
            hasher.update(id.uuid().as_bytes());
        }
        None => hasher.update([0]),
    }
    let mut texts = vec![
        serde_json::to_vec(&record.row.actor).unwrap(),
        record.row.event.clone().into_bytes(),
    ];
    match &record.sealed {
        None => {
            texts.push(serde_json::to_vec(&record.row.cause).unwrap());
            texts.push(serde_json::to_vec(&record.row.payload).unwrap());
        }
        Some(sealed) => {
            let bytes = (0..sealed.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(&sealed[i..i + 2], 16).unwrap());
            texts.extend([Vec::new(), Vec::new(), bytes.collect()]);
        }
    }
    for text in texts {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    }
    hasher.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn checkpoints_seal_what_grew() {
    let Some(database) = database() else { return };
    let store = database.open(at(0)).await;
    assert_eq!(
        store.seal(&context(0)).await.unwrap(),
        None,
        "nothing was written"
    );
    people(&store, 2).await;
    let first = store.seal(&context(1)).await.unwrap().unwrap();
    assert_eq!(store.seal(&context(2)).await.unwrap(), None, "nothing grew");
    import(&store, "hr", &[upsert("p00", "second")], 3).await;
    let second = store.seal(&context(4)).await.unwrap().unwrap();
    assert_eq!((first.content().checkpoint, second.content().checkpoint), (1, 2));
    assert_eq!(second.content().heads.len(), 1);
    assert!(second.content().heads[0].1 > first.content().heads[0].1);
    assert_eq!(
        store.checkpoints(0, 10).await.unwrap(),
        [first.clone(), second.clone()]
    );
    assert_eq!(store.newest_checkpoint().await.unwrap(), Some(second.clone()));
    let line = second.to_line();
    assert!(!line.contains('\n'));
    assert_eq!(Checkpoint::parse(&line).unwrap(), second);
    assert!(Checkpoint::parse(&line.replace("2026", "2027")).is_err());
    let public_key = Some(second.content().key.parse().unwrap());
    let evidence = Evidence {
        checkpoints: vec![first, second],
        public_key,
    };
    let verified = store.audit_verify_against(&evidence).await.unwrap();
    assert_eq!((verified.checkpoints, verified.exported), (2, 2));
    assert_eq!(verified.sealed_at, Some(at(4)));
}

/// A store with two chains, both sealed by an exported checkpoint.
async fn sealed(database: &Database) -> Evidence {
    let store = database.open(at(0)).await;
    people(&store, 2).await;
    let first = store.seal(&context(1)).await.unwrap().unwrap();
    drop(store);
    let store = database.open(at(2)).await;
    import(
        &store,
        "hr",
        &[upsert("p00", "second"), upsert("p01", "second")],
        3,
    )
    .await;
    let second = store.seal(&context(4)).await.unwrap().unwrap();
    // Kept: only the last of them.
    assert_eq!(first.content().checkpoint, 1);
    let evidence = Evidence {
        checkpoints: vec![second],
        public_key: None,
    };
    store.audit_verify_against(&evidence).await.unwrap();
    store.close().await.unwrap();
    evidence
}

/// Cuts the last row of the second chain off, and puts the writer's own row right.
const CUT: &str = "
    DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit);
    UPDATE writer SET head_n = head_n - 1,
        head_hash = (SELECT a.hash FROM audit a WHERE a.seq = (SELECT max(seq) FROM audit))
    WHERE id = (SELECT max(writer) FROM audit);";

const KEEP: &str = "
    CREATE TABLE k_audit AS SELECT * FROM audit; CREATE TABLE k_writer AS SELECT * FROM writer;
    CREATE TABLE k_identity AS SELECT * FROM identity; CREATE TABLE k_checkpoint AS SELECT * FROM checkpoint;
    CREATE TABLE k_signing_key AS SELECT * FROM signing_key; CREATE TABLE k_sealed_head AS SELECT * FROM sealed_head;";

const PUT_RIGHT: &str = "
    DELETE FROM audit; INSERT INTO audit SELECT * FROM k_audit;
    UPDATE identity SET audit_key = (SELECT k.audit_key FROM k_identity k WHERE k.id = identity.id);
    UPDATE writer SET head_n = (SELECT k.head_n FROM k_writer k WHERE k.id = writer.id),
        schema_version = (SELECT k.schema_version FROM k_writer k WHERE k.id = writer.id),
        head_hash = (SELECT k.head_hash FROM k_writer k WHERE k.id = writer.id) WHERE id IN (SELECT id FROM k_writer);
    DELETE FROM checkpoint; DELETE FROM signing_key; INSERT INTO signing_key SELECT * FROM k_signing_key;
    INSERT INTO checkpoint SELECT * FROM k_checkpoint;
    DELETE FROM sealed_head; INSERT INTO sealed_head SELECT * FROM k_sealed_head;";

#[tokio::test]
async fn every_way_of_changing_the_past_is_found() {
    let Some(database) = database() else { return };
    let evidence = sealed(&database).await;
    database.raw(KEEP).await.unwrap();
    let forget_the_newest = format!("{CUT} DELETE FROM sealed_head; DELETE FROM checkpoint WHERE id = 2;");
    let forget_all =
        format!("{CUT} DELETE FROM sealed_head; DELETE FROM checkpoint; DELETE FROM signing_key;");
    let places: Vec<[i64; 2]> = (1..60).map(|n| [2, n]).collect();
    let pass_off_as_older = format!(
        "UPDATE writer SET schema_version = 2 WHERE id = 2;
         UPDATE audit SET cause = '', sealed = unhex(''), event = 'identity.erased', actor = '\"clock\"', identity = 1,
             payload = '{{\"emptied\":{places:?}}}' WHERE writer = 2;"
    );
    for (damage, even_without_evidence) in [
        // Rows of before there were keys may be empty, where an erasure says so: nobody makes newer ones such rows.
        (pass_off_as_older.as_str(), true),
        // An edit.
        ("UPDATE audit SET actor = '\"clock\"' WHERE seq = 2", true),
        ("UPDATE audit SET at_us = at_us + 1 WHERE seq = 3", true),
        ("UPDATE audit SET identity = 2 WHERE identity = 1", true),
        ("UPDATE audit SET sealed = NULL WHERE identity = 1", true),
        ("UPDATE audit SET sealed = unhex('') WHERE identity = 1", true),
        ("UPDATE identity SET audit_key = unhex('')", true),
        // A gap.
        ("DELETE FROM audit WHERE seq = 3", true),
        // A reorder.
        (
            "UPDATE audit SET seq = -1 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = -1",
            true,
        ),
        (
            "UPDATE audit SET n = CASE n WHEN 2 THEN 3 ELSE 2 END WHERE n IN (2, 3)",
            true,
        ),
        // The end cut off.
        ("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)", true),
        (CUT, true),
        (&forget_the_newest, false),
        (&forget_all, false),
        // The checkpoints themselves.
        ("DELETE FROM checkpoint WHERE id = 1", true),
        (
            "UPDATE checkpoint SET body = replace(body, '2026', '2027') WHERE id = 1",
            true,
        ),
        (
            "UPDATE checkpoint SET signature = (SELECT c.signature FROM checkpoint c WHERE c.id = 2) WHERE id = 1",
            true,
        ),
    ] {
        database.raw(damage).await.unwrap();
        let store = database.open(at(10)).await;
        let found = store.audit_verify_against(&evidence).await;
        assert!(
            matches!(found, Err(StoreError::Corrupt { .. })),
            "{damage}: {found:?}"
        );
        let alone = store.audit_verify().await;
        assert_eq!(alone.is_err(), even_without_evidence, "{damage}: {alone:?}");
        drop(store);
        database.raw(PUT_RIGHT).await.unwrap();
    }
    let store = database.open(at(11)).await;
    store.audit_verify_against(&evidence).await.unwrap();
}

#[tokio::test]
async fn checkpoints_of_another_key_are_not_taken() {
    let Some(database) = database() else { return };
    let mut evidence = sealed(&database).await;
    evidence.public_key = Some("ab".repeat(32).parse().unwrap());
    let store = database.open(at(10)).await;
    let found = store.audit_verify_against(&evidence).await;
    assert!(
        matches!(
            &found,
            Err(StoreError::Corrupt {
                table: "checkpoint",
                ..
            })
        ),
        "{found:?}"
    );
}
