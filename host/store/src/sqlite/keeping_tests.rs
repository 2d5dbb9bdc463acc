//! What keeps a folder's database safe: backup and restore, a look at its health, a log that stays small, a disk that fails.

use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::SignedDuration;
use sqlx::ConnectOptions;
use tempfile::TempDir;
use usher_lifecycle::account::{AccountSlot, AccountState, ObservedAccount};
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::cause::Cause;
use usher_lifecycle::facts::HoldKind;
use usher_lifecycle::operation::{OperationState, Priority, Work};
use usher_lifecycle::reservation::NameWanted;
use usher_lifecycle::state::IdentityState;

use super::tests::{context, from_app, key, later, people, randomness, raw, reopen, store};
use super::writing::{LOG_BYTES_MAX, bytes_of, log_of};
use super::{Backup, Restored};
use crate::sql::db::query;
use crate::{
    Audit, ClaimedOperation, Decision, Freezing, Identities, NameRequest, NewFact, NewOperation,
    OperationFilter, Operations, Outcome, PersonalFacts, Planned, Planning, Reservations, SqlStore,
    StoreError,
};

async fn back_up(folder: &TempDir, to: &Path, overwrite: bool) -> Result<Backup, StoreError> {
    super::backup(folder.path(), to, overwrite, Arc::new(|_, _| {})).await
}

async fn restore(file: &Path, to: &Path) -> Result<Restored, StoreError> {
    super::restore(file, to, &key(), randomness(), &later(7_200)).await
}

fn done(claimed: &ClaimedOperation) -> Outcome {
    Outcome {
        number: claimed.number,
        attempt: claimed.attempt,
        decision: Decision::Done,
        observed: Some(ObservedAccount {
            state: AccountState::Enabled,
            external_id: Some(format!("x{}", claimed.number)),
            ..ObservedAccount::absent()
        }),
        dirty: false,
        message: String::new(),
    }
}

/// Four people: one with an account and a disable in the queue, one whose creation is under way, two whose creations wait.
async fn busy() -> (TempDir, SqlStore) {
    let (folder, store) = store().await;
    people(&store, 4).await;
    let claimed = store
        .record_and_claim(&[], &[], &from_app(2), &later(1))
        .await
        .unwrap()
        .claimed;
    store
        .record_and_claim(&[], &[done(&claimed[0])], &from_app(0), &later(2))
        .await
        .unwrap();
    let first = store.identity("p0").await.unwrap();
    let disable = NewOperation {
        id: usher_lifecycle::ids::OperationId::from_parts(context().at, &store.random()),
        slot: first.accounts[0].slot.clone(),
        work: Work::Disable,
        priority: Priority::Deprovision,
        due_at: later(3).at,
        cause: Cause::new("hr: left"),
        budgeted: false,
    };
    let plan = Planned {
        reference: first.reference,
        facts_version: first.facts_version,
        state: IdentityState::Leaving,
        state_cause: Cause::new("hr: left"),
        next_change_at: None,
        held: Vec::new(),
        superseded: Vec::new(),
        in_the_way: Vec::new(),
        replan: false,
        operations: vec![disable],
    };
    let versions = store.versions().await.unwrap();
    let recorded = store.commit_plan(&[plan], versions, &later(3)).await.unwrap();
    assert_eq!(recorded.operations, 1);
    (folder, store)
}

fn backup_file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("monday.backup");
    (folder, file)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Writes nonsense over the middle of a file.
fn damage(file: &Path) {
    let mut file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(length / 2)).unwrap();
    file.write_all(&[0xa5; 6_000]).unwrap();
}

