//! One account as the system holds it, and a page of them.

use serde_json::Value;

use crate::Attributes;

/// Whether an account can be used to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It can.
    Enabled,
    /// It cannot.
    Disabled,
    /// The system does not tell.
    Unknown,
}

impl From<bool> for Status {
    fn from(enabled: bool) -> Self {
        if enabled { Self::Enabled } else { Self::Disabled }
    }
}

/// One account as the system now holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// The system's own id: stable and unique within the target.
    pub id: String,
    /// What the schema names and the system holds.
    pub attributes: Attributes,
    /// Enabled or disabled.
    pub status: Status,
    /// The system's version of the record (an ETag, say).
    pub version: Option<String>,
    /// The intent id that was stored with it when it was created.
    pub marker: Option<String>,
}

impl Account {
    /// An account with this id and nothing else known.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            attributes: Attributes::new(),
            status: Status::Unknown,
            version: None,
            marker: None,
        }
    }

    /// With this attribute; `null` leaves it absent.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.set(name, value);
        self
    }

    /// With these attributes instead of those it has.
    #[must_use]
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// With this status; a `bool` will do (true: enabled).
    #[must_use]
    pub fn status(mut self, status: impl Into<Status>) -> Self {
        self.status = status.into();
        self
    }

    /// With this version, if there is one.
    #[must_use]
    pub fn version(mut self, version: Option<String>) -> Self {
        self.version = version;
        self
    }

    /// With this marker, if there is one.
    #[must_use]
    pub fn marker(mut self, marker: Option<String>) -> Self {
        self.marker = marker;
        self
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items, in any order.
    pub items: Vec<T>,
    /// Opaque; given back for the next page. `None` on the last page. Never the same twice in one listing.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page, and where the next one begins.
    pub fn new(items: Vec<T>, next: Option<String>) -> Self {
        Self { items, next }
    }

    /// The last page.
    pub fn last(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

impl Page<Account> {
    /// A page whose cursor is the id of its last account; the first empty page ends the list.
    pub fn until_empty(accounts: Vec<Account>) -> Self {
        let next = accounts.last().map(|account| account.id.clone());
        Self {
            items: accounts,
            next,
        }
    }
}

/// Something an account may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// Stable id within the target, as policies name it.
    pub id: String,
    /// `group`, `role`, `licence` or the system's own word.
    pub kind: String,
    /// For people.
    pub name: String,
}

impl Entitlement {
    /// A group.
    pub fn group(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            kind: "group".to_owned(),
            name: name.into(),
        }
    }
}

/// That an account holds an entitlement.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    /// The account.
    pub account: String,
    /// The entitlement.
    pub entitlement: String,
    /// Parameters of the grant, if the entitlement takes any: a JSON object.
    pub parameters: Option<Value>,
}

impl Holding {
    /// A holding without parameters.
    pub fn new(account: impl Into<String>, entitlement: impl Into<String>) -> Self {
        Self {
            account: account.into(),
            entitlement: entitlement.into(),
            parameters: None,
        }
    }
}
