//! Data folders of before there were keys (schema version 2), and what erasing leaves in SQLite's files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use usher_lifecycle::account::AccountSlot;
use usher_lifecycle::assignment::Origin;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::reservation::NameWanted;
use usher_lifecycle::state::IdentityState;
use usher_store::{
    Audit, Checkpoints, Context, Erasure, Identities, NameRequest, NewFact, OperatorKey, PersonalFacts,
    Planned, Planning, Randomness, Reservations, SqlStore, StoreError, sqlite,
};

/// The identity of the old folder.
const WHO: [u8; 16] = [0x01, 0x9c, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1];
/// What must not be found anywhere in the end.
const NAME: &str = "Zebulon Quartermain";

#[derive(Default)]
struct Counted(std::sync::atomic::AtomicU64);

impl Randomness for Counted {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer.chunks_mut(8) {
            let next = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mixed = (next + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            byte.copy_from_slice(&mixed[..byte.len()]);
        }
    }
}

fn context(seconds: i64) -> Context {
    Context {
        actor: Actor::Usher,
        at: "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds),
    }
}

async fn open(folder: &Path, seconds: i64) -> SqlStore {
    let key = OperatorKey::from_bytes([7; 32]);
    sqlite::open(folder, &key, Arc::new(Counted::default()), &context(seconds))
        .await
        .unwrap()
}

async fn connect(folder: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("usher.db"))
        .create_if_missing(true);
    options.connect().await.unwrap()
}

