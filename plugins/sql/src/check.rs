//! Are the tables there, and what may we do with them? Every statement is about no row.

use usher_sdk::prelude::*;
use usher_sdk::sql::{Statement, Value as Sql};

use crate::SqlTables;
use crate::settings::StatusColumn;
use crate::tables::Tables;
use crate::values::is_scalar;

/// Most values of the status column looked at: a column with more is hardly a status.
const STATUS_VALUES: usize = 10;

/// Most characters shown of one of them.
const SHOWN_CHARS: usize = 40;

pub(crate) fn check(connector: &SqlTables) -> Result<CheckReport, Error> {
    let mut report = CheckReport::new();
    let tables = connector.tables();
    let tables = tables.and_then(|tables| {
        // The dialect is known without the database; only a statement shows that it is there.
        connector.endpoint.query("SELECT 1", Vec::new())?;
        Ok(tables)
    });
    let speaks = tables
        .as_ref()
        .map(|tables| format!("speaks {:?}", tables.dialect))
        .map_err(Clone::clone);
    report = report.step("reach the database", speaks);
    let Ok(tables) = tables else { return Ok(report) };
    for (what, table, column, select) in probes(&tables)? {
        let seen = connector
            .endpoint
            .query(format!("{select} WHERE 1 = 0"), Vec::new());
        let there = seen.is_ok();
        report = report.step(
            format!("read {what}"),
            seen.map(|_| "table and columns are there").map_err(Error::from),
        );
        if there {
            report = permissions(connector, report, what, &table, &column);
        }
        if let ("users", true, Some(status)) = (what, there, &tables.settings.users.status) {
            report = report.step(
                "know the status values",
                status_values(connector, &tables, status),
            );
        }
    }
    Ok(report)
}

/// Compares the status values that rows have with those of the settings. When none is known, the settings mean another
/// column or other values, and Usher would write what the application does not understand.
fn status_values(connector: &SqlTables, tables: &Tables<'_>, status: &StatusColumn) -> Result<String, Error> {
    let column = tables.quoted(&status.column)?;
    let query = format!(
        "SELECT DISTINCT {column} FROM {} WHERE {column} IS NOT NULL LIMIT {STATUS_VALUES}",
        tables.users
    );
    let found = connector.endpoint.query(query, Vec::new())?;
    let held: Vec<&Sql> = found.rows.iter().filter_map(|row| row.first()).collect();
    let known = |held: &&Sql| is_scalar(held, &status.enabled) || is_scalar(held, &status.disabled);
    if held.is_empty() {
        return Ok("there are no rows to compare with".to_owned());
    }
    if held.iter().any(known) {
        return Ok(format!("{} and {} are used", status.enabled, status.disabled));
    }
    let held: Vec<String> = held.iter().map(|value| shown(value)).collect();
    Err(Error::misconfigured(format!(
        "column `{}` holds {}, neither {} nor {}; set users.status.enabled and users.status.disabled",
        status.column,
        held.join(", "),
        status.enabled,
        status.disabled
    )))
}

/// A value for people, cut: the column may be another than was meant.
fn shown(value: &Sql) -> String {
    let text = value
        .to_json()
        .map_or_else(|| "bytes".to_owned(), |value| value.to_string());
    text.chars().take(SHOWN_CHARS).collect()
}

/// What is looked at, its table, one of its columns, and a query that names every column used.
fn probes(tables: &Tables<'_>) -> Result<Vec<(&'static str, String, String, String)>, Error> {
    let mut probes = vec![("users", tables.users.clone(), tables.id.clone(), tables.select()?)];
    if tables.settings.memberships.is_some() {
        let names = tables.memberships()?;
        let select = format!(
            "SELECT {}, {} FROM {}",
            names.user, names.entitlement, names.table
        );
        probes.push(("memberships", names.table, names.user, select));
    }
    if let Some(of) = &tables.settings.entitlements {
        let (table, id) = (tables.quoted(&of.table)?, tables.quoted(&of.id)?);
        let name = tables.quoted(of.name.as_deref().unwrap_or(&of.id))?;
        let select = format!("SELECT {id}, {name} FROM {table}");
        probes.push(("entitlements", table, id, select));
    }
    Ok(probes)
}

fn permissions(
    connector: &SqlTables,
    mut report: CheckReport,
    what: &'static str,
    table: &str,
    column: &str,
) -> CheckReport {
    report = report.permission(format!("{what}: select"));
    let wanted: &[(&str, String)] = match what {
        "entitlements" => &[],
        "memberships" => &[
            (
                "insert",
                format!("INSERT INTO {table} ({column}) SELECT {column} FROM {table} WHERE 1 = 0"),
            ),
            ("delete", format!("DELETE FROM {table} WHERE 1 = 0")),
        ],
        _ => &[
            (
                "insert",
                format!("INSERT INTO {table} ({column}) SELECT {column} FROM {table} WHERE 1 = 0"),
            ),
            (
                "update",
                format!("UPDATE {table} SET {column} = {column} WHERE 1 = 0"),
            ),
            ("delete", format!("DELETE FROM {table} WHERE 1 = 0")),
        ],
    };
    for (right, sql) in wanted {
        match connector
            .endpoint
            .execute(&[Statement::new(sql.as_str(), Vec::new())])
        {
            Ok(_) => report = report.permission(format!("{what}: {right}")),
            Err(error) => report = report.step::<&str>(format!("{right} {what}"), Err(error.into())),
        }
    }
    report
}
