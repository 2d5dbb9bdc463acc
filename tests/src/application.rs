//! The SQLite application of the demo and the end-to-end tests, and what became of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rusqlite::Connection;

use crate::programs::data;

/// One user of the application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    /// Sign-in name.
    pub username: String,
    /// Name for people.
    pub full_name: String,
    /// Mail address.
    pub email: Option<String>,
    /// Department.
    pub department: Option<String>,
    /// Title.
    pub title: Option<String>,
    /// The employee id of the manager.
    pub manager: Option<String>,
    /// `active` or `disabled`.
    pub status: String,
    /// Roles held, in order.
    pub roles: Vec<String>,
}

/// One line of the application's own history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `create`, `update`, `active`, `disabled`, `delete`, `grant` or `revoke`.
    pub what: String,
    /// Whose.
    pub username: String,
    /// The role, or the former user name.
    pub detail: Option<String>,
}

/// The application's database.
#[derive(Clone, Debug)]
pub struct Application {
    file: PathBuf,
}

impl Application {
    /// Makes a fresh one, as `tests/data/app.sql` says.
    pub fn create(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("app.db");
        let schema = std::fs::read_to_string(data().join("app.sql")).context("reading app.sql")?;
        Connection::open(&file)?
            .execute_batch(&schema)
            .context("running app.sql")?;
        Ok(Self { file })
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// All users by name.
    pub fn users(&self) -> anyhow::Result<BTreeMap<String, User>> {
        let connection = Connection::open(&self.file)?;
        let mut roles: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut statement = connection
            .prepare("SELECT username, role FROM memberships JOIN users ON id = user_id ORDER BY role")?;
        for row in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
            let (username, role): (String, String) = row?;
            roles.entry(username).or_default().push(role);
        }
        let mut statement = connection
            .prepare("SELECT username, full_name, email, department, title, manager, status FROM users")?;
        let users = statement.query_map([], |row| {
            Ok(User {
                username: row.get(0)?,
                full_name: row.get(1)?,
                email: row.get(2)?,
                department: row.get(3)?,
                title: row.get(4)?,
                manager: row.get(5)?,
                status: row.get(6)?,
                roles: Vec::new(),
            })
        })?;
        let with_roles = users.map(|user| {
            let mut user = user?;
            user.roles = roles.remove(&user.username).unwrap_or_default();
            Ok((user.username.clone(), user))
        });
        with_roles.collect()
    }

    /// What happened, in order.
    pub fn history(&self) -> anyhow::Result<Vec<Event>> {
        let connection = Connection::open(&self.file)?;
        let mut statement = connection.prepare("SELECT what, username, detail FROM history ORDER BY at")?;
        let events = statement.query_map([], |row| {
            Ok(Event {
                what: row.get(0)?,
                username: row.get(1)?,
                detail: row.get(2)?,
            })
        })?;
        Ok(events.collect::<Result<_, _>>()?)
    }
}
