//! A connector as the host sees it: JSON text in, JSON text out.

use std::marker::PhantomData;

use serde_json::Value;

use crate::bindings::base::exports::usher::connector::accounts::Guest as AccountsGuest;
use crate::bindings::base::exports::usher::connector::connector::Guest as ConnectorGuest;
use crate::bindings::base::usher::connector::types as wit;
use crate::bindings::entitlements::exports::usher::connector::entitlements as ent;
use crate::bindings::entitlements::exports::usher::connector::entitlements::Guest as EntitlementsGuest;
use crate::{
    Account, Accounts, Attributes, Change, CheckReport, CheckStep, Connector, Effect, Entitlement,
    Entitlements, Error, ErrorKind, Find, Holding, Package, Page, Status, UpdateRequest,
};

/// Long enough that no test meets it.
const DEADLINE_MS: u32 = 3_600_000;

/// A target: a connector with settings. Every method goes through the same JSON a host would send.
pub struct Target<T> {
    settings: String,
    intent: String,
    connector: PhantomData<T>,
}

impl<T: Connector> Target<T> {
    /// A target with these settings.
    #[allow(clippy::needless_pass_by_value, reason = "tests pass json!(…)")]
    pub fn new(settings: Value) -> Self {
        Self {
            settings: settings.to_string(),
            intent: "intent-1".to_owned(),
            connector: PhantomData,
        }
    }

    /// The same, writing with another intent id (`intent-1` unless said).
    #[must_use]
    pub fn with_intent(mut self, intent: &str) -> Self {
        self.intent = intent.to_owned();
        self
    }

    fn call(&self) -> wit::Call {
        wit::Call {
            settings: self.settings.clone(),
            deadline_ms: DEADLINE_MS,
        }
    }

    fn write(&self) -> wit::Write {
        wit::Write {
            intent_id: self.intent.clone(),
            attempt: 1,
            reason: "a test".to_owned(),
        }
    }
}

impl<T: Connector + Package> Target<T> {
    /// What `describe` answers under these settings, as JSON.
    pub fn describe(&self) -> Result<Value, Error> {
        let described = <T as ConnectorGuest>::describe(Some(self.settings.clone()))?;
        Ok(serde_json::json!({
            "name": described.name,
            "version": described.version,
            "capabilities": described.capabilities,
            "creation": match described.creation {
                wit::Creation::Marker => serde_json::json!("marker"),
                wit::Creation::ClientId(attribute) => serde_json::json!({ "client-id": attribute }),
                wit::Creation::UniqueKey(key) => serde_json::json!({ "unique-key": key }),
                wit::Creation::None => serde_json::json!("none"),
            },
            "settings-schema": parsed(&described.settings_schema)?,
        }))
    }

    /// Calls `check`.
    pub fn check(&self) -> Result<CheckReport, Error> {
        let report = <T as ConnectorGuest>::check(self.call())?;
        let steps = report
            .steps
            .into_iter()
            .map(|step| CheckStep {
                name: step.name,
                ok: step.ok,
                detail: step.detail,
            })
            .collect();
        Ok(CheckReport {
            steps,
            permissions: report.permissions,
        })
    }
}

impl<T: Accounts> Target<T> {
    /// Calls `schema`.
    pub fn schema(&self) -> Result<Value, Error> {
        parsed(&<T as AccountsGuest>::schema(self.call())?)
    }

    /// Calls `create`.
    #[allow(clippy::needless_pass_by_value, reason = "tests pass json!(…)")]
    pub fn create(&self, attributes: Value) -> Result<Account, Error> {
        account(<T as AccountsGuest>::create(
            self.call(),
            self.write(),
            attributes.to_string(),
        )?)
    }

    /// Calls `update`.
    pub fn update(&self, id: &str, request: &UpdateRequest) -> Result<Account, Error> {
        let update = wit::AccountUpdate {
            changes: request
                .changes
                .iter()
                .map(|(name, change)| change_out(name, change))
                .collect(),
            desired: request.desired.to_text(),
            version: request.version.clone(),
        };
        account(<T as AccountsGuest>::update(
            self.call(),
            self.write(),
            id.to_owned(),
            update,
        )?)
    }

    /// Calls `update` so that it replaces these attributes; `null` clears one.
    pub fn replace(&self, id: &str, values: Value) -> Result<Account, Error> {
        let Value::Object(values) = values else {
            return Err(Error::invalid("the values to replace must be a JSON object"));
        };
        let desired = Attributes::from(values.clone());
        let changes = values
            .into_iter()
            .map(|(name, value)| (name, Change::Replace(value)))
            .collect();
        self.update(
            id,
            &UpdateRequest {
                changes,
                desired,
                version: None,
            },
        )
    }

    /// Calls `disable`.
    pub fn disable(&self, id: &str) -> Result<Account, Error> {
        account(<T as AccountsGuest>::disable(
            self.call(),
            self.write(),
            id.to_owned(),
        )?)
    }

    /// Calls `enable`.
    pub fn enable(&self, id: &str) -> Result<Account, Error> {
        account(<T as AccountsGuest>::enable(
            self.call(),
            self.write(),
            id.to_owned(),
        )?)
    }

