//! The open operations of accounts, in the order of the queue.

use std::collections::HashMap;

use usher_lifecycle::ids::OperationId;

use super::cells::{Cells, failed};
use super::db::{Tx, query};
use crate::{OpenOperation, StoreError};

const DOING: &str = "reading open operations";

pub(crate) const OPEN_OPERATIONS: &str = r#"
    SELECT o.id AS "operation.id", o.account AS "operation.account", o.public_id AS "operation.public_id",
           o.work AS "operation.work", o.state AS "operation.state", o.priority AS "operation.priority",
           o.attempts AS "operation.attempts", o.settle AS "operation.settle", o.due_us AS "operation.due_us",
           coalesce((SELECT h.why FROM held_cause h WHERE h.id = o.held_cause), o.message) AS "operation.message",
           o.cause AS "operation.cause"
    FROM account a CROSS JOIN operation o
    WHERE o.account = a.id AND o.state < 4 AND a.identity IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) ORDER BY o.id"#;

/// Of these identities (a JSON array of numbers), by account.
pub(super) async fn open_operations(
    connection: &mut Tx<'_>,
    wanted: &str,
) -> Result<HashMap<i64, Vec<OpenOperation>>, StoreError> {
    let rows = query(OPEN_OPERATIONS)
        .bind(wanted)
        .fetch_all(connection)
        .await
        .map_err(failed(DOING))?;
    let mut open: HashMap<i64, Vec<OpenOperation>> = HashMap::new();
    for row in &rows {
        let cells = Cells::new(row, "operation.id")?;
        open.entry(cells.get("operation.account")?)
            .or_default()
            .push(OpenOperation {
                id: OperationId::new(cells.uuid("operation.public_id")?),
                work: cells.json("operation.work")?,
                state: cells.operation_state("operation.state")?,
                priority: cells.priority("operation.priority")?,
                attempts: cells.count("operation.attempts")?,
                settle: cells.flag("operation.settle")?,
                due_at: cells.time("operation.due_us")?,
                message: cells.get("operation.message")?,
                cause: cells.json("operation.cause")?,
            });
    }
    Ok(open)
}
