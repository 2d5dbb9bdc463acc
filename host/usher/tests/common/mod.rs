//! What several tests of the binary share.

/// One source whose people have a first day; no targets.
pub(crate) const POLICY: &str = r#"
zone = "Europe/Berlin"
retention-days = 30
unassigned = "disable"

[sources.hr]
kind = "snapshot"
format = "csv"
key = "employee_id"
bad-rows = "set-aside"
bad-rows-max-percent = 50
shrink-max-percent = 30
absent-after-snapshots = 2
[sources.hr.columns]
employee_id = { attribute = "employeeId" }
given_name = { attribute = "givenName", required = true }
start_date = { attribute = "startDate", type = "date" }
[sources.hr.lifecycle]
start = "startDate"
"#;
