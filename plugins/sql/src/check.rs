//! Are the tables there, and what may we do with them? Every statement is about no row.

use usher_sdk::prelude::*;
use usher_sdk::sql::Statement;

use crate::SqlTables;
use crate::tables::Tables;

pub(crate) fn check(connector: &SqlTables) -> Result<CheckReport, Error> {
    let mut report = CheckReport::new();
    let tables = connector.tables();
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
    }
    Ok(report)
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
