//! The traits a connector implements.

use std::fmt::Display;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Account, Attributes, Entitlement, Error, Holding, Page, Schema, UpdateRequest};

/// How an account made by a lost `create` is recognised afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// The system keeps our intent id: `find` with [`Find::Marker`] works.
    Marker,
    /// We choose the id: this attribute becomes the account's id.
    ClientId(String),
    /// These attributes together are unique in the system: `find` with [`Find::Unique`] works.
    UniqueKey(Vec<String>),
    /// It is not recognised: an unknown outcome goes to a person.
    None,
}

/// What a connector can do under its settings beyond what it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Accounts can be disabled and enabled.
    Disable,
    /// Accounts can be deleted.
    Delete,
}

/// How `find` looks for accounts.
#[derive(Debug, Clone, PartialEq)]
pub enum Find {
    /// The account whose marker is this intent id.
    Marker(String),
    /// The accounts that have all these values, of the attributes that [`Creation::UniqueKey`] names.
    Unique(Attributes),
}

/// What every write gets besides its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Names the intent; stable over retries. Store it where the system can keep it (see [`Creation::Marker`]).
    pub intent_id: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Why, in one line for people, for systems that keep a reason with a change.
    pub reason: String,
}

/// What a check found: the steps tried, in order, and the permissions of the credential.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// The steps; the check passes when all are ok.
    pub steps: Vec<CheckStep>,
    /// Permissions found, in the system's own words.
    pub permissions: Vec<String>,
}

/// One step of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckStep {
    /// What was tried.
    pub name: String,
    /// Whether it worked.
    pub ok: bool,
    /// What was seen, safe to show.
    pub detail: String,
}

impl CheckReport {
    /// Nothing tried yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one step more: what was tried, and what came of it.
    #[must_use]
    pub fn step<T: Display>(mut self, name: impl Into<String>, result: Result<T, Error>) -> Self {
        let (ok, detail) = match result {
            Ok(detail) => (true, detail.to_string()),
            Err(error) => (false, error.message),
        };
        self.steps.push(CheckStep {
            name: name.into(),
            ok,
            detail,
        });
        self
    }

    /// With a permission that was found.
    #[must_use]
    pub fn permission(mut self, permission: impl Into<String>) -> Self {
        self.permissions.push(permission.into());
        self
    }

    /// Whether all steps so far are ok.
    pub fn passed(&self) -> bool {
        self.steps.iter().all(|step| step.ok)
    }
}

/// What a connector is. A value of it serves one call: it is made from the settings of the target and dropped after.
pub trait Connector: Sized {
    /// The settings, as the operator writes them. The JSON Schema that operators see is made from this type.
    type Settings: DeserializeOwned + JsonSchema;

    /// Lower-case letters, digits and hyphens, at most 63. The version is the one in your `Cargo.toml`.
    const NAME: &'static str;

    /// Where its documentation is.
    const DOCS_URL: Option<&'static str> = None;

    /// Makes it ready for one call. Refuse settings here that no type can refuse, with [`Error::misconfigured`].
    fn new(settings: Self::Settings) -> Result<Self, Error>;

    /// What it can do; `settings` is absent when asked in general.
    fn capabilities(settings: Option<&Self::Settings>) -> Vec<Capability> {
        let _ = settings;
        Vec::new()
    }

    /// How creations are recognised; `settings` is absent when asked in general.
    fn creation(settings: Option<&Self::Settings>) -> Creation {
        let _ = settings;
        Creation::None
    }

    /// Tries the connection and looks at what the credential may do. Changes nothing.
    fn check(&self) -> Result<CheckReport, Error>;
}

/// Accounts. Every write is set-to-state: repeating it gives the same final state and succeeds.
pub trait Accounts: Connector {
    /// The attributes under these settings.
    fn schema(&self) -> Result<Schema, Error>;

    /// Creates an enabled account. Never changes one that exists: that is [`Error::conflict`] with its id.
    fn create(&self, write: &Write, attributes: &Attributes) -> Result<Account, Error>;

    /// Brings the named attributes to their values and leaves the others alone.
    fn update(&self, write: &Write, id: &str, request: &UpdateRequest) -> Result<Account, Error> {
        let _ = (write, id, request);
        Err(Error::unsupported("this connector cannot change accounts"))
    }

    /// Makes sign-in impossible. Succeeds when it already is.
    fn disable(&self, write: &Write, id: &str) -> Result<Account, Error> {
        self.set_enabled(write, id, false)
    }

    /// Makes sign-in possible again. Succeeds when it already is.
    fn enable(&self, write: &Write, id: &str) -> Result<Account, Error> {
        self.set_enabled(write, id, true)
    }

    /// Both of the above in one, for systems where they are one request with another value.
    fn set_enabled(&self, write: &Write, id: &str, enabled: bool) -> Result<Account, Error> {
        let _ = (write, id, enabled);
        Err(Error::unsupported(
            "this connector cannot disable or enable accounts",
        ))
    }

    /// Deletes the account. Succeeds when there is none.
    fn delete(&self, write: &Write, id: &str) -> Result<(), Error> {
        let _ = (write, id);
        Err(Error::unsupported("this connector cannot delete accounts"))
    }

    /// Reads one account.
    fn get(&self, id: &str) -> Result<Option<Account>, Error>;

    /// Finds accounts; the first 10 are enough, more than one is ambiguous anyway.
    fn find(&self, query: &Find) -> Result<Vec<Account>, Error> {
        let _ = query;
        Err(Error::unsupported("this connector cannot find accounts"))
    }

    /// Lists all accounts, a page at a time, at most `limit` each.
    fn list(&self, cursor: Option<&str>, limit: u32) -> Result<Page<Account>, Error>;
}

/// What accounts may hold. Membership is changed one member at a time.
pub trait Entitlements: Connector {
    /// Lists what can be held.
    fn list(&self, cursor: Option<&str>, limit: u32) -> Result<Page<Entitlement>, Error>;

    /// Lists who holds one entitlement.
    fn members(&self, entitlement: &str, cursor: Option<&str>, limit: u32) -> Result<Page<Holding>, Error>;

    /// What one account holds.
    fn held(&self, account: &str) -> Result<Vec<Holding>, Error>;

    /// Grants. Succeeds when it is already held with these parameters.
    fn grant(
        &self,
        write: &Write,
        account: &str,
        entitlement: &str,
        parameters: Option<&Value>,
    ) -> Result<(), Error>;

    /// Revokes. Succeeds when it is not held.
    fn revoke(&self, write: &Write, account: &str, entitlement: &str) -> Result<(), Error>;
}

/// What the export macro knows of the author's crate.
#[doc(hidden)]
pub trait Package {
    /// The crate's version.
    const VERSION: &'static str;
}