/// The hash of a row as version 2 computed it.
fn hash(previous: &[u8], seq: i64, identity: Option<&[u8]>, texts: [&str; 4]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    for number in [seq, 1, seq, context(0).at.as_microsecond()] {
        hasher.update(number.to_be_bytes());
    }
    match identity {
        Some(id) => {
            hasher.update([1]);
            hasher.update(id);
        }
        None => hasher.update([0]),
    }
    for text in texts {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().into()
}

/// A folder as version 2 left it: one departed person, whose audit can be read by everybody.
async fn old_folder(folder: &Path) {
    let mut connection = connect(folder).await;
    for migration in [
        include_str!("../migrations/sqlite/0001_first_light.sql"),
        include_str!("../migrations/sqlite/0002_staged_present.sql"),
    ] {
        sqlx::raw_sql(migration).execute(&mut connection).await.unwrap();
    }
    let at = context(0).at.as_microsecond();
    let rows = format!(
        "PRAGMA user_version = 2; PRAGMA application_id = {};
         INSERT INTO meta (id, high_water_us) VALUES (1, {at});
         INSERT INTO writer (id, opened_us, genesis) VALUES (1, {at}, zeroblob(32));
         INSERT INTO source (id, name) VALUES (1, 'hr');
         INSERT INTO identity (id, public_id, dirty, state) VALUES (1, x'{}', 0, 4);
         INSERT INTO source_record (source, key, identity, attributes, digest, absent_since_us)
         VALUES (1, 'zq-1', 1, '{{\"name\":\"{NAME}\"}}', zeroblob(16), {at});",
        0x5573_6872,
        WHO.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(rows))
        .execute(&mut connection)
        .await
        .unwrap();
    let changed = format!(r#"{{"changes":{{"name":{{"from":null,"to":"{NAME}"}}}}}}"#);
    let mut previous = [0; 32];
    for (seq, event, identity, payload) in [
        (1, "import.accepted", None, r#"{"rows":1}"#),
        (2, "identity.created", Some(1_i64), r#"{"source":"hr"}"#),
        (3, "identity.facts-changed", Some(1), changed.as_str()),
        (4, "import.absorbed", None, "{}"),
    ] {
        let texts = [r#""usher""#, event, "[]", payload];
        previous = hash(&previous, seq, identity.map(|_| WHO.as_slice()), texts);
        sqlx::query("INSERT INTO audit VALUES (?1, 1, ?1, ?2, '\"usher\"', ?3, ?4, '[]', ?5, ?6)")
            .bind(seq)
            .bind(at)
            .bind(event)
            .bind(identity)
            .bind(payload)
            .bind(previous.to_vec())
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();
}

/// Plans the person of the folder as departed, with the clock at `seconds`: an audit row and, the first time, a key.
async fn plan(store: &SqlStore, state: IdentityState, seconds: i64) {
    let who = store
        .identity(&IdentityId::new(uuid::Uuid::from_bytes(WHO)).to_string())
        .await
        .unwrap();
    let planned = Planned {
        reference: who.reference,
        facts_version: who.facts_version,
        state,
        state_cause: usher_lifecycle::cause::Cause::new(format!("{NAME} left")),
        next_change_at: None,
        held: Vec::new(),
        superseded: Vec::new(),
        replan: false,
        in_the_way: Vec::new(),
        operations: Vec::new(),
    };
    let versions = store.versions().await.unwrap();
    let done = store
        .commit_plan(&[planned], versions, &context(seconds))
        .await
        .unwrap();
    assert_eq!(done.planned, 1);
}

fn holds(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    files.filter(|path| path.is_file()).any(|path| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test]
async fn a_folder_of_before_keys_is_read_verified_and_goes_on_sealed() {
    let folder = tempfile::tempdir().unwrap();
    old_folder(folder.path()).await;
    assert_eq!(sqlite::sealed_under(folder.path()).await.unwrap(), None);
    let store = open(folder.path(), 1).await;
    let key = OperatorKey::from_bytes([7; 32]);
    assert_eq!(
        sqlite::sealed_under(folder.path()).await.unwrap(),
        Some(key.fingerprint())
    );
    assert_eq!(store.audit_verify().await.unwrap(), 4);
    let who = store.identity("zq-1").await.unwrap();
    let old = store.timeline(who.reference, 10).await.unwrap();
    assert_eq!(old[1].payload["changes"]["name"]["to"], NAME);
    plan(&store, IdentityState::Leaving, 2).await;
    plan(&store, IdentityState::Departed, 3).await;
    drop(store);
    let store = open(folder.path(), 4).await;
    let timeline = store.timeline(who.reference, 10).await.unwrap();
    assert_eq!(timeline[..2], old);
    assert_eq!(timeline[3].cause.links(), [format!("{NAME} left")]);
    assert_eq!(store.audit_verify().await.unwrap(), 6);
    let records = store.audit_export(0, None, 100).await.unwrap();
    let sealed: Vec<bool> = records.iter().map(|record| record.sealed.is_some()).collect();
    assert_eq!(sealed, [false, false, false, false, true, true]);
}

/// Who was there before there were keys gets one with the first words about them; erased, neither words nor names are left in the files.
#[tokio::test]
async fn facts_and_names_of_before_keys_are_sealed_and_erased() {
    const LOGIN: &str = "zebquart";
    let folder = tempfile::tempdir().unwrap();
    old_folder(folder.path()).await;
    let store = open(folder.path(), 1).await;
    let who = store.identity("zq-1").await.unwrap();
    let role = NewFact::Assignment {
        role: "night-porter".parse().unwrap(),
        origin: Origin::Manual,
        valid_from: None,
        valid_until: None,
    };
    let reason = "covers for Evadne Mount";
    let id = store.add_fact(who.id, &role, reason, &context(2)).await.unwrap();
    store
        .end_fact(id, "Evadne Mount is back", &context(3))
        .await
        .unwrap();
    store.add_fact(who.id, &role, reason, &context(4)).await.unwrap();
    let wanted = NameRequest {
        identity: who.reference,
        wanted: NameWanted {
            slot: AccountSlot {
                target: "app".parse().unwrap(),
                kind: "primary".parse().unwrap(),
            },
            attribute: "login".to_owned(),
            candidates: vec![LOGIN.to_owned()],
        },
        bar: SignedDuration::from_hours(1),
    };
    store.reserve(&[wanted], &context(5)).await.unwrap();
    // Not only dropped: its connections would still be at the files.
    store.close().await.unwrap();
    assert!(holds(folder.path(), LOGIN) && !holds(folder.path(), "Evadne"));
    let store = open(folder.path(), 6).await;
    assert_eq!(
        store.identity("zq-1").await.unwrap().assignments[0].reason,
        reason
    );
    plan(&store, IdentityState::Departed, 7).await;
    let erased = store
        .erase(who.id, "asked by the person", &context(8))
        .await
        .unwrap();
    assert!(erased.scrubbed);
    for trace in [LOGIN, "night-porter", "Evadne", "zq-1"] {
        assert!(!holds(folder.path(), trace), "{trace} is still in the files");
    }
    store.audit_verify().await.unwrap();
}

#[tokio::test]
async fn erasing_leaves_nothing_in_the_files_and_the_old_chain_links() {
    let folder = tempfile::tempdir().unwrap();
    old_folder(folder.path()).await;
    assert!(holds(folder.path(), NAME));
    let store = open(folder.path(), 1).await;
    plan(&store, IdentityState::Leaving, 2).await;
    plan(&store, IdentityState::Departed, 3).await;
    let who = store.identity("zq-1").await.unwrap();
    store.seal(&context(4)).await.unwrap().unwrap();
    let erased = store
        .erase(who.id, "asked by the person", &context(5))
        .await
        .unwrap();
    assert_eq!((erased.records, erased.emptied), (1, 2));
    assert!(erased.scrubbed);
    for trace in [NAME, "Quartermain", "zq-1"] {
        assert!(!holds(folder.path(), trace), "{trace} is still in the files");
    }
    let verified = store
        .audit_verify_against(&usher_store::Evidence::default())
        .await
        .unwrap();
    assert_eq!((verified.rows, verified.emptied), (5, 2));
    let timeline = store.timeline(who.reference, 10).await.unwrap();
    assert!(
        timeline[..4]
            .iter()
            .all(|row| row.payload == serde_json::json!({ "erased": true }))
    );
    store.close().await.unwrap();

    // Emptying what no erasure names is found.
    let mut connection = connect(folder.path()).await;
    sqlx::raw_sql("UPDATE audit SET cause = '', payload = '', sealed = x'' WHERE seq = 4")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let found = open(folder.path(), 6).await.audit_verify().await;
    assert!(
        matches!(&found, Err(StoreError::Corrupt { column: "sealed", .. })),
        "{found:?}"
    );
}
