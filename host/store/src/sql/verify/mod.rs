//! Verifying the audit: every chain, every checkpoint, and what was exported.

mod erasures;
mod sealed;

use std::collections::HashMap;

use self::erasures::Erasures;
use self::sealed::{Sealed, SealedHead, corrupt};
use super::SqlStore;
use super::audit_rows::{Hashed, row_hash};
use super::cells::{Cells, failed, hex};
use super::db::{Row, Tx, query};
use crate::{Evidence, StoreError, Verified};

/// Rows verified at a time: a few megabytes of memory, whatever the length of the audit.
const VERIFY_PAGE: i64 = 5_000;

const DOING: &str = "verifying the audit";

const WRITERS: &str = r#"
    SELECT id AS "writer.id", genesis AS "writer.genesis", after_writer AS "writer.after_writer", after_n AS "writer.after_n",
           schema_version AS "writer.schema_version", head_n AS "writer.head_n", head_hash AS "writer.head_hash"
    FROM writer"#;

const PAGE: &str = r#"
    SELECT u.seq AS "audit.seq", u.writer AS "audit.writer", u.n AS "audit.n", u.at_us AS "audit.at_us", u.actor AS "audit.actor",
           u.event AS "audit.event", u.identity AS "audit.identity", u.cause AS "audit.cause", u.payload AS "audit.payload",
           u.sealed AS "audit.sealed", u.hash AS "audit.hash", i.public_id AS "identity.public_id",
           CAST(length(i.audit_key) AS BIGINT) AS "identity.audit_key"
    FROM audit u LEFT JOIN identity i ON i.id = u.identity
    WHERE u.seq > $1 ORDER BY u.seq LIMIT $2"#;

/// Verifies all there is.
pub(super) async fn verify(store: &SqlStore, evidence: &Evidence) -> Result<Verified, StoreError> {
    let mut tx = store.read(DOING).await?;
    let sealed = Sealed::read(&mut tx, evidence).await?;
    let mut verified = Verified {
        rows: 0,
        emptied: 0,
        checkpoints: sealed.checkpoints,
        exported: evidence.checkpoints.len() as u64,
        sealed_at: sealed.at,
    };
    let mut chains = Chains::new(claims(&mut tx).await?, sealed.heads);
    loop {
        let rows = query(PAGE)
            .bind(chains.seq)
            .bind(VERIFY_PAGE)
            .fetch_all(&mut tx)
            .await
            .map_err(failed(DOING))?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            chains.check(row)?;
        }
    }
    (verified.rows, verified.emptied) = chains.finish()?;
    Ok(verified)
}

/// What is on record of a writer, against which its chain is checked.
struct Claimed {
    genesis: [u8; 32],
    /// The row whose hash the genesis is; `None` for the first writer of all.
    after: Option<(i64, i64)>,
    /// Before version 3 rows also covered their place among all.
    covers_seq: bool,
    head_n: i64,
    head_hash: [u8; 32],
}

async fn claims(tx: &mut Tx<'_>) -> Result<HashMap<i64, Claimed>, StoreError> {
    let rows = query(WRITERS).fetch_all(tx).await.map_err(failed(DOING))?;
    rows.iter()
        .map(|row| {
            let cells = Cells::new(row, "writer.id")?;
            let after: (Option<i64>, Option<i64>) =
                (cells.get("writer.after_writer")?, cells.get("writer.after_n")?);
            let claimed = Claimed {
                genesis: cells.bytes("writer.genesis")?,
                after: after.0.zip(after.1),
                covers_seq: cells.get::<i64>("writer.schema_version")? < 3,
                head_n: cells.get("writer.head_n")?,
                head_hash: cells.bytes("writer.head_hash")?,
            };
            Ok((cells.get("writer.id")?, claimed))
        })
        .collect()
}

/// The chains checked so far, each with its last number and hash.
struct Chains {
    writers: HashMap<i64, Claimed>,
    ends: HashMap<i64, (i64, [u8; 32])>,
    /// Hashes of rows that later writers begin after.
    begun_after: HashMap<(i64, i64), Option<[u8; 32]>>,
    sealed: HashMap<(i64, i64), SealedHead>,
    erasures: Erasures,
    seq: i64,
    rows: u64,
}

