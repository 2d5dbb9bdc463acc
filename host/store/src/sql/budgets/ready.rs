//! Making ready what is let go, and moving what joins another cause: in chunks, each of which can be the last before a crash.

use std::collections::BTreeSet;

use serde_json::json;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::ids::{HeldCauseId, OperationId};

use crate::sql::SqlStore;
use crate::sql::cells::{Cells, failed, json_of, micros, numbers};
use crate::sql::db::{Sql, Tx, query};
use crate::sql::operations::{lock_owners, promote, slot, subject};
use crate::sql::write::{Entry, Raised, Write};
use crate::{Context, StoreError};

const DOING: &str = "making ready what is let go";

/// Operations of one transaction: about 20 ms with their audit rows.
const CHUNK: u32 = 500;

const NEXT: &str = "
    SELECT o.id FROM held_cause h CROSS JOIN operation o
    WHERE (h.state = 2 OR h.joins IS NOT NULL) AND o.held_cause = h.id ORDER BY h.id, o.id LIMIT $1";

const OWNERS: &str = "
    SELECT i.id FROM identity i WHERE i.id IN (
        SELECT a.identity FROM operation o JOIN account a ON a.id = o.account
        WHERE o.id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)))
    ORDER BY i.id FOR NO KEY UPDATE";

/// Where others work too, the operations are locked by it; those that were overtaken meanwhile are not among them.
const THESE: Sql = Sql {
    sqlite: r#"
    SELECT o.id AS "operation.id", o.public_id AS "operation.public_id", o.account AS "operation.account", o.cause AS "operation.cause",
           o.verb AS "operation.work", h.public_id AS "held_cause.public_id", h.released AS "held_cause.released", h.joins AS "held_cause.joins",
           h.decided_by AS "held_cause.decided_by", a.kind AS "account.kind", t.name AS "target.name",
           i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key"
    FROM json_each($1) AS j CROSS JOIN operation o CROSS JOIN held_cause h CROSS JOIN account a CROSS JOIN target t CROSS JOIN identity i
    WHERE o.id = CAST(j.value AS BIGINT) AND h.id = o.held_cause AND (h.state = 2 OR h.joins IS NOT NULL) AND o.state = 3
      AND a.id = o.account AND t.id = a.target AND i.id = a.identity
    ORDER BY o.id"#,
    postgres: r#"
    SELECT o.id AS "operation.id", o.public_id AS "operation.public_id", o.account AS "operation.account", o.cause AS "operation.cause",
           o.verb AS "operation.work", h.public_id AS "held_cause.public_id", h.released AS "held_cause.released", h.joins AS "held_cause.joins",
           h.decided_by AS "held_cause.decided_by", a.kind AS "account.kind", t.name AS "target.name",
           i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key"
    FROM json_each($1) AS j CROSS JOIN operation o CROSS JOIN held_cause h CROSS JOIN account a CROSS JOIN target t CROSS JOIN identity i
    WHERE o.id = CAST(j.value AS BIGINT) AND h.id = o.held_cause AND (h.state = 2 OR h.joins IS NOT NULL) AND o.state = 3
      AND a.id = o.account AND t.id = a.target AND i.id = a.identity
    ORDER BY o.id FOR NO KEY UPDATE OF o"#,
};

/// Waiting, until it is seen to be the first of its account. A creation that was held while the store was restored may have been let go and tried
/// after the moment of the backup: it looks first.
const LET_GO: &str = "
    UPDATE operation SET state = 0, held_cause = NULL, released = j.released, message = NULL,
        settle = CASE WHEN unknown_since_us IS NULL THEN settle ELSE 1 END,
        due_us = CASE WHEN operation.due_us > $2 THEN operation.due_us ELSE $2 END
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS released FROM json_each($1)) AS j
    WHERE operation.id = j.id";

const JOIN: &str = "
    UPDATE operation SET held_cause = j.joins
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS joins FROM json_each($1)) AS j
    WHERE operation.id = j.id";

