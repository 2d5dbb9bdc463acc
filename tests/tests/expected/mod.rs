//! What the accounts must be after each day, worked out from the HR files by plain code that shares nothing with Usher.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::Value;
use usher_tests::application::User;
use usher_tests::programs::data;
use usher_tests::rehearsal::{DAYS, Day, Rehearsal};

/// `retention-days` of `tests/data/policy.toml`.
const RETENTION_DAYS: i64 = 30;
/// `zone` of `tests/data/policy.toml`.
const ZONE: &str = "Europe/Berlin";

/// The URN of SCIM's enterprise attributes.
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// One row of an HR file.
pub(crate) type Row = BTreeMap<String, String>;

/// A state, as the files tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Staged,
    Active,
    Suspended,
    Leaving,
    Departed,
}

/// An account of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) user_name: String,
    pub(crate) display_name: String,
    pub(crate) given_name: String,
    pub(crate) family_name: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) department: String,
    pub(crate) active: bool,
    pub(crate) groups: BTreeSet<String>,
}

/// Everything that must be.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// The last row of each person.
    pub(crate) people: BTreeMap<String, Row>,
    /// Each person's state.
    pub(crate) states: BTreeMap<String, State>,
    /// Accounts of the application by employee id.
    pub(crate) application: BTreeMap<String, User>,
    /// Accounts of the directory by employee id.
    pub(crate) directory: BTreeMap<String, Entry>,
}

/// The world after the first `days` days.
pub(crate) fn after(days: usize) -> World {
    DAYS[..days]
        .iter()
        .fold(World::default(), |world, day| world.next(day, rows(day)))
}

/// The rows of a day's file.
pub(crate) fn rows(day: &Day) -> Vec<Row> {
    let text = std::fs::read_to_string(data().join(day.file)).unwrap();
    let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    reader.deserialize().map(Result::unwrap).collect()
}

fn given<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    row.get(column)
        .map(String::as_str)
        .filter(|value| !value.is_empty())
}

/// Midnight at the beginning of a day, where the person is.
fn midnight(row: &Row, date: Date) -> Timestamp {
    let zone = TimeZone::get(given(row, "zone").unwrap_or(ZONE)).unwrap();
    date.to_zoned(zone).unwrap().timestamp()
}

fn date(row: &Row, column: &str) -> Option<Date> {
    given(row, column).map(|text| text.parse().unwrap())
}

fn days_after(date: Date, days: i64) -> Date {
    date.checked_add(Span::new().days(days)).unwrap()
}

/// The state of a person at a moment.
pub(crate) fn state(row: &Row, now: Timestamp) -> State {
    if let Some(end) = date(row, "end_date") {
        if midnight(row, days_after(end, 1 + RETENTION_DAYS)) <= now {
            return State::Departed;
        }
        if midnight(row, days_after(end, 1)) <= now {
            return State::Leaving;
        }
    }
    if midnight(row, date(row, "start_date").unwrap()) > now {
        return State::Staged;
    }
    let away = date(row, "leave_from").is_some_and(|from| midnight(row, from) <= now);
    let back = date(row, "leave_until").is_some_and(|until| midnight(row, days_after(until, 1)) <= now);
    if away && !back {
        State::Suspended
    } else {
        State::Active
    }
}

fn ascii_name(row: &Row) -> String {
    let names = ["given_name", "family_name"]
        .into_iter()
        .filter_map(|column| given(row, column));
    let ascii: Vec<String> = names
        .map(|name| deunicode::deunicode(name).replace(' ', "").to_lowercase())
        .collect();
    ascii.join(".")
}

fn full_name(row: &Row) -> String {
    let names = ["given_name", "family_name"]
        .into_iter()
        .filter_map(|column| given(row, column));
    names.collect::<Vec<_>>().join(" ")
}

fn works_here(row: &Row) -> bool {
    row["contract"] != "contractor"
}

fn on_apollo(row: &Row) -> bool {
    row["projects"].split(';').any(|project| project == "apollo")
}

/// The account an active person has in the application, if any.
fn application_account(row: &Row) -> Option<User> {
    let department = row["department"].as_str();
    let by_department = [
        ("Sales", "crm"),
        ("Engineering", "source-code"),
        ("Finance", "ledger"),
    ];
    let mut roles: Vec<String> = Vec::new();
    if works_here(row) {
        roles.push("staff".to_owned());
        roles.extend(
            by_department
                .iter()
                .filter(|(name, _)| *name == department)
                .map(|(_, role)| (*role).to_owned()),
        );
    }
    if on_apollo(row) {
        roles.push("project-apollo".to_owned());
    }
    roles.sort();
    (!roles.is_empty()).then(|| User {
        username: ascii_name(row),
        full_name: full_name(row),
        email: given(row, "email").map(str::to_owned),
        department: Some(department.to_owned()),
        title: given(row, "title").map(str::to_owned),
        manager: given(row, "manager_id").map(str::to_owned),
        status: "active".to_owned(),
        roles,
    })
}