    /// Calls `delete`.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        Ok(<T as AccountsGuest>::delete(
            self.call(),
            self.write(),
            id.to_owned(),
        )?)
    }

    /// Calls `get`.
    pub fn get(&self, id: &str) -> Result<Option<Account>, Error> {
        <T as AccountsGuest>::get(self.call(), id.to_owned())?
            .map(account)
            .transpose()
    }

    /// Calls `find`.
    pub fn find(&self, query: &Find) -> Result<Vec<Account>, Error> {
        let query = match query {
            Find::Marker(intent) => wit::FindQuery::Marker(intent.clone()),
            Find::Unique(key) => wit::FindQuery::Unique(key.to_text()),
        };
        <T as AccountsGuest>::find(self.call(), query)?
            .into_iter()
            .map(account)
            .collect()
    }

    /// Calls `list`.
    pub fn list(&self, cursor: Option<&str>, limit: u32) -> Result<Page<Account>, Error> {
        let page = <T as AccountsGuest>::list(self.call(), cursor.map(str::to_owned), limit)?;
        let accounts = page.accounts.into_iter().map(account).collect::<Result<_, _>>()?;
        Ok(Page::new(accounts, page.next))
    }
}

impl<T: Entitlements> Target<T> {
    /// Calls `entitlements.list`.
    pub fn entitlements(&self, cursor: Option<&str>, limit: u32) -> Result<Page<Entitlement>, Error> {
        let page = <T as EntitlementsGuest>::list(self.call(), cursor.map(str::to_owned), limit)?;
        let items = page
            .entitlements
            .into_iter()
            .map(|item| Entitlement {
                id: item.id,
                kind: item.kind,
                name: item.name,
            })
            .collect();
        Ok(Page::new(items, page.next))
    }

    /// Calls `entitlements.members`.
    pub fn members(
        &self,
        entitlement: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Holding>, Error> {
        let cursor = cursor.map(str::to_owned);
        let page = <T as EntitlementsGuest>::members(self.call(), entitlement.to_owned(), cursor, limit)?;
        let items = page.holdings.into_iter().map(holding).collect::<Result<_, _>>()?;
        Ok(Page::new(items, page.next))
    }

    /// Calls `entitlements.held`.
    pub fn held(&self, account: &str) -> Result<Vec<Holding>, Error> {
        let held = <T as EntitlementsGuest>::held(self.call(), account.to_owned())?;
        held.into_iter().map(holding).collect()
    }

    /// Calls `entitlements.grant`, without parameters.
    pub fn grant(&self, account: &str, entitlement: &str) -> Result<(), Error> {
        let (account, entitlement) = (account.to_owned(), entitlement.to_owned());
        Ok(<T as EntitlementsGuest>::grant(
            self.call(),
            self.write(),
            account,
            entitlement,
            None,
        )?)
    }

    /// Calls `entitlements.revoke`.
    pub fn revoke(&self, account: &str, entitlement: &str) -> Result<(), Error> {
        let (account, entitlement) = (account.to_owned(), entitlement.to_owned());
        Ok(<T as EntitlementsGuest>::revoke(
            self.call(),
            self.write(),
            account,
            entitlement,
        )?)
    }
}

fn parsed(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|error| Error::other("bad-json", error.to_string()))
}

fn change_out(name: &str, change: &Change) -> wit::AttributeChange {
    let list = |values: &[Value]| (!values.is_empty()).then(|| Value::from(values.to_vec()).to_string());
    let (add, remove, replace) = match change {
        Change::Replace(value) => (None, None, Some(value.to_string())),
        Change::Members { add, remove } => (list(add), list(remove), None),
    };
    wit::AttributeChange {
        name: name.to_owned(),
        add,
        remove,
        replace,
    }
}

fn account(account: wit::Account) -> Result<Account, Error> {
    let attributes =
        Attributes::from_text(&account.attributes).map_err(|why| Error::other("bad-json", why))?;
    let status = match account.status {
        wit::AccountStatus::Enabled => Status::Enabled,
        wit::AccountStatus::Disabled => Status::Disabled,
        wit::AccountStatus::Unknown => Status::Unknown,
    };
    Ok(Account {
        id: account.id,
        attributes,
        status,
        version: account.version,
        marker: account.marker,
    })
}

fn holding(holding: ent::Holding) -> Result<Holding, Error> {
    let parameters = holding.parameters.as_deref().map(parsed).transpose()?;
    Ok(Holding {
        account: holding.account_id,
        entitlement: holding.entitlement_id,
        parameters,
    })
}

impl From<wit::CallError> for Error {
    fn from(error: wit::CallError) -> Self {
        let kind = match error.kind {
            wit::ErrorKind::InvalidRequest => ErrorKind::InvalidRequest,
            wit::ErrorKind::AuthFailed => ErrorKind::AuthFailed,
            wit::ErrorKind::Forbidden => ErrorKind::Forbidden,
            wit::ErrorKind::NotFound => ErrorKind::NotFound,
            wit::ErrorKind::Conflict => ErrorKind::Conflict,
            wit::ErrorKind::VersionConflict => ErrorKind::VersionConflict,
            wit::ErrorKind::RateLimited => ErrorKind::RateLimited,
            wit::ErrorKind::Unavailable => ErrorKind::Unavailable,
            wit::ErrorKind::Timeout => ErrorKind::Timeout,
            wit::ErrorKind::Unsupported => ErrorKind::Unsupported,
            wit::ErrorKind::PolicyRejected => ErrorKind::PolicyRejected,
            wit::ErrorKind::Misconfigured => ErrorKind::Misconfigured,
            wit::ErrorKind::Other(code) => ErrorKind::Other(code),
        };
        Self {
            kind,
            effect: match error.effect {
                wit::Effect::None => Effect::None,
                wit::Effect::Applied => Effect::Applied,
                wit::Effect::Unknown => Effect::Unknown,
            },
            retry_after_ms: error.retry_after_ms,
            existing_id: error.existing_id,
            message: error.message,
        }
    }
}
