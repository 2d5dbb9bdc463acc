//! Reading and verifying the audit.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::rows::{Cells, failed};
use super::write::{Hashed, row_hash};
use crate::{Audit, AuditRow, IdentityRef, StoreError};

/// Rows verified at a time: a few megabytes of memory, whatever the length of the audit.
const VERIFY_PAGE: i64 = 5_000;
/// Most rows shown at once.
const SHOWN_MAX: u32 = 10_000;

const DOING: &str = "reading the audit";

const TIMELINE: &str = r#"
    SELECT seq AS "audit.seq", at_us AS "audit.at_us", actor AS "audit.actor", event AS "audit.event", cause AS "audit.cause",
           payload AS "audit.payload"
    FROM audit WHERE identity = ?1 ORDER BY seq DESC LIMIT ?2"#;

const TAIL: &str = r#"
    SELECT seq AS "audit.seq", at_us AS "audit.at_us", actor AS "audit.actor", event AS "audit.event", cause AS "audit.cause",
           payload AS "audit.payload"
    FROM audit ORDER BY seq DESC LIMIT ?1"#;

const GENESES: &str = r#"SELECT id AS "writer.id", genesis AS "writer.genesis" FROM writer"#;

const PAGE: &str = r#"
    SELECT u.seq AS "audit.seq", u.writer AS "audit.writer", u.n AS "audit.n", u.at_us AS "audit.at_us", u.actor AS "audit.actor",
           u.event AS "audit.event", u.identity AS "audit.identity", u.cause AS "audit.cause", u.payload AS "audit.payload",
           u.hash AS "audit.hash", i.public_id AS "identity.public_id"
    FROM audit u LEFT JOIN identity i ON i.id = u.identity
    WHERE u.seq > ?1 ORDER BY u.seq LIMIT ?2"#;

#[async_trait]
impl Audit for SqliteStore {
    async fn timeline(&self, identity: IdentityRef, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let rows = sqlx::query(TIMELINE)
            .bind(identity.0)
            .bind(limit.min(SHOWN_MAX))
            .fetch_all(&self.readers)
            .await
            .map_err(failed(DOING))?;
        rows.iter().rev().map(shown).collect()
    }

    async fn audit_tail(&self, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let rows = sqlx::query(TAIL)
            .bind(limit.min(SHOWN_MAX))
            .fetch_all(&self.readers)
            .await
            .map_err(failed(DOING))?;
        rows.iter().rev().map(shown).collect()
    }

    async fn audit_verify(&self) -> Result<u64, StoreError> {
        let mut tx = self.read(DOING).await?;
        let mut chain = Chain {
            geneses: geneses(&mut tx).await?,
            seq: 0,
            writer: 0,
            n: 0,
            hash: [0; 32],
        };
        loop {
            let rows = sqlx::query(PAGE)
                .bind(chain.seq)
                .bind(VERIFY_PAGE)
                .fetch_all(&mut *tx)
                .await
                .map_err(failed(DOING))?;
            if rows.is_empty() {
                return Ok(u64::try_from(chain.seq).unwrap_or(0));
            }
            for row in &rows {
                chain.check(row)?;
            }
        }
    }
}

fn shown(row: &SqliteRow) -> Result<AuditRow, StoreError> {
    let cells = Cells::new(row, "audit.seq")?;
    Ok(AuditRow {
        seq: cells.get("audit.seq")?,
        at: cells.time("audit.at_us")?,
        actor: cells.json("audit.actor")?,
        event: cells.get("audit.event")?,
        cause: cells.json("audit.cause")?,
        payload: cells.json("audit.payload")?,
    })
}

async fn geneses(connection: &mut SqliteConnection) -> Result<HashMap<i64, [u8; 32]>, StoreError> {
    let rows = sqlx::query(GENESES)
        .fetch_all(connection)
        .await
        .map_err(failed(DOING))?;
    rows.iter()
        .map(|row| {
            let cells = Cells::new(row, "writer.id")?;
            Ok((cells.get("writer.id")?, cells.bytes("writer.genesis")?))
        })
        .collect()
}

/// The chains checked so far. One process writes at a time, so each writer's rows stand together.
struct Chain {
    geneses: HashMap<i64, [u8; 32]>,
    seq: i64,
    writer: i64,
    n: i64,
    hash: [u8; 32],
}

impl Chain {
    fn check(&mut self, row: &SqliteRow) -> Result<(), StoreError> {
        let cells = Cells::new(row, "audit.seq")?;
        let (seq, writer, n): (i64, i64, i64) = (
            cells.get("audit.seq")?,
            cells.get("audit.writer")?,
            cells.get("audit.n")?,
        );
        if seq != self.seq + 1 {
            return Err(cells.corrupt("audit.seq", format!("row {} before it is missing", self.seq + 1)));
        }
        if writer != self.writer {
            // A new writer starts from the end it saw: a shortened chain before it shows here.
            if writer < self.writer {
                return Err(cells.corrupt("audit.writer", "an earlier writer's row after a later one's"));
            }
            if self.geneses.get(&writer) != Some(&self.hash) {
                return Err(cells.corrupt(
                    "audit.hash",
                    "the rows before this writer's first are not the ones it saw",
                ));
            }
            (self.writer, self.n) = (writer, 0);
        }
        if n != self.n + 1 {
            return Err(cells.corrupt("audit.n", format!("{n} follows {}", self.n)));
        }
        let identity = match cells.get::<Option<i64>>("audit.identity")? {
            None => None,
            Some(_) => Some(cells.uuid("identity.public_id")?),
        };
        let expected = row_hash(
            &self.hash,
            &Hashed {
                seq,
                writer,
                n,
                at_us: cells.get("audit.at_us")?,
                actor: cells.get("audit.actor")?,
                event: cells.get("audit.event")?,
                identity,
                cause: cells.get("audit.cause")?,
                payload: cells.get("audit.payload")?,
            },
        );
        if cells.bytes::<32>("audit.hash")? != expected {
            return Err(cells.corrupt(
                "audit.hash",
                "the row or one before it was changed after it was written",
            ));
        }
        (self.seq, self.n, self.hash) = (seq, n, expected);
        Ok(())
    }
}