/// Rows of causes with no operation left. A plan that is just adding one holds the row: it is passed over.
const EMPTY: Sql = Sql {
    sqlite:
        "SELECT h.id FROM held_cause h WHERE NOT EXISTS (SELECT 1 FROM operation o WHERE o.held_cause = h.id)
               AND NOT EXISTS (SELECT 1 FROM held_cause b WHERE b.joins = h.id)",
    postgres:
        "SELECT h.id FROM held_cause h WHERE NOT EXISTS (SELECT 1 FROM operation o WHERE o.held_cause = h.id)
                 AND NOT EXISTS (SELECT 1 FROM held_cause b WHERE b.joins = h.id) FOR UPDATE SKIP LOCKED",
};

/// Looked at again now that nobody can add one.
const DELETE: &str = "
    DELETE FROM held_cause WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))
      AND NOT EXISTS (SELECT 1 FROM operation o WHERE o.held_cause = held_cause.id)";

impl SqlStore {
    /// Makes ready everything that is let go; takes away rows of causes of which nothing is left.
    pub(super) async fn make_ready(&self, context: &Context) -> Result<(), StoreError> {
        while self.chunk(context).await? {}
        self.sweep(context).await
    }

    async fn chunk(&self, context: &Context) -> Result<bool, StoreError> {
        if next(&mut self.read(DOING).await?).await?.is_empty() {
            return Ok(false);
        }
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        let chosen = json_of(DOING, &next(&mut write.tx).await?)?;
        lock_owners(&mut write.tx, DOING, OWNERS, Some(&chosen)).await?;
        let rows = query(THESE)
            .bind(&chosen)
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        let (mut let_go, mut joining, mut accounts) = (Vec::new(), Vec::new(), BTreeSet::new());
        for row in &rows {
            let cells = Cells::new(row, "operation.id")?;
            let number: i64 = cells.get("operation.id")?;
            if let Some(joins) = cells.get::<Option<i64>>("held_cause.joins")? {
                joining.push((number, joins));
                continue;
            }
            let released = cells.flag("held_cause.released")?;
            let_go.push((number, i64::from(released)));
            accounts.insert(cells.get::<i64>("operation.account")?);
            if released {
                audit(&mut write, &cells, context)?;
            }
        }
        write.acts_as(context)?;
        for (sql, rows) in [
            (LET_GO, json_of(DOING, &let_go)?),
            (JOIN, json_of(DOING, &joining)?),
        ] {
            let statement = query(sql).bind(rows);
            let statement = if sql == LET_GO {
                statement.bind(micros(context.at))
            } else {
                statement
            };
            statement.execute(&mut write.tx).await.map_err(failed(DOING))?;
        }
        promote(&mut write.tx, &accounts).await?;
        write
            .commit(Raised {
                facts: false,
                observed: true,
            })
            .await?;
        self.place.wake();
        Ok(true)
    }

    async fn sweep(&self, context: &Context) -> Result<(), StoreError> {
        let doing = "taking away held causes of which nothing is left";
        let look = Sql::both(EMPTY.sqlite);
        let empty = query(look)
            .fetch_all(&mut self.read(doing).await?)
            .await
            .map_err(failed(doing))?;
        if empty.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(doing, context).await?;
        let empty = query(EMPTY)
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        query(DELETE)
            .bind(json_of(doing, &numbers(&empty)?)?)
            .execute(&mut write.tx)
            .await
            .map_err(failed(doing))?;
        write.commit(Raised::default()).await
    }
}

async fn next(tx: &mut Tx<'_>) -> Result<Vec<i64>, StoreError> {
    let rows = query(NEXT)
        .bind(CHUNK)
        .fetch_all(tx)
        .await
        .map_err(failed(DOING))?;
    numbers(&rows)
}

/// In the timeline of its person stands who let it run.
fn audit(write: &mut Write<'_>, cells: &Cells<'_>, context: &Context) -> Result<(), StoreError> {
    write.acts_as(&Context {
        actor: cells.json::<Actor>("held_cause.decided_by")?,
        at: context.at,
    })?;
    write.audit(&Entry {
        event: "operation.released",
        subject: Some(subject(cells)?),
        cause: cells.get("operation.cause")?,
        payload: json!({
            "operation": OperationId::new(cells.uuid("operation.public_id")?),
            "account": slot(cells)?.to_string(),
            "work": cells.get::<String>("operation.work")?,
            "held-cause": HeldCauseId::new(cells.uuid("held_cause.public_id")?),
        }),
    });
    Ok(())
}
