//! What the operator sets.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_sdk::Error;
use usher_sdk::sql::{Dialect, quote_identifier};

/// Most attributes of an account: more than any table of users has, and a statement stays far below its limit.
const MAX_COLUMNS: usize = 200;

/// The settings of the `sql` connector.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Settings {
    /// The name of the granted SQL endpoint.
    pub(crate) endpoint: String,
    /// The schema the tables are in, on PostgreSQL; the one the role finds them in unless said.
    #[serde(default)]
    pub(crate) schema: Option<String>,
    /// The table of users.
    pub(crate) users: Users,
    /// The attributes that together are unique among the users, for example `["username"]`.
    #[serde(default)]
    pub(crate) key: Vec<String>,
    /// The table that says who is a member of what.
    #[serde(default)]
    pub(crate) memberships: Option<Memberships>,
    /// The table of what there is to be a member of. Without it, whatever somebody is a member of.
    #[serde(default)]
    pub(crate) entitlements: Option<EntitlementTable>,
    /// How an account is deleted.
    #[serde(default)]
    pub(crate) delete: Delete,
}

/// The table of users.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Users {
    /// The name of the table.
    pub(crate) table: String,
    /// The column of the account's id, unique and never changed.
    pub(crate) id: String,
    /// The type of that column: `integer` unless `id-from` is given, then `text`.
    #[serde(default)]
    pub(crate) id_type: Option<IdType>,
    /// The attribute whose value becomes the id. Without it the database makes the id.
    #[serde(default)]
    pub(crate) id_from: Option<String>,
    /// Enabled or disabled. Without it accounts cannot be disabled.
    #[serde(default)]
    pub(crate) status: Option<StatusColumn>,
    /// A text column where Usher may keep the id of the creation, so that a lost one is recognised beyond doubt.
    #[serde(default)]
    pub(crate) marker: Option<String>,
    /// The attributes of an account and their columns.
    pub(crate) columns: BTreeMap<String, Column>,
}

/// The type of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum IdType {
    /// Text.
    Text,
    /// A whole number.
    Integer,
}

/// The column that tells whether an account can be used.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct StatusColumn {
    /// Its name.
    pub(crate) column: String,
    /// Its value for an account that can be used.
    #[serde(default = "enabled")]
    pub(crate) enabled: Scalar,
    /// Its value for one that cannot.
    #[serde(default = "disabled")]
    pub(crate) disabled: Scalar,
}

fn enabled() -> Scalar {
    Scalar::Text("enabled".to_owned())
}

fn disabled() -> Scalar {
    Scalar::Text("disabled".to_owned())
}

/// A value in the settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Scalar {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
}

/// Where an attribute is kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Column {
    /// The name of the column; the attribute's own unless said.
    #[serde(default)]
    pub(crate) column: Option<String>,
    /// What it holds.
    #[serde(default, rename = "type")]
    pub(crate) kind: ColumnType,
    /// Whether it must be given when an account is created.
    #[serde(default)]
    pub(crate) required: bool,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ColumnType {
    /// Text.
    #[default]
    Text,
    /// A whole number.
    Integer,
    /// True or false; 1 or 0 where the database has no such type.
    Boolean,
}

/// The table that says who is a member of what.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Memberships {
    /// The name of the table.
    pub(crate) table: String,
    /// The column of the user's id.
    pub(crate) user: String,
    /// The column of the entitlement's id.
    pub(crate) entitlement: String,
    /// The type of the entitlement's id: `text` unless said.
    #[serde(default)]
    pub(crate) entitlement_type: Option<IdType>,
}

/// The table of what there is to be a member of.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct EntitlementTable {
    /// The name of the table.
    pub(crate) table: String,
    /// The column of the id, as policies name it.
    pub(crate) id: String,
    /// The column of the name for people; the id unless said.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// What they are called: `group` unless said.
    #[serde(default)]
    pub(crate) kind: Option<String>,
}

/// How an account is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Delete {
    /// Its row and its memberships are deleted.
    #[default]
    Row,
    /// Never.
    Never,
}

impl fmt::Display for Scalar {
    /// As in the targets document.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{value:?}"),
        }
    }
}

