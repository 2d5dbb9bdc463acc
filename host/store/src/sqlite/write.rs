//! The write transaction: one writer, `BEGIN IMMEDIATE`, audit rows and the high-water time in the same commit.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};
use uuid::Uuid;

use super::rows::{Cells, failed, hex, json_of};
use crate::{Context, StoreError};

/// The one connection that writes.
pub(super) struct Writer {
    pub(super) connection: SqliteConnection,
    /// This opening of the store: the fence of its claims and the name of its audit chain.
    pub(super) id: i64,
    /// The end of the audit, known from the last commit. `None` after a transaction that did not end in a seen commit: then it
    /// is read again.
    head: Option<Head>,
}

/// The end of the audit.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) seq: i64,
    pub(super) n: i64,
    pub(super) hash: [u8; 32],
}

/// The identity an audit row is about.
#[derive(Clone, Copy)]
pub(super) struct Subject {
    pub(super) number: i64,
    pub(super) id: Uuid,
}

/// One audit row to write.
pub(super) struct Entry<'a> {
    pub(super) event: &'static str,
    pub(super) subject: Option<Subject>,
    /// A cause as JSON text.
    pub(super) cause: &'a str,
    pub(super) payload: Value,
}

/// A row as its statement takes it: one array of the JSON parameter.
#[derive(Serialize)]
struct AuditRow(
    i64,
    i64,
    i64,
    i64,
    String,
    &'static str,
    Option<i64>,
    String,
    String,
    String,
);

/// A cause with no links, as JSON text.
pub(super) const NO_CAUSE: &str = "[]";

/// Which counters a commit raises.
#[derive(Clone, Copy, Default)]
pub(super) struct Raised {
    pub(super) facts: bool,
    pub(super) observed: bool,
}

/// A write transaction. Dropped without a commit, it is rolled back and the next one reads the end of the audit again.
pub(super) struct Write<'a> {
    pub(super) tx: Transaction<'a, Sqlite>,
    pub(super) writer: i64,
    known_head: &'a mut Option<Head>,
    head: Head,
    doing: &'static str,
    actor: String,
    at_us: i64,
    rows: Vec<AuditRow>,
}

impl Writer {
    /// Registers a new writer incarnation.
    pub(super) async fn register(mut connection: SqliteConnection, at_us: i64) -> Result<Self, StoreError> {
        let doing = "opening the store";
        let mut tx = connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed(doing))?;
        let genesis = last_row(&mut tx).await?.map_or([0; 32], |(_, head)| head.hash);
        let id = sqlx::query("INSERT INTO writer (opened_us, genesis) VALUES (?1, ?2)")
            .bind(at_us)
            .bind(genesis.to_vec())
            .execute(&mut *tx)
            .await
            .map_err(failed(doing))?
            .last_insert_rowid();
        sqlx::query("INSERT INTO meta (id, high_water_us) VALUES (1, ?1) ON CONFLICT DO UPDATE SET high_water_us = max(high_water_us, ?1)")
            .bind(at_us)
            .execute(&mut *tx)
            .await
            .map_err(failed(doing))?;
        tx.commit().await.map_err(failed(doing))?;
        Ok(Self {
            connection,
            id,
            head: None,
        })
    }

    /// Begins a transaction that changes no facts and has no audit rows (staging).
    pub(super) async fn plain(&mut self, doing: &'static str) -> Result<Transaction<'_, Sqlite>, StoreError> {
        self.connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed(doing))
    }

    /// Begins a transaction whose audit rows carry the context.
    pub(super) async fn begin(
        &mut self,
        doing: &'static str,
        context: &Context,
    ) -> Result<Write<'_>, StoreError> {
        let actor = json_of(doing, &context.actor)?;
        let known = self.head.take();
        let mut tx = self
            .connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed(doing))?;
        let head = match known {
            Some(head) => head,
            None => match last_row(&mut tx).await? {
                Some((writer, head)) if writer == self.id => head,
                Some((_, head)) => Head { n: 0, ..head },
                None => Head {
                    seq: 0,
                    n: 0,
                    hash: [0; 32],
                },
            },
        };
        Ok(Write {
            tx,
            writer: self.id,
            known_head: &mut self.head,
            head,
            doing,
            actor,
            at_us: context.at.as_microsecond(),
            rows: Vec::new(),
        })
    }
}

