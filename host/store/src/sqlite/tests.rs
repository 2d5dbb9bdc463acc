//! What is SQLite's own: the folder, the lock, the clock guard, damage, a full disk, query plans.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sqlx::{AssertSqlSafe, Row};
use tempfile::TempDir;
use usher_lifecycle::attributes::digest;
use usher_lifecycle::cause::{Actor, Cause};
use usher_lifecycle::ids::OperationId;
use usher_lifecycle::name::Name;
use usher_lifecycle::operation::{Priority, Work};
use usher_lifecycle::state::IdentityState;

use crate::SqlStore;
use crate::sql::{
    absorb, attempts, claim, free_names, open_operations, operations, outcome_batch, outcomes, outdated,
    personal_facts, plan_queue, planning, reservations, stopping,
};
use crate::{
    Audit, Change, Claim, Context, Decision, DiskTrouble, Documents, FactsStore, Identities, NewOperation,
    NewSnapshot, Operations, OperatorKey, Outcome, Planned, Planning, Randomness, Recorded, StagedRecord,
    StoreError, TargetClaim,
};

struct Counted(std::sync::atomic::AtomicU64);

impl Randomness for Counted {
    fn fill(&self, buffer: &mut [u8]) {
        let number = self
            .0
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
            .to_be_bytes();
        buffer[..8].copy_from_slice(&number);
    }
}

pub(super) fn randomness() -> Arc<dyn Randomness> {
    Arc::new(Counted(1.into()))
}

pub(super) fn context() -> Context {
    Context {
        actor: Actor::Usher,
        at: "2026-03-02T08:00:00Z".parse().unwrap(),
    }
}

pub(super) fn later(seconds: i64) -> Context {
    Context {
        at: context().at + SignedDuration::from_secs(seconds),
        ..context()
    }
}

pub(super) async fn store() -> (TempDir, SqlStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = super::create(folder.path(), &key(), randomness(), &context())
        .await
        .unwrap();
    (folder, store)
}

pub(super) fn key() -> OperatorKey {
    OperatorKey::from_bytes([7; 32])
}

pub(super) async fn reopen(folder: &TempDir, seconds: i64) -> Result<SqlStore, StoreError> {
    let randomness = Arc::new(Counted((1_000_000 + seconds.unsigned_abs()).into()));
    super::open(folder.path(), &key(), randomness, &later(seconds)).await
}

/// `n` people, each with a create for `app` planned.
pub(super) async fn people(store: &SqlStore, n: usize) {
    let snapshot = NewSnapshot {
        source: "hr".parse().unwrap(),
        origin: "people.csv".to_owned(),
        file_digest: [0; 32],
        rows: n as u64,
    };
    let id = store.begin_snapshot(snapshot, &context()).await.unwrap();
    store.stage(id, &records(n)).await.unwrap();
    store.accept(id, &context()).await.unwrap();
    while store.absorb(1_000).await.unwrap() > 0 {}
    let versions = store.versions().await.unwrap();
    let due = store.due(context().at, 2_000).await.unwrap();
    let plan: Vec<Planned> = due
        .iter()
        .map(|row| Planned {
            reference: row.reference,
            facts_version: row.facts_version,
            state: IdentityState::Active,
            state_cause: Cause::new("hr: in the file"),
            next_change_at: None,
            held: Vec::new(),
            superseded: Vec::new(),
            in_the_way: Vec::new(),
            replan: false,
            operations: vec![create(store)],
        })
        .collect();
    assert_eq!(
        store
            .commit_plan(&plan, versions, &context())
            .await
            .unwrap()
            .planned,
        n as u64
    );
}

fn records(n: usize) -> Vec<StagedRecord> {
    (0..n)
        .map(|i| {
            let attributes = [("name".to_owned(), i.into())].into_iter().collect();
            let digest = digest(&attributes);
            StagedRecord {
                key: format!("p{i}"),
                change: Change::Upsert {
                    attributes,
                    digest,
                    join: None,
                },
            }
        })
        .collect()
}

