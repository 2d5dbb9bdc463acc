//! The write transaction: one writer per process; audit rows, counters and the high-water time in the same commit.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::PgPool;
use uuid::Uuid;

pub(crate) use super::audit_rows::{Entry, NO_CAUSE, Subject};
use super::audit_rows::{Fault, Head, INSERT_AUDIT, KEEP_KEYS, NewRows, Stamp};
use super::cells::{Cells, failed, json_of, micros, numbers};
use super::db::{Sql, Tx, query};
use super::keys::{NEWEST, load};
use crate::keys::ring::{Keys, SealedKey};
use crate::schema::{SCHEMA_VERSION, works_from};
use crate::sqlite::writing::Writing;
use crate::{Context, StoreError};

/// The one connection of this process that writes.
pub(crate) struct Writer {
    connection: Connection,
    /// This opening of the store: the fence of its claims and the name of its audit chain.
    pub(crate) id: i64,
    /// The end of its chain, known from the last commit. `None` after a transaction that did not end in a seen commit: then it
    /// is read again.
    head: Option<Head>,
    name: String,
    /// How long others leave its work alone after a heartbeat; zero where there are no others.
    lease: Duration,
    /// It runs operations, and has told the others so.
    pub(crate) serves: bool,
    keys: Arc<Keys>,
}

/// How the writer reaches its database.
#[expect(clippy::large_enum_variant, reason = "there is one for each opened store")]
pub(crate) enum Connection {
    Sqlite(Writing),
    /// A pool of one, which connects again after a failure.
    Postgres(PgPool),
}

/// Which counters a commit raises.
#[derive(Clone, Copy, Default)]
pub(crate) struct Raised {
    pub(crate) facts: bool,
    pub(crate) observed: bool,
}

/// A write transaction. Dropped without a commit, it is rolled back and the next one reads the end of the audit again.
pub(crate) struct Write<'a> {
    pub(crate) tx: Tx<'a>,
    pub(crate) writer: i64,
    known_head: &'a mut Option<Head>,
    doing: &'static str,
    pub(super) actor: String,
    pub(super) at_us: i64,
    pub(super) rows: NewRows,
    pub(super) keys: Arc<Keys>,
    /// Identities are made here, each with a key sealed under the newest data key.
    new_keys: bool,
}

impl Connection {
    async fn begin(&mut self) -> Result<Tx<'_>, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.begin().await.map(Tx::Sqlite),
            Self::Postgres(pool) => pool.begin().await.map(Tx::Postgres),
        }
    }
}

impl Writer {
    /// Registers as a new writer. `name` says who it is, for people.
    pub(crate) async fn new(
        connection: Connection,
        name: String,
        lease: Duration,
        keys: Arc<Keys>,
        at: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut writer = Self {
            connection,
            id: 0,
            head: None,
            name,
            lease,
            serves: false,
            keys,
        };
        writer.register(at).await?;
        Ok(writer)
    }

    /// Becomes a new writer incarnation with a chain of its own, which begins at the newest audit row.
    pub(crate) async fn register(&mut self, at: Timestamp) -> Result<(), StoreError> {
        let doing = "opening the store";
        self.head = None;
        let mut tx = self.connection.begin().await.map_err(failed(doing))?;
        let newest = query(NEWEST_ROW)
            .fetch_optional(&mut tx)
            .await
            .map_err(failed(doing))?;
        let (genesis, after) = match newest {
            None => ([0; 32], None),
            Some(row) => {
                let cells = Cells::new(&row, "audit.seq")?;
                let after: (i64, i64) = (cells.get("audit.writer")?, cells.get("audit.n")?);
                (cells.bytes("audit.hash")?, Some(after))
            }
        };
        if !tx.is_shared() {
            // One process owns the folder: whoever wrote before is gone.
            let before = open_writers(&mut tx).await?;
            close_writers(&mut tx, &before, at).await?;
        }
        query("INSERT INTO meta (id, high_water_us, works_from) VALUES (1, $1, $2) ON CONFLICT DO NOTHING")
            .bind(micros(at))
            .bind(works_from())
            .execute(&mut tx)
            .await
            .map_err(failed(doing))?;
        let row = query(REGISTER)
            .bind(micros(at))
            .bind(genesis.to_vec())
            .bind(after.map(|(writer, _)| writer))
            .bind(after.map(|(_, n)| n))
            .bind(&self.name)
            .bind(SCHEMA_VERSION)
            .bind(i64::try_from(self.lease.as_micros()).unwrap_or(i64::MAX))
            .bind(i64::from(self.serves))
            .fetch_one(&mut tx)
            .await
            .map_err(failed(doing))?;
        let id = row.at(0).map_err(failed(doing))?;
        tx.commit().await.map_err(failed(doing))?;
        self.id = id;
        self.head = Some(Head { n: 0, hash: genesis });
        Ok(())
    }