impl Settings {
    /// What no type can say.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        for (place, name) in self.names() {
            quote_identifier(&Dialect::Sqlite, name)
                .map_err(|error| Error::misconfigured(format!("settings: `{place}`: {}", error.message)))?;
        }
        let count = self.users.columns.len();
        if count == 0 || count > MAX_COLUMNS {
            return Err(refuse(
                "users.columns",
                &format!("needs 1 to {MAX_COLUMNS} attributes, has {count}"),
            ));
        }
        let unknown = |attribute: &&String| !self.users.columns.contains_key(*attribute);
        if let Some(attribute) = self.key.iter().find(unknown) {
            return Err(refuse(
                "key",
                &format!("`{attribute}` is not among users.columns"),
            ));
        }
        if let Some(attribute) = self.users.id_from.iter().find(unknown) {
            return Err(refuse(
                "users.id-from",
                &format!("`{attribute}` is not among users.columns"),
            ));
        }
        if self.key.is_empty() && self.users.id_from.is_none() && self.users.marker.is_none() {
            let why =
                "give a key, users.id-from or users.marker: a new account could not be recognised otherwise";
            return Err(refuse("key", why));
        }
        if self.entitlements.is_some() && self.memberships.is_none() {
            return Err(refuse("memberships", "is needed when entitlements are given"));
        }
        self.validate_columns()
    }

    /// No column may mean two things: one of them would be overwritten.
    fn validate_columns(&self) -> Result<(), Error> {
        let users = &self.users;
        let mut seen = BTreeMap::new();
        let special = [
            ("users.status", users.status.as_ref().map(|status| &status.column)),
            ("users.marker", users.marker.as_ref()),
        ];
        let special = special
            .into_iter()
            .filter_map(|(place, column)| Some((place.to_owned(), column?.as_str())));
        let mapped = users.columns.iter().map(|(attribute, column)| {
            (
                format!("users.columns.{attribute}"),
                column.column.as_deref().unwrap_or(attribute),
            )
        });
        for (place, column) in special.chain(mapped) {
            if let Some(other) = seen.insert(column.to_lowercase(), place.clone()) {
                return Err(refuse(&place, &format!("has the same column as `{other}`")));
            }
            let makes_id = users.id_from.as_ref().map(|from| format!("users.columns.{from}"));
            if column.eq_ignore_ascii_case(&users.id) && makes_id.as_ref() != Some(&place) {
                return Err(refuse(
                    &place,
                    "is the column of the id; only the attribute of users.id-from may be",
                ));
            }
        }
        Ok(())
    }

    fn names(&self) -> Vec<(String, &str)> {
        let users = &self.users;
        let mut names = vec![
            ("users.table".to_owned(), users.table.as_str()),
            ("users.id".to_owned(), &users.id),
        ];
        if let Some(schema) = &self.schema {
            names.push(("schema".to_owned(), schema));
        }
        if let Some(status) = &users.status {
            names.push(("users.status.column".to_owned(), &status.column));
        }
        if let Some(marker) = &users.marker {
            names.push(("users.marker".to_owned(), marker));
        }
        for (attribute, column) in &users.columns {
            names.push((
                format!("users.columns.{attribute}"),
                column.column.as_deref().unwrap_or(attribute),
            ));
        }
        if let Some(memberships) = &self.memberships {
            names.push(("memberships.table".to_owned(), &memberships.table));
            names.push(("memberships.user".to_owned(), &memberships.user));
            names.push(("memberships.entitlement".to_owned(), &memberships.entitlement));
        }
        if let Some(table) = &self.entitlements {
            names.push(("entitlements.table".to_owned(), &table.table));
            names.push(("entitlements.id".to_owned(), &table.id));
            names.push((
                "entitlements.name".to_owned(),
                table.name.as_deref().unwrap_or(&table.id),
            ));
        }
        names
    }
}

impl Users {
    /// The type of the id.
    pub(crate) fn id_kind(&self) -> IdType {
        self.id_type.unwrap_or(if self.id_from.is_some() {
            IdType::Text
        } else {
            IdType::Integer
        })
    }
}

fn refuse(place: &str, why: &str) -> Error {
    Error::misconfigured(format!("settings: `{place}`: {why}"))
}
