//! Reading the audit: timelines, search, export.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_lifecycle::ids::IdentityId;

use super::SqlStore;
use super::audit_rows::{NotRead, Opener};
use super::cells::{Cells, failed, hex, micros};
use super::db::{Query, Row, composed};
use crate::{
    Audit, AuditPage, AuditQuery, AuditRecord, AuditRow, Evidence, IdentityRef, StoreError, Verified,
};

/// Most rows shown at once.
const SHOWN_MAX: u32 = 10_000;
/// Rows looked at between two looks for the limit of a search, and rows of one page of an export: a few megabytes.
const PAGE_ROWS: u32 = 2_000;
/// Most rows one call of a search looks at: about a second.
const SEARCHED_MAX: u32 = 200_000;

const DOING: &str = "reading the audit";

const COLUMNS: &str = r#"
    SELECT u.seq AS "audit.seq", u.writer AS "audit.writer", u.n AS "audit.n", u.at_us AS "audit.at_us", u.actor AS "audit.actor",
           u.event AS "audit.event", u.identity AS "audit.identity", u.cause AS "audit.cause", u.payload AS "audit.payload",
           u.sealed AS "audit.sealed", u.hash AS "audit.hash", i.public_id AS "identity.public_id",
           i.audit_key AS "identity.audit_key"
    FROM audit u LEFT JOIN identity i ON i.id = u.identity"#;

#[async_trait]
impl Audit for SqlStore {
    async fn timeline(&self, identity: IdentityRef, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let sql = format!("{COLUMNS} WHERE u.identity = $1 ORDER BY u.seq DESC LIMIT $2");
        let rows = composed(sql).bind(identity.0).bind(limit.min(SHOWN_MAX));
        let mut rows = self.opened(rows, row).await?;
        rows.reverse();
        Ok(rows)
    }

    async fn audit_tail(&self, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let sql = format!("{COLUMNS} ORDER BY u.seq DESC LIMIT $1");
        let rows = composed(sql).bind(limit.min(SHOWN_MAX));
        let mut rows = self.opened(rows, row).await?;
        rows.reverse();
        Ok(rows)
    }

    async fn audit_search(&self, wanted: &AuditQuery) -> Result<AuditPage, StoreError> {
        let limit = wanted.limit.clamp(1, SHOWN_MAX) as usize;
        let text = wanted.text.as_ref().map(|text| text.to_lowercase());
        let mut page = AuditPage {
            rows: Vec::new(),
            next: Some(wanted.before.unwrap_or(i64::MAX)),
        };
        let mut looked_at = 0;
        while let Some(before) = page.next.filter(|_| looked_at < SEARCHED_MAX) {
            let rows = self.opened(candidates(wanted, before), row).await?;
            looked_at += PAGE_ROWS;
            page.next = rows
                .last()
                .map(|row| row.seq)
                .filter(|_| rows.len() == PAGE_ROWS as usize);
            for row in rows {
                if page.rows.len() == limit {
                    page.next = page.rows.last().map(|row| row.seq);
                    return Ok(page);
                }
                if matches(&row, wanted, text.as_deref()) {
                    page.rows.push(row);
                }
            }
        }
        Ok(page)
    }

    async fn audit_export(
        &self,
        after: i64,
        since: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let sql = format!("{COLUMNS} WHERE u.seq > $1 AND u.at_us >= $2 ORDER BY u.seq LIMIT $3");
        let rows = composed(sql)
            .bind(after)
            .bind(since.map_or(i64::MIN, micros))
            .bind(limit.clamp(1, PAGE_ROWS));
        self.opened(rows, record).await
    }

    async fn audit_verify_against(&self, evidence: &Evidence) -> Result<Verified, StoreError> {
        super::verify::verify(self, evidence).await
    }
}

impl SqlStore {
    /// Rows read and opened. A data key that another host made since is looked for once.
    async fn opened<T>(
        &self,
        rows: Query,
        read: fn(&mut Opener, &Cells<'_>) -> Result<T, NotRead>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = rows
            .fetch_all(&mut self.read(DOING).await?)
            .await
            .map_err(failed(DOING))?;
        let open_all = |opener: &mut Opener| {
            let read = |row: &Row| read(opener, &Cells::new(row, "audit.seq")?);
            rows.iter().map(read).collect::<Result<Vec<T>, NotRead>>()
        };
        match open_all(&mut Opener::new(self.keys.ring())) {
            Ok(rows) => return Ok(rows),
            Err(NotRead::Failed(error)) => return Err(error),
            Err(NotRead::UnknownKey) => self.reload_keys().await?,
        }
        open_all(&mut Opener::new(Arc::clone(&self.keys.ring()))).map_err(|error| match error {
            NotRead::Failed(error) => error,
            NotRead::UnknownKey => StoreError::Corrupt {
                table: "identity",
                column: "audit_key",
                row: 0,
                reason: "it is sealed under a data key that is not there".to_owned(),
            },
        })
    }
}

fn row(opener: &mut Opener, cells: &Cells<'_>) -> Result<AuditRow, NotRead> {
    opener.row(cells)
}

fn record(opener: &mut Opener, cells: &Cells<'_>) -> Result<AuditRecord, NotRead> {
    let identity = match cells.get::<Option<i64>>("audit.identity")? {
        None => None,
        Some(_) => Some(IdentityId::new(cells.uuid("identity.public_id")?)),
    };
    Ok(AuditRecord {
        row: opener.row(cells)?,
        writer: cells.get("audit.writer")?,
        n: cells.get("audit.n")?,
        identity,
        sealed: cells.get::<Option<&[u8]>>("audit.sealed")?.map(hex),
        hash: hex(&cells.bytes::<32>("audit.hash")?),
    })
}

/// The next rows that may match, by what is not encrypted.
fn candidates(wanted: &AuditQuery, before: i64) -> Query {
    let of_identity = match wanted.identity {
        Some(_) => "u.identity = $2",
        None => "CAST($2 AS BIGINT) IS NULL",
    };
    let sql = format!(
        "{COLUMNS} WHERE u.seq < $1 AND {of_identity} AND u.at_us >= $3 AND u.at_us < $4
         AND (CAST($5 AS TEXT) IS NULL OR u.event = $5 OR substr(u.event, 1, length($5) + 1) = $5 || '.')
         ORDER BY u.seq DESC LIMIT $6"
    );
    composed(sql)
        .bind(before)
        .bind(wanted.identity.map(|identity| identity.0))
        .bind(wanted.since.map_or(i64::MIN, micros))
        .bind(wanted.until.map_or(i64::MAX, micros))
        .bind(wanted.event.clone())
        .bind(PAGE_ROWS)
}

/// What only shows when a row is open.
fn matches(row: &AuditRow, wanted: &AuditQuery, text: Option<&str>) -> bool {
    let actor = wanted
        .actor
        .as_ref()
        .is_none_or(|actor| row.actor.to_string().contains(actor.as_str()));
    let target = wanted.target.as_ref().is_none_or(|target| {
        let slot = |member: &str| row.payload.get(member).and_then(serde_json::Value::as_str);
        let account = slot("account").and_then(|slot| slot.split('/').next());
        account == Some(target.as_str()) || slot("target") == Some(target.as_str())
    });
    let text = text.is_none_or(|text| {
        row.cause.to_string().to_lowercase().contains(text)
            || row.payload.to_string().to_lowercase().contains(text)
    });
    actor && target && text
}