#[tokio::test]
async fn a_backup_is_of_one_moment_while_others_write() {
    let (folder, store) = store().await;
    people(&store, 400).await;
    let (above, file) = backup_file();
    let told = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let progress = {
        let told = told.clone();
        Arc::new(move |_, of: u64| told.store(of, std::sync::atomic::Ordering::Relaxed))
    };
    let write = async {
        let mut claimed = Vec::new();
        for second in 1..40 {
            let outcomes: Vec<Outcome> = claimed.iter().map(done).collect();
            claimed = store
                .record_and_claim(&[], &outcomes, &from_app(16), &later(second))
                .await
                .unwrap()
                .claimed;
        }
    };
    let (made, ()) = tokio::join!(super::backup(folder.path(), &file, false, progress), write);
    let made = made.unwrap();
    assert_eq!(made.file, file);
    assert_eq!(made.size_bytes, bytes_of(&file));
    assert_eq!(made.schema_version, crate::schema::SCHEMA_VERSION);
    assert_eq!(names(above.path()), ["monday.backup"]);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let output = std::process::Command::new("sha256sum")
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .starts_with(&made.sha256)
    );

    // What it holds agrees with itself, whenever it was taken.
    let to = above.path().join("new");
    let restored = restore(&file, &to).await.unwrap();
    assert_eq!(Some(restored.moment), made.moment);
    let again = super::open(&to, &key(), randomness(), &later(7_200))
        .await
        .unwrap();
    again.audit_verify().await.unwrap();
    assert_eq!(again.identities_page(None, 1_000).await.unwrap().len(), 400);
}

