//! What is PostgreSQL's own: query plans over a large database, what connections are set to.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Row as _};
use usher_lifecycle::cause::Actor;

use super::{LEASE, Options, connect_options, create, pool};
use crate::sql::{
    absorb, attempts, claim, free_names, open_operations, operations, outcome_batch, outcomes,
    personal_facts, plan_queue, planning, recovery, reservations,
};
use crate::{Context, OperatorKey, Randomness};

struct Counted(std::sync::atomic::AtomicU64);

impl Randomness for Counted {
    fn fill(&self, buffer: &mut [u8]) {
        let number = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let bytes = number.to_be_bytes();
        buffer
            .chunks_mut(8)
            .for_each(|chunk| chunk.copy_from_slice(&bytes[..chunk.len()]));
    }
}

fn options() -> Options {
    Options {
        lease: LEASE,
        name: "a test".to_owned(),
    }
}

/// A person, an account in `app` and an operation of it each; every tenth operation is ready, one in twenty waits, a few are claimed, the rest is
/// done. Two of the people are dirty.
/// References are not checked while it is made.
const LARGE: &str = "
    SET session_replication_role = replica;
    INSERT INTO source (name) VALUES ('hr');
    INSERT INTO target (name) VALUES ('app'), ('directory');
    INSERT INTO identity (public_id, dirty, state, planned_under) SELECT decode(md5('i' || n), 'hex'), CASE WHEN n < 3 THEN 1 ELSE 0 END, 1, 1
        FROM generate_series(1, 100000) n;
    INSERT INTO source_record (source, key, identity, attributes, digest) SELECT 1, 'p' || n, n, '{}', decode(md5('d'), 'hex')
        FROM generate_series(1, 100000) n;
    INSERT INTO account (identity, target, kind, state, external_id) SELECT n, 1, 'primary', 1, 'x' || n FROM generate_series(1, 100000) n;
    INSERT INTO personal_fact (public_id, identity, kind, from_us, words, added_by, added_us)
        SELECT decode(md5('f' || n), 'hex'), n, 2, 0, decode('00', 'hex'), '\"usher\"', 0 FROM generate_series(1, 20000) n;
    INSERT INTO reservation (identity, target, kind, attribute, value, digest, reserved_us, bar_us)
        SELECT n, 1, 'primary', 'login', 'x' || n, sha256(convert_to('x' || n, 'UTF8')), 0, 0 FROM generate_series(1, 100000) n;
    INSERT INTO snapshot (public_id, source, origin, file_digest, rows, state, base, at_us)
        VALUES (decode(md5('s'), 'hex'), 1, 'people.csv', decode(repeat('00', 32), 'hex'), 20000, 1, 0, 0);
    INSERT INTO staged (snapshot, key, change) SELECT 1, 'p' || n, 1 FROM generate_series(1, 20000) n;
    INSERT INTO operation (public_id, account, target, state, priority, due_us, attempts, writer, claimed_us, work, cause, verb)
        SELECT decode(md5('o' || n), 'hex'), n, 1,
               CASE WHEN n % 10 = 0 THEN 1 WHEN n % 20 = 1 THEN 0 WHEN n % 5000 = 2 THEN 2 ELSE 4 END, n % 5, n, 1, 1, n,
               '{\"do\":\"disable\"}', '[]', 'disable'
        FROM generate_series(1, 100000) n;
    ANALYZE;";

/// Tables that grow with the company.
const LARGE_TABLES: [&str; 7] = [
    "operation",
    "account",
    "identity",
    "source_record",
    "staged",
    "personal_fact",
    "reservation",
];