fn create(store: &SqlStore) -> NewOperation {
    NewOperation {
        id: OperationId::from_parts(context().at, &store.random()),
        slot: usher_lifecycle::account::AccountSlot {
            target: "app".parse().unwrap(),
            kind: Name::primary(),
        },
        work: Work::Create {
            attributes: usher_lifecycle::attributes::Attributes::new(),
        },
        priority: Priority::Onboarding,
        due_at: context().at,
        cause: Cause::new("hr: in the file"),
        budgeted: false,
    }
}

pub(super) fn from_app(limit: u32) -> Claim {
    Claim {
        targets: vec![TargetClaim {
            target: "app".parse().unwrap(),
            limit,
        }],
        ..Claim::default()
    }
}

pub(super) async fn raw(store: &SqlStore, sql: &str) {
    let mut writer = store.writer.lock().await;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(writer.sqlite())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_folder_is_private_and_owned_by_one_process() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("data");
    let missing = super::open(&path, &key(), randomness(), &context()).await;
    assert!(
        matches!(&missing, Err(StoreError::NotFound(m)) if m.contains("usher init")),
        "{missing:?}"
    );
    assert!(!path.exists(), "looking makes nothing");

    let store = super::create(&path, &key(), randomness(), &context())
        .await
        .unwrap();
    people(&store, 1).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in std::fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap().path();
        assert_eq!(mode(&entry), 0o600, "{}", entry.display());
    }
    let pid = std::process::id().to_string();
    for second in [
        super::open(&path, &key(), randomness(), &context()).await,
        super::create(&path, &key(), randomness(), &context()).await,
    ] {
        assert!(
            matches!(&second, Err(StoreError::InUse(m)) if m.contains(&pid)),
            "{second:?}"
        );
    }
    store.close().await.unwrap();
    let again = super::create(&path, &key(), randomness(), &context()).await;
    assert!(
        matches!(&again, Err(StoreError::InUse(m)) if m.contains("already")),
        "{again:?}"
    );
    super::open(&path, &key(), randomness(), &context())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_untouched() {
    let (folder, store) = store().await;
    raw(
        &store,
        "PRAGMA user_version = 99; UPDATE meta SET works_from = 99",
    )
    .await;
    drop(store);
    let newer = reopen(&folder, 1).await;
    assert!(
        matches!(&newer, Err(StoreError::Version(m)) if m.contains("99")),
        "{newer:?}"
    );

    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("usher.db");
    std::fs::write(
        &path,
        "certainly not a database, but long enough to look like one at first sight ",
    )
    .unwrap();
    let nonsense = reopen(&other, 1).await;
    assert!(matches!(nonsense, Err(StoreError::Damaged(_))), "{nonsense:?}");
}

#[tokio::test]
async fn a_database_that_is_not_ushers_is_refused() {
    let (folder, store) = store().await;
    raw(&store, "PRAGMA application_id = 7; PRAGMA user_version = 0").await;
    drop(store);
    let other = reopen(&folder, 1).await;
    assert!(
        matches!(&other, Err(StoreError::Version(m)) if m.contains("not made by Usher")),
        "{other:?}"
    );
}

#[tokio::test]
async fn a_clock_that_went_back_is_refused() {
    let (folder, store) = store().await;
    let document = crate::NewDocument {
        kind: crate::DocumentKind::Policy,
        text: String::new(),
        resolved: serde_json::json!({}),
    };
    store.activate(document, &later(3_600)).await.unwrap();
    assert_eq!(store.high_water().await.unwrap(), later(3_600).at);
    drop(store);
    let backward = reopen(&folder, 3_600 - 301).await;
    assert!(
        matches!(&backward, Err(StoreError::Stale(m)) if m.contains("clock")),
        "{backward:?}"
    );
    let store = reopen(&folder, 3_600 - 300).await.unwrap();
    assert_eq!(
        store.high_water().await.unwrap(),
        later(3_600).at,
        "it never falls"
    );
}

#[tokio::test]
async fn a_rehearsal_and_settings_are_remembered() {
    let (folder, store) = store().await;
    assert!(!store.is_rehearsal().await.unwrap());
    assert_eq!(store.setting("clock").await.unwrap(), None);
    store.set_rehearsal().await.unwrap();
    for value in ["first", "second"] {
        store.set_setting("clock", value).await.unwrap();
    }
    drop(store);
    let store = reopen(&folder, 1).await.unwrap();
    assert!(store.is_rehearsal().await.unwrap());
    assert_eq!(store.setting("clock").await.unwrap().as_deref(), Some("second"));
}