#[tokio::test]
async fn a_backup_takes_nothing_elses_place() {
    let (folder, _store) = busy().await;
    let (above, file) = backup_file();
    back_up(&folder, &file, false).await.unwrap();
    let refused = back_up(&folder, &file, false).await;
    assert!(
        matches!(&refused, Err(StoreError::InUse(m)) if m.contains("exists")),
        "{refused:?}"
    );
    back_up(&folder, &file, true).await.unwrap();
    for inside in ["usher.db", "backup"] {
        let refused = back_up(&folder, &folder.path().join(inside), true).await;
        assert!(
            matches!(&refused, Err(StoreError::InUse(m)) if m.contains("elsewhere")),
            "{refused:?}"
        );
    }
    let missing = back_up(&above, &file, true).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
    // What a killed backup left is taken away; one that is being written is not.
    let partial = above.path().join("other.partial");
    std::fs::write(&partial, "left").unwrap();
    back_up(&folder, &above.path().join("other"), false)
        .await
        .unwrap();
    let held = std::fs::File::create(&partial).unwrap();
    held.lock().unwrap();
    let refused = back_up(&folder, &above.path().join("other"), true).await;
    assert!(
        matches!(&refused, Err(StoreError::InUse(m)) if m.contains("being written")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_damaged_database_gives_no_backup() {
    let (folder, store) = store().await;
    people(&store, 500).await;
    store.close().await.unwrap();
    damage(&super::folder::database(folder.path()));
    let (above, file) = backup_file();
    let refused = back_up(&folder, &file, false).await;
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "{refused:?}");
    assert!(names(above.path()).is_empty(), "{:?}", names(above.path()));
}

#[tokio::test]
async fn a_restored_folder_is_frozen_and_reads_before_it_writes() {
    let (folder, store) = busy().await;
    let (above, file) = backup_file();
    let made = back_up(&folder, &file, false).await.unwrap();
    drop(store);
    let to = above.path().join("new");
    let restored = restore(&file, &to).await.unwrap();
    assert_eq!(restored.sha256, made.sha256);
    assert_eq!(restored.moment, later(3).at);
    let marked = restored.marked;
    assert_eq!((marked.accounts, marked.creations, marked.superseded), (1, 2, 1));
    assert_eq!(names(&to), ["usher.db", "usher.lock"]);

    let store = super::open(&to, &key(), randomness(), &later(7_300))
        .await
        .unwrap();
    let frozen = store.frozen().await.unwrap().unwrap();
    assert!(
        frozen.reason.contains("2026-03-02T08:00:03Z"),
        "{}",
        frozen.reason
    );
    assert_eq!(frozen.since, later(7_200).at);
    // The creation under way is read back, as after any crash.
    assert_eq!(store.recover(&later(7_300)).await.unwrap(), 1);
    let nothing = store
        .record_and_claim(&[], &[], &from_app(10), &later(7_300))
        .await
        .unwrap();
    assert!(nothing.claimed.is_empty() && nothing.frozen.is_some());

    let first = store.identity("p0").await.unwrap();
    assert_eq!(first.accounts[0].observed.state, AccountState::Unknown);
    assert!(first.accounts[0].observed.external_id.is_some(), "the link stays");
    assert!(first.accounts[0].open.is_empty(), "planned anew");
    for key in ["p1", "p2", "p3"] {
        let waiting = store.identity(key).await.unwrap();
        let open = &waiting.accounts[0].open[0];
        assert!(open.settle && open.state == OperationState::Ready, "{open:?}");
    }
    let due = store.due(later(7_300).at, 100).await.unwrap();
    assert!(due.iter().any(|one| one.id == first.id));
    let events: Vec<String> = store
        .audit_tail(100)
        .await
        .unwrap()
        .into_iter()
        .map(|row| format!("{} {}", row.event, row.payload))
        .collect();
    assert!(
        events
            .iter()
            .any(|event| event.starts_with("store.restored") && event.contains(&made.sha256)),
        "{events:#?}"
    );
    store.audit_verify().await.unwrap();

    store.thaw("a fresh file is in", &later(7_400)).await.unwrap();
    let claimed = store
        .record_and_claim(&[], &[], &from_app(10), &later(7_400))
        .await
        .unwrap()
        .claimed;
    assert_eq!(claimed.len(), 3);
    assert!(claimed.iter().all(|one| one.settle));
}

/// What people set and the names that are reserved are in a backup, words and all.
#[tokio::test]
async fn a_restored_folder_holds_who_was_held() {
    let (folder, store) = store().await;
    people(&store, 2).await;
    let who = store.identity("p1").await.unwrap();
    let hold = NewFact::Hold {
        kind: HoldKind::Security,
        from: later(1).at,
        until: None,
    };
    let id = store
        .add_fact(who.id, &hold, "a lost badge", &later(1))
        .await
        .unwrap();
    let wanted = NameRequest {
        identity: who.reference,
        wanted: NameWanted {
            slot: AccountSlot {
                target: "app".parse().unwrap(),
                kind: "primary".parse().unwrap(),
            },
            attribute: "login".to_owned(),
            candidates: vec!["jdoe".to_owned()],
        },
        bar: SignedDuration::from_hours(24),
    };
    let reserved = store
        .reserve(std::slice::from_ref(&wanted), &later(2))
        .await
        .unwrap();
    let before = store.identity("p1").await.unwrap();
    let (above, file) = backup_file();
    back_up(&folder, &file, false).await.unwrap();
    store.end_fact(id, "found", &later(3)).await.unwrap();
    drop(store);
    let to = above.path().join("new");
    restore(&file, &to).await.unwrap();
    let store = super::open(&to, &key(), randomness(), &later(7_300))
        .await
        .unwrap();
    let now = store.identity("p1").await.unwrap();
    assert_eq!(
        (&now.holds, &now.reservations),
        (&before.holds, &before.reservations)
    );
    assert_eq!(now.holds[0].reason, "a lost badge");
    assert_eq!(
        store
            .security_holds(later(7_300).at, None, 10)
            .await
            .unwrap()
            .rows[0]
            .id,
        id
    );
    assert_eq!(store.reserve(&[wanted], &later(7_300)).await.unwrap(), reserved);
    store.audit_verify().await.unwrap();
}

#[tokio::test]
async fn a_marking_that_was_cut_short_keeps_it_frozen() {
    let (_folder, store) = busy().await;
    raw(&store, "INSERT INTO setting VALUES ('restored.marking', 'yes')").await;
    let refused = store.thaw("why not", &later(4)).await;
    assert!(
        matches!(&refused, Err(StoreError::Stale(m)) if m.contains("--restored")),
        "{refused:?}"
    );
    let marked = store.mark_restored(&later(5)).await.unwrap();
    assert_eq!((marked.accounts, marked.creations, marked.superseded), (1, 2, 1));
    let again = store.mark_restored(&later(6)).await.unwrap();
    assert_eq!((again.accounts, again.superseded), (0, 0));
    store.thaw("it is whole now", &later(7)).await.unwrap();
    assert_eq!(store.frozen().await.unwrap(), None);
    // A claim of this writer was under way all the time: its outcome counts.
    let claimed = store
        .operations(&OperationFilter {
            states: vec![OperationState::Claimed],
            limit: 10,
            ..OperationFilter::default()
        })
        .await
        .unwrap();
    assert_eq!(claimed.len(), 1);
}

#[tokio::test]
async fn what_is_no_good_backup_is_refused() {
    let (folder, store) = store().await;
    people(&store, 500).await;
    let (above, good) = backup_file();
    back_up(&folder, &good, false).await.unwrap();
    let changed = |name: &str| {
        let path = above.path().join(name);
        std::fs::copy(&good, &path).unwrap();
        path
    };
    let to = above.path().join("new");

    let damaged = changed("damaged");
    damage(&damaged);
    let refused = restore(&damaged, &to).await;
    assert!(
        matches!(&refused, Err(StoreError::Damaged(m)) if m.contains("older backup")),
        "{refused:?}"
    );

    for (name, sql, words) in [
        (
            "newer",
            "PRAGMA user_version = 99; UPDATE meta SET works_from = 99",
            "version 99",
        ),
        ("another", "PRAGMA application_id = 7", "not made by Usher"),
    ] {
        let file = changed(name);
        let mut connection = super::options(&file).connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        sqlx::Connection::close(connection).await.unwrap();
        let refused = restore(&file, &to).await;
        assert!(
            matches!(&refused, Err(StoreError::Version(m)) if m.contains(words)),
            "{refused:?}"
        );
    }
    let text = changed("text");
    std::fs::write(
        &text,
        "certainly no database, but long enough to look like one at first sight",
    )
    .unwrap();
    let refused = restore(&text, &to).await;
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "{refused:?}");

    // The live database itself, whose newest commits are in the log beside it.
    let refused = restore(&super::folder::database(folder.path()), &to).await;
    assert!(
        matches!(&refused, Err(StoreError::InUse(m)) if m.contains("live")),
        "{refused:?}"
    );
    let refused = restore(&good, folder.path()).await;
    assert!(matches!(refused, Err(StoreError::InUse(_))), "{refused:?}");
    let wrong = crate::OperatorKey::from_bytes([99; 32]);
    let refused = super::restore(&good, &to, &wrong, randomness(), &later(7_200)).await;
    assert!(matches!(refused, Err(StoreError::Key(_))), "{refused:?}");
    let early = super::restore(&good, &to, &key(), randomness(), &later(-3_600)).await;
    assert!(matches!(early, Err(StoreError::Stale(_))), "{early:?}");

    // None of them made a data folder, and what they left hinders nobody.
    assert!(!super::exists(&to));
    std::fs::write(to.join("usher.db.restoring"), "cut short").unwrap();
    restore(&good, &to).await.unwrap();
    assert!(super::exists(&to));
}

#[tokio::test]
async fn a_damaged_database_is_refused_after_a_crash_and_left_as_it_is() {
    let (folder, store) = store().await;
    people(&store, 500).await;
    store.close().await.unwrap();
    // Left in order, then used by somebody who was killed.
    let store = reopen(&folder, 1).await.unwrap();
    drop(store);
    // The connections end on their own threads.
    let database = super::folder::database(folder.path());
    let store = loop {
        match reopen(&folder, 2).await {
            Err(StoreError::InUse(_)) => tokio::task::yield_now().await,
            other => break other.unwrap(),
        }
    };
    raw(&store, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    drop(store);
    damage(&database);
    let before = std::fs::read(&database).unwrap();
    let refused = reopen(&folder, 3).await;
    assert!(
        matches!(&refused, Err(StoreError::Damaged(m)) if m.contains("usher restore")),
        "{refused:?}"
    );
    assert!(before == std::fs::read(&database).unwrap(), "it was touched");
    let found = check(&folder).await;
    assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
}

/// Looks through everything.
async fn check(folder: &TempDir) -> Result<(), StoreError> {
    let database = super::folder::database(folder.path());
    super::integrity::whole(&database, super::integrity::Depth::Full).await
}

#[tokio::test]
async fn a_missing_index_and_a_dangling_row_are_found() {
    let (folder, store) = busy().await;
    check(&folder).await.unwrap();
    raw(&store, "PRAGMA foreign_keys = OFF; DELETE FROM target").await;
    let found = check(&folder).await;
    assert!(
        matches!(&found, Err(StoreError::Damaged(m)) if m.contains("refers to a row of target")),
        "{found:?}"
    );
    raw(&store, "DROP INDEX account_link").await;
    store.close().await.unwrap();
    let refused = reopen(&folder, 10).await;
    assert!(
        matches!(&refused, Err(StoreError::Damaged(m)) if m.contains("there is no index account_link")),
        "{refused:?}"
    );
}

/// A read that never ends cannot make the log grow for ever, and only that read is hurt.
#[tokio::test]
async fn the_log_stays_small_under_a_long_read() {
    const ROUNDS: i64 = 110;
    const BATCH: usize = 480;
    let (folder, store) = store().await;
    people(&store, BATCH).await;
    let log = log_of(&super::folder::database(folder.path()));
    let mut long = store.read("reading for ever").await.unwrap();
    let count = || query("SELECT count(*) FROM operation WHERE state < 4");
    count().fetch_one(&mut long).await.unwrap();
    let (mut recorded, mut largest, mut claimed) = (0, 0, Vec::new());
    for second in 1..ROUNDS {
        let outcomes: Vec<Outcome> = claimed.iter().map(|one| retried(one, second)).collect();
        recorded += outcomes.len();
        claimed = store
            .record_and_claim(&[], &outcomes, &from_app(1_000), &later(second))
            .await
            .unwrap()
            .claimed;
        assert_eq!(claimed.len(), BATCH);
        largest = largest.max(bytes_of(&log));
        // Somebody else reads in between and never notices.
        store.versions().await.unwrap();
    }
    assert!(recorded >= 50_000, "{recorded}");
    assert!(largest > LOG_BYTES_MAX, "the limit was never reached: {largest}");
    assert!(largest < LOG_BYTES_MAX + 32 * 1024 * 1024, "{largest} bytes");
    let ended = match count().fetch_one(&mut long).await {
        Ok(_) => panic!("the long read goes on"),
        Err(error) => crate::sql::cells::failed("reading for ever")(error),
    };
    assert!(
        matches!(&ended, StoreError::Unavailable { message, .. } if message.contains("log stays small")),
        "{ended:?}"
    );
    assert!(bytes_of(&log) < LOG_BYTES_MAX, "{} bytes", bytes_of(&log));
    store.audit_verify().await.unwrap();
}

fn retried(claimed: &ClaimedOperation, second: i64) -> Outcome {
    let mut attributes = Attributes::new();
    attributes.insert("text".to_owned(), "long".repeat(50).into());
    Outcome {
        decision: Decision::Retry {
            at: later(second).at,
            settle: false,
            counts: false,
        },
        observed: Some(ObservedAccount {
            attributes,
            ..ObservedAccount::absent()
        }),
        ..done(claimed)
    }
}

/// When the disk fails SQLite may roll back by itself, and the driver does not know.
#[tokio::test]
async fn a_transaction_that_was_rolled_back_underneath_blocks_nobody() {
    let (_folder, store) = busy().await;
    for _ in 0..3 {
        let mut writer = store.writer.lock().await;
        let mut tx = writer.plain("a write that fails").await.unwrap();
        query("ROLLBACK").execute(&mut tx).await.unwrap();
        drop(tx);
        drop(writer);
        let mut read = store.read("a read that fails").await.unwrap();
        query("ROLLBACK").execute(&mut read).await.unwrap();
        drop(read);
    }
    store.freeze("to write something", &later(9)).await.unwrap();
    for _ in 0..6 {
        assert!(store.frozen().await.unwrap().is_some(), "a reader shows the past");
    }
    store.audit_verify().await.unwrap();
}