/// The hot statements read index ranges, never a whole table, whether the server plans for the values or once for all.
#[tokio::test]
async fn hot_queries_use_their_indexes() {
    let Some(server) = usher_test_postgres::shared().unwrap() else {
        return;
    };
    let url = server.database("large").unwrap();
    let context = Context {
        actor: Actor::Usher,
        at: "2026-03-02T08:00:00Z".parse().unwrap(),
    };
    let key = OperatorKey::from_bytes([7; 32]);
    let store = create(&url, options(), &key, Arc::new(Counted(1.into())), &context)
        .await
        .unwrap();
    server.sql("large", LARGE).unwrap();
    let numbers = "'[10,20,30,40,50,60,70]'";
    let rows = "'[[10,1,0,1,0,null,null,\"\",0],[20,1,0,1,0,null,null,\"\",0]]'";
    // Planned as for the store's own connections.
    let pool = pool(connect_options(&url, &options()).unwrap(), 1);
    let mut slow = Vec::new();
    for (sql, values, wanted) in [
        (
            claim::READY.postgres,
            "1, 50000, 64, 5",
            "operation_ready operation_open",
        ),
        (claim::CLAIM, &format!("{numbers}, 1, 5"), "operation_pkey"),
        (
            claim::CLAIMED,
            numbers,
            "operation_pkey account_pkey identity_pkey",
        ),
        (operations::NEXT_DUE, "", "operation_ready"),
        (operations::PROMOTE, numbers, "operation_open operation_pkey"),
        (recovery::LOST, "", "operation_claimed"),
        (recovery::LOST_OWNERS, "", "operation_claimed"),
        (planning::DUE, "5, 100", "identity_dirty identity_next_change"),
        (planning::RECORD, &format!("{rows}, 2"), "identity_pkey"),
        (open_operations::OPEN_OPERATIONS, numbers, "operation_open"),
        (
            personal_facts::COUNTING,
            &format!("{numbers}, 5"),
            "personal_fact_of_identity identity_pkey",
        ),
        (reservations::RESERVED, numbers, "reservation_of_identity"),
        (
            free_names::HELD,
            "'[[\"app\",\"login\",\"00\"],[\"app\",\"login\",\"01\"]]'",
            "reservation_name",
        ),
        (
            attempts::ATTEMPTS,
            numbers,
            "operation_pkey account_pkey identity_pkey",
        ),
        (
            attempts::LINKS,
            "'[[1,\"x7\"],[1,\"x9\"]]'",
            "account_link identity_pkey",
        ),
        (outcomes::ABSENCES, "'[[10,1],[20,1]]', 5, 1", "operation_claimed"),
        (outcome_batch::UPDATE_OPERATIONS, rows, "operation_pkey"),
        (
            outcome_batch::UPDATE_ACCOUNTS,
            &format!("{rows}, 5"),
            "account_pkey",
        ),
        (outcome_batch::TOUCH_IDENTITIES, rows, "identity_pkey"),
        (
            outcome_batch::SUPERSEDE_WAITING,
            &format!("{numbers}, 5"),
            "operation_open",
        ),
        (
            plan_queue::OVERTAKEN.postgres,
            "'[\"00\"]'",
            "operation_public_id_key account_pkey",
        ),
        (
            plan_queue::ACCOUNTS,
            "'[[10,\"app\",\"primary\"]]'",
            "account_identity_target_kind_key operation_open",
        ),
        (
            absorb::CHUNK,
            "1, 1, 1000",
            "staged_pkey source_record_key_source_key identity_pkey",
        ),
        (absorb::UPDATE_RECORDS, rows, "source_record_pkey"),
        (absorb::DELETE_CHUNK, "1, 'p1001'", "staged_pkey"),
    ] {
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let call = if values.is_empty() {
                "q".to_owned()
            } else {
                format!("q ({values})")
            };
            let script = format!(
                "SET plan_cache_mode = {mode}; PREPARE q AS {sql}; EXPLAIN EXECUTE {call}; DEALLOCATE q"
            );
            let rows = sqlx::raw_sql(AssertSqlSafe(script)).fetch_all(&pool).await;
            let lines = rows.unwrap_or_else(|error| panic!("{error}:\n{sql}"));
            let lines: Vec<String> = lines.iter().map(|row| row.get(0)).collect();
            let plan = lines.join("\n");
            let unused = wanted.split(' ').filter(|index| !plan.contains(index));
            let walked = LARGE_TABLES
                .into_iter()
                .filter(|table| plan.contains(&format!("Seq Scan on {table} ")));
            let wrong: Vec<&str> = unused.chain(walked).collect();
            if !wrong.is_empty() {
                slow.push(format!("{wrong:?} ({mode}):\n{sql}\n{plan}"));
            }
        }
    }
    assert!(
        slow.is_empty(),
        "indexes not used, or tables read from end to end:\n{}",
        slow.join("\n\n")
    );
    store.close().await.unwrap();
}

/// Every connection of ours carries the limits by which a stopped process lets go, and commits durably.
#[tokio::test]
async fn connections_are_set_to_keep_their_promises() {
    let Some(server) = usher_test_postgres::shared().unwrap() else {
        return;
    };
    let url = server.fresh_database().unwrap();
    let pool = pool(connect_options(&url, &options()).unwrap(), 1);
    for (setting, expected) in [
        ("idle_in_transaction_session_timeout", "15s"),
        ("lock_timeout", "5s"),
        ("statement_timeout", "1min"),
        ("synchronous_commit", "on"),
        ("random_page_cost", "1.1"),
        ("default_transaction_isolation", "read committed"),
        ("TimeZone", "UTC"),
        ("fsync", "on"),
    ] {
        let row: (String,) = sqlx::query_as(AssertSqlSafe(format!("SHOW {setting}")))
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(row.0, expected, "{setting}");
    }
    pool.close().await;
}

/// An address with a mistake in it is refused without telling its password.
#[test]
fn a_wrong_address_keeps_its_password() {
    for url in [
        "postgres://usher:s3cret@[::1/x",
        "s3cret",
        "postgres://usher:s3cret@host:port/x",
    ] {
        let refused = connect_options(url, &options()).unwrap_err().to_string();
        assert!(
            !refused.contains("s3cret") && refused.contains("postgres://"),
            "{refused}"
        );
    }
}

/// Opening says what is missing: the database, the tables; and making them twice is refused.
#[tokio::test]
async fn what_is_missing_is_said() {
    let Some(server) = usher_test_postgres::shared().unwrap() else {
        return;
    };
    let missing = server.url("not_there");
    let context = Context {
        actor: Actor::Usher,
        at: "2026-03-02T08:00:00Z".parse().unwrap(),
    };
    let key = OperatorKey::from_bytes([7; 32]);
    let refused = super::open(&missing, options(), &key, Arc::new(Counted(1.into())), &context)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("\"not_there\" does not exist"),
        "{refused}"
    );
    let url = server.fresh_database().unwrap();
    let refused = super::open(&url, options(), &key, Arc::new(Counted(1.into())), &context)
        .await
        .unwrap_err();
    assert!(matches!(refused, crate::StoreError::NotFound(_)), "{refused}");
    create(&url, options(), &key, Arc::new(Counted(1.into())), &context)
        .await
        .unwrap();
    let refused = create(&url, options(), &key, Arc::new(Counted(1.into())), &context)
        .await
        .unwrap_err();
    assert!(matches!(refused, crate::StoreError::InUse(_)), "{refused}");
}