#[tokio::test]
async fn the_connection_keeps_its_promises_of_durability() {
    let (_folder, store) = store().await;
    let mut writer = store.writer.lock().await;
    for (pragma, expected) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("foreign_keys", "1"),
        ("busy_timeout", "5000"),
    ] {
        let sql = format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}");
        let sql = if pragma == "busy_timeout" {
            sql.replace("(busy_timeout", "(timeout")
        } else {
            sql
        };
        let row = sqlx::query(AssertSqlSafe(sql))
            .fetch_one(writer.sqlite())
            .await
            .unwrap();
        assert_eq!(row.get::<String, _>(0), expected, "{pragma}");
    }
}

/// What can be done to the audit, and where it shows.
#[tokio::test]
async fn every_change_of_the_audit_is_found() {
    for (damage, column) in [
        (
            "UPDATE audit SET sealed = zeroblob(length(sealed)) WHERE event = 'operation.planned'",
            "hash",
        ),
        ("UPDATE audit SET at_us = at_us + 1 WHERE seq = 5", "hash"),
        ("UPDATE audit SET actor = '\"clock\"' WHERE seq = 5", "hash"),
        (
            "UPDATE audit SET identity = 2 WHERE seq = 3 AND identity = 1",
            "hash",
        ),
        (
            "UPDATE identity SET public_id = zeroblob(16) WHERE id = 1",
            "hash",
        ),
        ("DELETE FROM audit WHERE seq = 6", "n"),
        ("DELETE FROM audit WHERE seq > 7 AND writer = 1", "hash"),
        ("DELETE FROM audit WHERE writer = 2", "hash"),
        ("UPDATE audit SET n = n + 1 WHERE seq = 4", "n"),
        (
            "UPDATE audit SET seq = -1 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = -1",
            "n",
        ),
    ] {
        let (folder, store) = store().await;
        people(&store, 2).await;
        let rows = store.audit_verify().await.unwrap();
        drop(store);
        let store = reopen(&folder, 1).await.unwrap();
        store
            .record_and_claim(&[], &[], &from_app(1), &later(1))
            .await
            .unwrap();
        assert_eq!(store.audit_verify().await.unwrap(), rows + 1);
        drop(store);
        let store = reopen(&folder, 2).await.unwrap();
        raw(&store, damage).await;
        // The next writer goes on from what it saw at its start.
        store
            .record_and_claim(&[], &[], &from_app(1), &later(2))
            .await
            .unwrap();
        let found = store.audit_verify().await;
        assert!(
            matches!(&found, Err(StoreError::Corrupt { table: "audit", column: c, .. }) if *c == column),
            "{damage}: {found:?}"
        );
    }
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_named() {
    let (_folder, store) = store().await;
    people(&store, 2).await;
    raw(&store, "UPDATE account SET attributes = '{\"a\":' WHERE id = 2").await;
    let found = store.identity("p1").await;
    assert!(
        matches!(
            &found,
            Err(StoreError::Corrupt {
                table: "account",
                column: "attributes",
                row: 2,
                ..
            })
        ),
        "{found:?}"
    );
    raw(
        &store,
        "PRAGMA ignore_check_constraints = 1; UPDATE identity SET state = 9 WHERE id = 1",
    )
    .await;
    let found = store.identity("p0").await;
    assert!(
        matches!(
            &found,
            Err(StoreError::Corrupt {
                table: "identity",
                column: "state",
                row: 1,
                ..
            })
        ),
        "{found:?}"
    );
    let info = store
        .add_artifact("sql", "0.1.0", b"bytes", &context())
        .await
        .unwrap();
    raw(&store, "UPDATE artifact SET bytes = x'00'").await;
    let found = store.artifact(&info.digest).await;
    assert!(
        matches!(
            found,
            Err(StoreError::Corrupt {
                table: "artifact",
                column: "bytes",
                ..
            })
        ),
        "{found:?}"
    );
}

/// The disk is full, or the file cannot be written: nothing is half written, and it goes on when there is room again.
#[tokio::test]
async fn a_full_disk_leaves_nothing_half_written() {
    for (broken, mended, wanted) in [
        (
            "PRAGMA max_page_count = 1",
            "PRAGMA max_page_count = 1000000",
            DiskTrouble::Full,
        ),
        (
            "PRAGMA query_only = 1",
            "PRAGMA query_only = 0",
            DiskTrouble::ReadOnly,
        ),
    ] {
        let (_folder, store) = store().await;
        people(&store, 600).await;
        let Recorded { claimed, .. } = store
            .record_and_claim(&[], &[], &from_app(512), &later(1))
            .await
            .unwrap();
        assert_eq!(claimed.len(), 512);
        let before = (
            store.versions().await.unwrap(),
            store.operation_totals().await.unwrap(),
        );
        raw(&store, broken).await;
        let outcomes: Vec<Outcome> = claimed
            .iter()
            .map(|one| large_outcome(one.number, one.attempt))
            .collect();
        let failed = store
            .record_and_claim(&[], &outcomes, &from_app(512), &later(2))
            .await;
        assert!(
            matches!(&failed, Err(StoreError::Disk { trouble, .. }) if *trouble == wanted),
            "{failed:?}"
        );
        assert_eq!(
            (
                store.versions().await.unwrap(),
                store.operation_totals().await.unwrap()
            ),
            before
        );
        raw(&store, mended).await;
        let Recorded { fenced, .. } = store
            .record_and_claim(&[], &outcomes, &from_app(512), &later(3))
            .await
            .unwrap();
        assert!(fenced.is_empty());
        store.audit_verify().await.unwrap();
    }
}

fn large_outcome(number: i64, attempt: u32) -> Outcome {
    let mut observed = usher_lifecycle::account::ObservedAccount::absent();
    observed.state = usher_lifecycle::account::AccountState::Enabled;
    observed.external_id = Some(format!("x{number}"));
    observed
        .attributes
        .insert("text".to_owned(), "long".repeat(1_000).into());
    Outcome {
        number,
        attempt,
        decision: Decision::Done,
        observed: Some(observed),
        dirty: false,
        message: String::new(),
    }
}

/// A caller that gives up anywhere in a call leaves a store that works and an audit that verifies.
#[tokio::test]
async fn a_dropped_call_is_rolled_back_or_done() {
    let (_folder, store) = store().await;
    people(&store, 60).await;
    let mut seen = 0;
    for polls in 0..60_u32 {
        let claim = from_app(1);
        let context = later(i64::from(polls));
        let mut call = Box::pin(store.record_and_claim(&[], &[], &claim, &context));
        // Polled so often and no more: the future is dropped between any two of its steps.
        let mut left = polls;
        let ended = std::future::poll_fn(|cx| match call.as_mut().poll(cx) {
            std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
            std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
            std::task::Poll::Pending => {
                left -= 1;
                std::task::Poll::Pending
            }
        })
        .await;
        drop(call);
        if let Some(done) = ended {
            seen += done.unwrap().claimed.len();
        }
        store.audit_verify().await.unwrap();
    }
    let claimed: u64 = store
        .operation_totals()
        .await
        .unwrap()
        .iter()
        .filter(|one| one.state == usher_lifecycle::operation::OperationState::Claimed)
        .map(|one| one.operations)
        .sum();
    assert!(
        claimed >= seen as u64 && seen > 0,
        "{claimed} claimed, {seen} seen"
    );
    let told: u64 = store
        .audit_tail(1_000)
        .await
        .unwrap()
        .iter()
        .filter(|row| row.event == "operations.claimed")
        .count() as u64;
    assert_eq!(told, claimed, "a claim and its audit row are one");
}

/// The hot queries read index ranges, never a whole table.
#[tokio::test]
async fn hot_queries_use_their_indexes() {
    let (_folder, store) = store().await;
    people(&store, 3).await;
    for (sql, wanted) in [
        (claim::READY.sqlite, vec!["operation_ready", "operation_open"]),
        (claim::URGENT_TARGETS, vec!["operation_ready"]),
        (operations::NEXT_DUE, vec!["operation_ready"]),
        (planning::DUE, vec!["identity_dirty", "identity_next_change"]),
        (stopping::NEXT_URGENT_DUE, vec!["operation_ready"]),
        (stopping::CUTS, vec!["operation_cut"]),
        (stopping::DUE_AT_ONCE, vec!["identity_urgent"]),
        (
            stopping::NOT_STOPPED,
            vec![
                "personal_fact_security",
                "sqlite_autoindex_account_1",
                "operation_open",
            ],
        ),
        (
            outdated::OUTDATED,
            vec!["SEARCH identity USING INTEGER PRIMARY KEY (rowid>?)"],
        ),
        (open_operations::OPEN_OPERATIONS, vec!["operation_open"]),
        (
            personal_facts::COUNTING,
            vec![
                "personal_fact_of_identity (identity=? AND ended_us=?)",
                "SEARCH i USING INTEGER PRIMARY KEY",
            ],
        ),
        (
            reservations::RESERVED,
            vec!["reservation_of_identity (identity=? AND barred_until_us=?)"],
        ),
        (
            free_names::HELD,
            vec!["reservation_name", "sqlite_autoindex_target_1"],
        ),
        (claim::CLAIM, vec!["SEARCH operation USING INTEGER PRIMARY KEY"]),
        (claim::CLAIMED, vec!["SEARCH o USING INTEGER PRIMARY KEY"]),
        (attempts::ATTEMPTS, vec!["SEARCH o USING INTEGER PRIMARY KEY"]),
        (attempts::LINKS, vec!["account_link"]),
        (
            outcomes::ABSENCES,
            vec!["SEARCH operation USING INTEGER PRIMARY KEY"],
        ),
        (
            outcome_batch::UPDATE_OPERATIONS,
            vec!["SEARCH operation USING INTEGER PRIMARY KEY"],
        ),
        (
            outcome_batch::UPDATE_ACCOUNTS,
            vec!["SEARCH account USING INTEGER PRIMARY KEY"],
        ),
        (
            outcome_batch::TOUCH_IDENTITIES,
            vec!["SEARCH identity USING INTEGER PRIMARY KEY"],
        ),
        (outcome_batch::SUPERSEDE_WAITING, vec!["operation_open"]),
        (
            operations::PROMOTE,
            vec!["operation_open", "SEARCH operation USING INTEGER PRIMARY KEY"],
        ),
        (
            absorb::CHUNK,
            vec![
                "SEARCH staged USING PRIMARY KEY",
                "sqlite_autoindex_source_record_1",
                "source_record_join",
            ],
        ),
        (
            absorb::UPDATE_RECORDS,
            vec!["SEARCH source_record USING INTEGER PRIMARY KEY"],
        ),
        (absorb::DELETE_CHUNK, vec!["SEARCH staged USING PRIMARY KEY"]),
        (
            planning::RECORD,
            vec!["SEARCH identity USING INTEGER PRIMARY KEY"],
        ),
        (plan_queue::OVERTAKEN.sqlite, vec!["sqlite_autoindex_operation_1"]),
        (plan_queue::ACCOUNTS, vec!["sqlite_autoindex_account_1"]),
    ] {
        let mut writer = store.writer.lock().await;
        let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
            .fetch_all(writer.sqlite())
            .await;
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => panic!("{error}: {sql}"),
        };
        let plan: Vec<String> = rows.iter().map(|row| row.get::<String, _>("detail")).collect();
        for index in wanted {
            assert!(
                plan.iter().any(|step| step.contains(index)),
                "{index} is not used:\n{}",
                plan.join("\n")
            );
        }
        // Parameters, inner results and the handful of targets may be walked; large tables only through a partial index.
        for step in &plan {
            let walked = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
            let large = [
                "operation",
                "o",
                "account",
                "a",
                "identity",
                "i",
                "source_record",
                "r",
                "staged",
                "f",
                "personal_fact",
                "reservation",
            ];
            // Dirty ones, and those under a security hold.
            let small = [
                "INDEX identity_dirty",
                "INDEX identity_urgent",
                "INDEX personal_fact_security",
            ];
            assert!(
                !walked.is_some_and(|name| large.contains(&name))
                    || small.iter().any(|index| step.contains(index)),
                "{step}:\n{}",
                plan.join("\n")
            );
        }
    }
}

#[test]
fn moments_are_kept_to_the_microsecond() {
    let exact: Timestamp = "2026-03-02T08:00:00.123456789Z".parse().unwrap();
    assert_eq!(crate::sql::cells::micros(exact), 1_772_438_400_123_456);
}
