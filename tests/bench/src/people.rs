//! An HR file of any size: the same one for the same number.

use std::fmt::Write as _;

/// The policy that reads [`csv`]: one source, one role, and an account in each of `targets`.
pub(crate) fn policy(targets: &[&str]) -> String {
    let mut text = String::from(
        r#"zone = "Europe/Berlin"
retention-days = 30

[sources.hr]
kind = "snapshot"
format = "csv"
key = "employee_id"

[sources.hr.columns]
employee_id = { attribute = "employeeId" }
given_name = { attribute = "givenName", required = true }
family_name = { attribute = "familyName", required = true }
email = { attribute = "email" }
department = { attribute = "department" }
title = { attribute = "title" }
location = { attribute = "location" }
contract = { attribute = "contract" }
start_date = { attribute = "startDate", type = "date" }
end_date = { attribute = "endDate", type = "date" }

[sources.hr.lifecycle]
start = "startDate"
end = "endDate"

[[roles]]
name = "employee"
when = "identity.contract in ['permanent', 'temporary']"
"#,
    );
    let quoted: Vec<String> = targets.iter().map(|target| format!("\"{target}\"")).collect();
    let _ = writeln!(text, "accounts = [{}]", quoted.join(", "));
    for target in targets {
        let _ = write!(
            text,
            r#"
[mappings.{target}]
userName = "identity.employeeId"
displayName = "identity.givenName + ' ' + identity.familyName"
email = "identity.email"
department = "identity.department"
"#
        );
    }
    text
}

/// A file of `people` rows. With `changed`, that row has another department.
pub(crate) fn csv(people: usize, changed: Option<usize>) -> String {
    const DEPARTMENTS: [&str; 8] = [
        "Engineering",
        "Sales",
        "Finance",
        "Support",
        "Legal",
        "Research",
        "Logistics",
        "Operations",
    ];
    const LOCATIONS: [&str; 5] = ["Berlin", "Lisboa", "Kraków", "Αθήνα", "東京"];
    let mut text = String::with_capacity(people * 150);
    text.push_str(
        "employee_id,given_name,family_name,email,department,title,location,contract,start_date,end_date\n",
    );
    for n in 0..people {
        let department = if changed == Some(n) {
            "Moved"
        } else {
            DEPARTMENTS[n % DEPARTMENTS.len()]
        };
        let _ = writeln!(
            text,
            "E{n:07},Given{n},Family{},p{n}@example.test,{department},Title {},{},{},2020-{:02}-{:02},",
            n * 7919 % people.max(1),
            n % 40,
            LOCATIONS[n % LOCATIONS.len()],
            if n % 3 == 0 { "temporary" } else { "permanent" },
            n % 12 + 1,
            n % 28 + 1,
        );
    }
    text
}
