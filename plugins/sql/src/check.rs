//! Are the tables there, and what may we do with them? Every statement is about no row.

use usher_sdk::prelude::*;
use usher_sdk::sql::{Dialect, Statement, Value as Sql};

use crate::SqlTables;
use crate::settings::{Delete, StatusColumn};
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
    if tables.dialect == Dialect::Mysql {
        report = report.step("roll back what fails", transactions(connector));
    }
    for probe in probes(&tables)? {
        let what = probe.what;
        let seen = connector
            .endpoint
            .query(format!("{} WHERE 1 = 0", probe.select), Vec::new());
        let there = seen.is_ok();
        report = report.step(
            format!("read {what}"),
            seen.map(|_| "table and columns are there").map_err(Error::from),
        );
        if there {
            report = permissions(connector, &tables, report, &probe);
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

/// MySQL and MariaDB have tables that keep what was written when a transaction fails.
fn transactions(connector: &SqlTables) -> Result<&'static str, Error> {
    let settings = &connector.settings;
    let mut names = vec![Sql::from(settings.users.table.as_str())];
    names.extend(settings.memberships.iter().map(|of| Sql::from(of.table.as_str())));
    let places = vec!["?"; names.len()].join(", ");
    let query = format!(
        "SELECT t.table_name FROM information_schema.tables t JOIN information_schema.engines e ON e.engine = t.engine \
         WHERE t.table_schema = DATABASE() AND e.transactions <> 'YES' AND t.table_name IN ({places})"
    );
    let found = connector.endpoint.query(query, names)?;
    match found.rows.first().and_then(|row| row.first()?.to_id()) {
        None => Ok("the tables have transactions"),
        Some(table) => Err(Error::misconfigured(format!(
            "table `{table}` has no transactions: ALTER TABLE {table} ENGINE = InnoDB"
        ))),
    }
}

/// A table, and what is done with it.
struct Probe {
    what: &'static str,
    table: String,
    /// A query that names every column used.
    select: String,
    /// The columns that are filled; none when no rows are made.
    insert: Vec<String>,
    /// The columns that are changed.
    update: Vec<String>,
}

fn probes(tables: &Tables<'_>) -> Result<Vec<Probe>, Error> {
    let written = tables.written()?;
    let mut probes = vec![Probe {
        what: "users",
        table: tables.users.clone(),
        select: tables.select()?,
        update: written
            .iter()
            .filter(|column| **column != tables.id)
            .cloned()
            .collect(),
        insert: written,
    }];
    if tables.settings.memberships.is_some() {
        let names = tables.memberships()?;
        let select = format!(
            "SELECT {}, {} FROM {}",
            names.user, names.entitlement, names.table
        );
        probes.push(Probe {
            what: "memberships",
            table: names.table,
            select,
            insert: vec![names.user, names.entitlement],
            update: Vec::new(),
        });
    }
    if let Some(of) = &tables.settings.entitlements {
        let (table, id) = (tables.table(&of.table)?, tables.quoted(&of.id)?);
        let name = tables.quoted(of.name.as_deref().unwrap_or(&of.id))?;
        probes.push(Probe {
            what: "entitlements",
            select: format!("SELECT {id}, {name} FROM {table}"),
            table,
            insert: Vec::new(),
            update: Vec::new(),
        });
    }
    Ok(probes)
}

/// Tries what is done with a table, on no row. The columns are those of real calls: rights may be given for single ones.
fn permissions(
    connector: &SqlTables,
    tables: &Tables<'_>,
    mut report: CheckReport,
    probe: &Probe,
) -> CheckReport {
    let Probe { what, table, .. } = probe;
    report = report.permission(format!("{what}: select"));
    let columns = probe.insert.join(", ");
    let set: Vec<String> = probe
        .update
        .iter()
        .map(|column| format!("{column} = {column}"))
        .collect();
    let mut wanted = Vec::new();
    if !probe.insert.is_empty() {
        let insert = format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM {table} WHERE 1 = 0");
        wanted.push(("insert", insert));
    }
    if !set.is_empty() {
        wanted.push((
            "update",
            format!("UPDATE {table} SET {} WHERE 1 = 0", set.join(", ")),
        ));
    }
    let deletes = match *what {
        "users" => connector.settings.delete == Delete::Row,
        _ => !probe.insert.is_empty(),
    };
    if deletes {
        wanted.push(("delete", format!("DELETE FROM {table} WHERE 1 = 0")));
    }
    for (right, sql) in wanted {
        let tried = connector.endpoint.execute(&[Statement::new(sql, Vec::new())]);
        let tried = tried.map_err(Error::from).and_then(|_| match right {
            "insert" => sequences(connector, tables, probe),
            _ => Ok(()),
        });
        match tried {
            Ok(()) => report = report.permission(format!("{what}: {right}")),
            Err(error) => report = report.step::<&str>(format!("{right} {what}"), Err(error)),
        }
    }
    report
}

/// On PostgreSQL a column that `serial` made is filled from a sequence, which has rights of its own: an insert of no row does not ask
/// for them. (That of an identity column has none.)
fn sequences(connector: &SqlTables, tables: &Tables<'_>, probe: &Probe) -> Result<(), Error> {
    if tables.dialect != Dialect::Postgresql {
        return Ok(());
    }
    let query = "SELECT a.attname::text, s.oid::regclass::text FROM pg_catalog.pg_attribute a \
         JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         JOIN pg_catalog.pg_depend p ON p.classid = 'pg_catalog.pg_attrdef'::regclass AND p.objid = d.oid \
          AND p.refclassid = 'pg_catalog.pg_class'::regclass \
         JOIN pg_catalog.pg_class s ON s.oid = p.refobjid WHERE a.attrelid = $1::text::regclass \
          AND CASE WHEN s.relkind = 'S' THEN NOT pg_catalog.has_sequence_privilege(s.oid, 'USAGE, UPDATE') ELSE false END";
    let found = connector
        .endpoint
        .query(query, vec![Sql::from(probe.table.as_str())])?;
    for row in found.rows {
        let [Sql::Text(column), Sql::Text(sequence)] = row.as_slice() else {
            continue;
        };
        // What is filled by Usher needs no sequence.
        if !probe.insert.contains(&tables.quoted(column)?) {
            return Err(Error::misconfigured(format!(
                "column `{column}` is filled from a sequence that the role may not use: GRANT USAGE ON SEQUENCE {sequence} TO the role"
            )));
        }
    }
    Ok(())
}