/// The account an active person has in the directory.
fn directory_account(row: &Row) -> Entry {
    let mut groups = BTreeSet::new();
    if works_here(row) {
        groups.insert("All Staff".to_owned());
        if ["Sales", "Engineering", "Finance"].contains(&row["department"].as_str()) {
            groups.insert(row["department"].clone());
        }
    } else {
        groups.insert("Contractors".to_owned());
    }
    if row["title"].starts_with("Head of ") {
        groups.insert("Heads".to_owned());
    }
    Entry {
        user_name: row["email"].clone(),
        display_name: given(row, "display_name").map_or_else(|| full_name(row), str::to_owned),
        given_name: row["given_name"].clone(),
        family_name: given(row, "family_name").map(str::to_owned),
        title: given(row, "title").map(str::to_owned),
        department: row["department"].clone(),
        active: true,
        groups,
    }
}

impl World {
    /// The world a day later. A person whose row is missing for the first time stays as they were.
    pub(crate) fn next(mut self, day: &Day, rows: Vec<Row>) -> Self {
        let now: Timestamp = day.now.parse().unwrap();
        for row in rows {
            self.people.insert(row["employee_id"].clone(), row);
        }
        for (key, row) in &self.people {
            let state = state(row, now);
            self.states.insert(key.clone(), state);
            let application = self.application.remove(key);
            let directory = self.directory.remove(key);
            let (application, directory) = match state {
                State::Active => (
                    // Who loses the account's last role while working here keeps it, disabled and empty.
                    application_account(row).or_else(|| application.map(without_roles)),
                    Some(directory_account(row)),
                ),
                State::Suspended => (application.map(disabled), directory.map(inactive)),
                State::Staged | State::Leaving => (
                    application.map(without_roles),
                    directory.map(|entry| Entry {
                        groups: BTreeSet::new(),
                        ..inactive(entry)
                    }),
                ),
                State::Departed => (None, None),
            };
            self.application
                .extend(application.map(|account| (key.clone(), account)));
            self.directory
                .extend(directory.map(|account| (key.clone(), account)));
        }
        self
    }
}

fn disabled(user: User) -> User {
    User {
        status: "disabled".to_owned(),
        ..user
    }
}

fn without_roles(user: User) -> User {
    User {
        roles: Vec::new(),
        ..disabled(user)
    }
}

fn inactive(entry: Entry) -> Entry {
    Entry {
        active: false,
        ..entry
    }
}

impl World {
    /// Compares both systems with this world, account by account; every difference is told.
    pub(crate) fn assert_reached(&self, rehearsal: &Rehearsal, when: &str) {
        let mut differences = Vec::new();
        let mut users = rehearsal.application.users().unwrap();
        let admin = users
            .remove("admin")
            .expect("the administrator was there before Usher");
        assert_eq!(
            (admin.status.as_str(), admin.roles.as_slice()),
            ("active", ["staff".to_owned()].as_slice())
        );
        let wanted = self
            .application
            .values()
            .map(|user| (user.username.clone(), user.clone()))
            .collect();
        compare("app", &wanted, &users, &mut differences);

        let entries = directory_entries(&rehearsal.directory.dump().unwrap());
        let wanted = self
            .directory
            .values()
            .map(|entry| (entry.user_name.clone(), entry.clone()))
            .collect();
        compare("directory", &wanted, &entries, &mut differences);
        assert!(
            differences.is_empty(),
            "{when}: {} differences:\n{}",
            differences.len(),
            differences.join("\n")
        );
    }
}

fn compare<T: PartialEq + std::fmt::Debug>(
    system: &str,
    wanted: &BTreeMap<String, T>,
    found: &BTreeMap<String, T>,
    differences: &mut Vec<String>,
) {
    let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    for name in names {
        let (wanted, found) = (wanted.get(name), found.get(name));
        if wanted != found {
            differences.push(format!(
                "{system}: {name}:\n  wanted {wanted:?}\n  found  {found:?}"
            ));
        }
    }
}

/// The directory's users by name; who is in a group is read from the group.
fn directory_entries(dump: &Value) -> BTreeMap<String, Entry> {
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for group in dump["groups"].as_array().unwrap() {
        for member in group["members"].as_array().into_iter().flatten() {
            let of_member = groups
                .entry(member["value"].as_str().unwrap().to_owned())
                .or_default();
            of_member.insert(group["displayName"].as_str().unwrap().to_owned());
        }
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let users = dump["users"].as_array().unwrap().iter().map(|user| {
        let entry = Entry {
            user_name: text(&user["userName"]).unwrap(),
            display_name: text(&user["displayName"]).unwrap_or_default(),
            given_name: text(&user["name"]["givenName"]).unwrap_or_default(),
            family_name: text(&user["name"]["familyName"]),
            title: text(&user["title"]),
            department: text(&user[ENTERPRISE]["department"]).unwrap_or_default(),
            active: user["active"].as_bool().unwrap(),
            groups: groups.remove(user["id"].as_str().unwrap()).unwrap_or_default(),
        };
        (entry.user_name.clone(), entry)
    });
    users.collect()
}