impl Write<'_> {
    /// Adds an audit row; written with the commit.
    pub(super) fn audit(&mut self, entry: &Entry<'_>) {
        let payload = entry.payload.to_string();
        let (seq, n) = (self.head.seq + 1, self.head.n + 1);
        let hash = row_hash(
            &self.head.hash,
            &Hashed {
                seq,
                writer: self.writer,
                n,
                at_us: self.at_us,
                actor: &self.actor,
                event: entry.event,
                identity: entry.subject.map(|subject| subject.id),
                cause: entry.cause,
                payload: &payload,
            },
        );
        self.head = Head { seq, n, hash };
        self.rows.push(AuditRow(
            seq,
            self.writer,
            n,
            self.at_us,
            self.actor.clone(),
            entry.event,
            entry.subject.map(|subject| subject.number),
            entry.cause.to_owned(),
            payload,
            hex(&hash),
        ));
    }

    /// Writes the audit rows, raises the high-water time and the counters, and commits.
    pub(super) async fn commit(mut self, raised: Raised) -> Result<(), StoreError> {
        let doing = self.doing;
        if !self.rows.is_empty() {
            let rows = json_of(doing, &self.rows)?;
            sqlx::query(INSERT_AUDIT)
                .bind(rows)
                .execute(&mut *self.tx)
                .await
                .map_err(failed(doing))?;
        }
        sqlx::query(RAISE)
            .bind(self.at_us)
            .bind(i64::from(raised.facts))
            .bind(i64::from(raised.observed))
            .execute(&mut *self.tx)
            .await
            .map_err(failed(doing))?;
        self.tx.commit().await.map_err(failed(doing))?;
        *self.known_head = Some(self.head);
        Ok(())
    }
}

const INSERT_AUDIT: &str = "
    INSERT INTO audit (seq, writer, n, at_us, actor, event, identity, cause, payload, hash)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8,
           unhex(value ->> 9)
    FROM json_each(?1)";

const RAISE: &str = "
    UPDATE meta SET high_water_us = max(high_water_us, ?1), facts = facts + ?2, observed = observed + ?3 WHERE id = 1";

const LAST_ROW: &str = r#"
    SELECT seq AS "audit.seq", writer AS "audit.writer", n AS "audit.n", hash AS "audit.hash"
    FROM audit ORDER BY seq DESC LIMIT 1"#;

async fn last_row(connection: &mut SqliteConnection) -> Result<Option<(i64, Head)>, StoreError> {
    let row = sqlx::query(LAST_ROW)
        .fetch_optional(connection)
        .await
        .map_err(failed("reading the end of the audit"))?;
    let Some(row) = row else { return Ok(None) };
    let cells = Cells::new(&row, "audit.seq")?;
    let head = Head {
        seq: cells.get("audit.seq")?,
        n: cells.get("audit.n")?,
        hash: cells.bytes("audit.hash")?,
    };
    Ok(Some((cells.get("audit.writer")?, head)))
}

/// The content of an audit row that its hash covers.
pub(super) struct Hashed<'a> {
    pub(super) seq: i64,
    pub(super) writer: i64,
    pub(super) n: i64,
    pub(super) at_us: i64,
    pub(super) actor: &'a str,
    pub(super) event: &'a str,
    pub(super) identity: Option<Uuid>,
    pub(super) cause: &'a str,
    pub(super) payload: &'a str,
}

/// SHA-256 over the hash before it and every field; texts carry their length, so that no two rows read the same.
pub(super) fn row_hash(previous: &[u8; 32], row: &Hashed<'_>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    for number in [row.seq, row.writer, row.n, row.at_us] {
        hasher.update(number.to_be_bytes());
    }
    match row.identity {
        Some(id) => {
            hasher.update([1]);
            hasher.update(id.as_bytes());
        }
        None => hasher.update([0]),
    }
    for text in [row.actor, row.event, row.cause, row.payload] {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().into()
}