    /// Leaves in order.
    pub(crate) async fn leave(&mut self) -> Result<(), StoreError> {
        let doing = "leaving the store";
        let id = self.id;
        let mut tx = self.connection.begin().await.map_err(failed(doing))?;
        let row = query("SELECT high_water_us FROM writer WHERE id = $1")
            .bind(id)
            .fetch_one(&mut tx)
            .await
            .map_err(failed(doing))?;
        let at_us: i64 = row.at(0).map_err(failed(doing))?;
        let at = Timestamp::from_microsecond(at_us).unwrap_or(Timestamp::UNIX_EPOCH);
        close_writers(&mut tx, &[id], at).await?;
        tx.commit().await.map_err(failed(doing))
    }

    /// The connection itself, for tests of what is SQLite's own.
    #[cfg(test)]
    pub(crate) fn sqlite(&mut self) -> &mut sqlx::SqliteConnection {
        match &mut self.connection {
            Connection::Sqlite(connection) => connection.connection(),
            Connection::Postgres(_) => panic!("not on SQLite"),
        }
    }

    /// Folds what was deleted out of the log, so that nothing of it is left in SQLite's files. `false` where somebody still reads the old
    /// state, and on PostgreSQL.
    pub(crate) async fn scrub(&mut self) -> bool {
        match &mut self.connection {
            Connection::Sqlite(writing) => writing.fold_now().await,
            Connection::Postgres(_) => false,
        }
    }

    /// Closes the connection; on SQLite the last one folds the write-ahead log into the database file.
    pub(crate) async fn close(self) -> Result<(), StoreError> {
        match self.connection {
            Connection::Sqlite(connection) => {
                connection.close().await.map_err(failed("closing the database"))
            }
            Connection::Postgres(pool) => {
                pool.close().await;
                Ok(())
            }
        }
    }

    /// Begins a transaction that changes no facts and has no audit rows (staging).
    pub(crate) async fn plain(&mut self, doing: &'static str) -> Result<Tx<'_>, StoreError> {
        self.connection.begin().await.map_err(failed(doing))
    }

    /// Begins a transaction whose audit rows carry the context.
    pub(crate) async fn begin(
        &mut self,
        doing: &'static str,
        context: &Context,
    ) -> Result<Write<'_>, StoreError> {
        let actor = json_of(doing, &context.actor)?;
        let known = self.head.take();
        let mut tx = self.connection.begin().await.map_err(failed(doing))?;
        let head = match known {
            Some(head) => head,
            None => own_head(&mut tx, self.id).await?,
        };
        Ok(Write {
            tx,
            writer: self.id,
            known_head: &mut self.head,
            doing,
            actor,
            at_us: micros(context.at),
            rows: NewRows::new(self.id, head, &self.keys),
            keys: Arc::clone(&self.keys),
            new_keys: false,
        })
    }
}

impl Write<'_> {
    /// Goes on as another actor, at another time.
    pub(crate) fn acts_as(&mut self, context: &Context) -> Result<(), StoreError> {
        self.actor = json_of(self.doing, &context.actor)?;
        self.at_us = micros(context.at);
        Ok(())
    }

    /// Adds an audit row; written with the commit.
    pub(crate) fn audit(&mut self, entry: &Entry<'_>) {
        let stamp = Stamp {
            actor: &self.actor,
            at_us: self.at_us,
        };
        self.rows.add(entry, &stamp);
    }

    /// An identity that is made in this transaction, with its sealed key.
    pub(crate) fn new_subject(&mut self, number: i64, id: Uuid) -> Result<(Subject, SealedKey), StoreError> {
        self.new_keys = true;
        self.rows.new_subject(number, id)
    }

    /// Writes the audit rows, raises the high-water time and the counters, and commits.
    pub(crate) async fn commit(mut self, raised: Raised) -> Result<(), StoreError> {
        let doing = self.doing;
        self.keep_keys().await?;
        if !self.rows.rows.is_empty() {
            let rows = json_of(doing, &self.rows.rows)?;
            query(INSERT_AUDIT)
                .bind(rows)
                .bind(std::mem::take(&mut self.rows.bytes))
                .bind(self.writer)
                .execute(&mut self.tx)
                .await
                .map_err(failed(doing))?;
        }
        let raised = query(RAISE)
            .bind(self.writer)
            .bind(self.rows.head.n)
            .bind(self.rows.head.hash.to_vec())
            .bind(self.at_us)
            .bind(i64::from(raised.facts))
            .bind(i64::from(raised.observed))
            .execute(&mut self.tx)
            .await
            .map_err(failed(doing))?;
        if raised == 0 {
            // Dropped, the transaction is rolled back.
            return Err(StoreError::Fenced(format!(
                "{doing}: this process was not heard of for too long and others took over its work; nothing was recorded"
            )));
        }
        self.tx.commit().await.map_err(failed(doing))?;
        *self.known_head = Some(self.rows.head);
        Ok(())
    }

    /// Keys of identities go with their first rows. A data key that another host made meanwhile is taken in, and the work begins anew.
    pub(super) async fn keep_keys(&mut self) -> Result<(), StoreError> {
        let doing = self.doing;
        let mut is_behind = false;
        match self.rows.fault.take() {
            None => {}
            Some(Fault::UnknownKey) => is_behind = true,
            Some(Fault::Failed(error)) => return Err(error),
        }
        let made = std::mem::take(&mut self.rows.made);
        if self.tx.is_shared() && !is_behind && (self.new_keys || !made.is_empty()) {
            let row = query(NEWEST)
                .fetch_one(&mut self.tx)
                .await
                .map_err(failed(doing))?;
            is_behind = row.at::<i64>(0).map_err(failed(doing))? != self.rows.ring.newest()?;
        }
        if is_behind {
            let operator = self.keys.operator();
            let ring = load(&mut self.tx, &operator).await?;
            self.keys.replace(operator, ring);
            return Err(StoreError::Contended(format!(
                "{doing}: the data key was changed meanwhile"
            )));
        }
        if made.is_empty() {
            return Ok(());
        }
        let kept = query(KEEP_KEYS)
            .bind(json_of(doing, &made)?)
            .execute(&mut self.tx)
            .await
            .map_err(failed(doing))?;
        if kept != made.len() as u64 {
            return Err(StoreError::Contended(format!(
                "{doing}: an identity got its key meanwhile"
            )));
        }
        Ok(())
    }
}