impl Chains {
    fn new(writers: HashMap<i64, Claimed>, sealed: HashMap<(i64, i64), SealedHead>) -> Self {
        let begun_after = writers
            .values()
            .filter_map(|writer| writer.after.map(|after| (after, None)))
            .collect();
        Self {
            writers,
            ends: HashMap::new(),
            begun_after,
            sealed,
            erasures: Erasures::default(),
            seq: 0,
            rows: 0,
        }
    }

    fn check(&mut self, row: &Row) -> Result<(), StoreError> {
        let cells = Cells::new(row, "audit.seq")?;
        let (seq, writer, n): (i64, i64, i64) = (
            cells.get("audit.seq")?,
            cells.get("audit.writer")?,
            cells.get("audit.n")?,
        );
        let Some(claimed) = self.writers.get(&writer) else {
            return Err(cells.corrupt("audit.writer", format!("there is no writer {writer}")));
        };
        let (last, previous) = match self.ends.get(&writer) {
            Some(end) => *end,
            None => (0, self.genesis(&cells, claimed)?),
        };
        if n != last + 1 {
            return Err(cells.corrupt(
                "audit.n",
                format!("{n} follows {last} in the chain of writer {writer}"),
            ));
        }
        let identity = match cells.get::<Option<i64>>("audit.identity")? {
            None => None,
            Some(_) => Some(cells.uuid("identity.public_id")?),
        };
        let sealed: Option<&[u8]> = cells.get("audit.sealed")?;
        self.erasures.note(&cells, (writer, n))?;
        let is_emptied = claimed.covers_seq && sealed == Some(&[]);
        let stored = cells.bytes::<32>("audit.hash")?;
        let computed = row_hash(
            &previous,
            &Hashed {
                seq: claimed.covers_seq.then_some(seq),
                writer,
                n,
                at_us: cells.get("audit.at_us")?,
                actor: cells.get("audit.actor")?,
                event: cells.get("audit.event")?,
                identity,
                cause: cells.get("audit.cause")?,
                payload: cells.get("audit.payload")?,
                sealed,
            },
        );
        // What was emptied cannot be computed anew; its hash still links what stands before it and behind it, and the erasure names it.
        if stored != computed && !is_emptied {
            return Err(cells.corrupt(
                "audit.hash",
                "the row or one before it was changed after it was written",
            ));
        }
        if let Some(wanted) = self.begun_after.get_mut(&(writer, n)) {
            *wanted = Some(stored);
        }
        if let Some(head) = self.sealed.get_mut(&(writer, n)) {
            head.seen = true;
            if head.hash != hex(&stored) {
                let reason = format!("it is not the row that checkpoint {} sealed", head.checkpoint);
                return Err(cells.corrupt("audit.hash", reason));
            }
        }
        self.ends.insert(writer, (n, stored));
        self.seq = seq;
        self.rows += u64::from(!is_emptied);
        Ok(())
    }

    /// What a writer's first row follows. It must be what the writer saw when it began.
    fn genesis(&self, cells: &Cells<'_>, claimed: &Claimed) -> Result<[u8; 32], StoreError> {
        let seen = match claimed.after {
            None => Some([0; 32]),
            Some(after) => self.begun_after.get(&after).copied().flatten(),
        };
        if seen == Some(claimed.genesis) {
            return Ok(claimed.genesis);
        }
        Err(cells.corrupt(
            "audit.hash",
            "the rows before this writer's first are not the ones it saw",
        ))
    }

    /// Every chain must reach the end its writer recorded.
    fn finish(self) -> Result<(u64, u64), StoreError> {
        for (id, claimed) in &self.writers {
            let (n, hash) = self.ends.get(id).copied().unwrap_or((0, claimed.genesis));
            if (n, hash) != (claimed.head_n, claimed.head_hash) {
                return Err(StoreError::Corrupt {
                    table: "writer",
                    column: "head_n",
                    row: *id,
                    reason: format!(
                        "its audit chain ends at {n}, but it wrote {} rows: the end is cut off",
                        claimed.head_n
                    ),
                });
            }
        }
        let cut = self.sealed.iter().find(|(_, head)| !head.seen);
        if let Some(((writer, n), head)) = cut {
            let reason = format!(
                "it seals row {n} of the chain of writer {writer}, which is not there: the end is cut off"
            );
            return Err(corrupt(head.checkpoint, &reason));
        }
        Ok((self.rows, self.erasures.finish()?))
    }
}