/// Every commit ends with it: the fence, the heartbeat, the end of the chain and the counters, all in the writer's own row.
const RAISE: Sql = Sql {
    sqlite: "UPDATE writer SET head_n = $2, head_hash = $3, seen_us = $4,
                 high_water_us = CASE WHEN high_water_us > $4 THEN high_water_us ELSE $4 END,
                 facts = facts + $5, observed = observed + $6
             WHERE id = $1 AND closed_us IS NULL",
    postgres: "UPDATE writer SET head_n = $2, head_hash = $3,
                   seen_us = CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT),
                   high_water_us = greatest(high_water_us, $4), facts = facts + $5, observed = observed + $6
               WHERE id = $1 AND closed_us IS NULL",
};

const REGISTER: Sql = Sql {
    sqlite: "INSERT INTO writer (opened_us, genesis, after_writer, after_n, name, schema_version, seen_us, high_water_us, head_hash, lease_us, serves)
             VALUES ($1, $2, $3, $4, $5, $6, $1, $1, $2, $7, $8) RETURNING id",
    postgres: "INSERT INTO writer (opened_us, genesis, after_writer, after_n, name, schema_version, seen_us, high_water_us, head_hash, lease_us, serves)
               VALUES ($1, $2, $3, $4, $5, $6, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT), $1, $2, $7, $8) RETURNING id",
};

const NEWEST_ROW: &str = r#"
    SELECT seq AS "audit.seq", writer AS "audit.writer", n AS "audit.n", hash AS "audit.hash"
    FROM audit ORDER BY seq DESC LIMIT 1"#;

const OWN_HEAD: &str = r#"
    SELECT id AS "writer.id", head_n AS "writer.head_n", head_hash AS "writer.head_hash" FROM writer WHERE id = $1"#;

const FOLD: &str = "
    UPDATE meta
    SET facts = facts + (SELECT CAST(coalesce(sum(w.facts), 0) AS BIGINT) FROM writer w
                         WHERE w.closed_us IS NULL AND w.id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))),
        observed = observed + (SELECT CAST(coalesce(sum(w.observed), 0) AS BIGINT) FROM writer w
                               WHERE w.closed_us IS NULL AND w.id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))),
        high_water_us = (SELECT max(h.us) FROM (
            SELECT high_water_us AS us FROM meta
            UNION ALL SELECT w.high_water_us FROM writer w WHERE w.id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))) AS h)
    WHERE id = 1";

const CLOSE: &str = "
    UPDATE writer SET closed_us = $2, facts = 0, observed = 0
    WHERE closed_us IS NULL AND id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

async fn own_head(tx: &mut Tx<'_>, writer: i64) -> Result<Head, StoreError> {
    let row = query(OWN_HEAD)
        .bind(writer)
        .fetch_one(tx)
        .await
        .map_err(failed("reading the end of the audit"))?;
    let cells = Cells::new(&row, "writer.id")?;
    Ok(Head {
        n: cells.get("writer.head_n")?,
        hash: cells.bytes("writer.head_hash")?,
    })
}

/// Writers that have not left.
pub(crate) async fn open_writers(tx: &mut Tx<'_>) -> Result<Vec<i64>, StoreError> {
    let doing = "reading the writers";
    let rows = query("SELECT id FROM writer WHERE closed_us IS NULL ORDER BY id")
        .fetch_all(tx)
        .await
        .map_err(failed(doing))?;
    numbers(&rows)
}

/// Closes writers: nothing of them is recorded any more. What they counted goes to `meta`.
pub(crate) async fn close_writers(tx: &mut Tx<'_>, writers: &[i64], at: Timestamp) -> Result<(), StoreError> {
    let doing = "closing writers";
    let ids = json_of(doing, writers)?;
    query(FOLD).bind(&ids).execute(tx).await.map_err(failed(doing))?;
    query(CLOSE)
        .bind(ids)
        .bind(micros(at))
        .execute(tx)
        .await
        .map_err(failed(doing))?;
    Ok(())
}
