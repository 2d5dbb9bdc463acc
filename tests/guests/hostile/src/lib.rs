//! A connector that misbehaves. The settings say how: `behaviour`, and what that needs. Reads and writes misbehave alike, so that
//! tests can see what a failed write is said to have done. The account and the login `good` are always served well, so that tests
//! can see that the target still works.

#![allow(
    unsafe_code,
    reason = "generated: the canonical ABI of components is raw memory"
)]

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
    wit_bindgen::generate!({ path: "../../../wit", world: "everything", generate_all });
    use super::Hostile;
    export!(Hostile);
}
mod answers;
mod computing;
mod describing;
mod http;
mod listing;
mod reaching;
mod secret_hunt;

use bindings::exports::usher::connector::{accounts, connector, entitlements};
use bindings::usher::connector::types::{
    Account, AccountPage, AccountStatus, AccountUpdate, Call, CallError, CheckReport, Descriptor, Effect,
    ErrorKind, FindQuery, Write,
};
use entitlements::{EntitlementPage, Holding, HoldingPage};
use serde_json::{Value, json};

struct Hostile;

/// What a behaviour comes to; `None`: there is no such behaviour here.
type Outcome = Option<Result<Account, CallError>>;

fn account(id: impl Into<String>) -> Account {
    Account {
        id: id.into(),
        attributes: "{}".to_owned(),
        status: AccountStatus::Enabled,
        version: None,
        marker: None,
    }
}

fn error(kind: ErrorKind, effect: Effect, message: impl Into<String>) -> CallError {
    CallError {
        kind,
        effect,
        retry_after_ms: None,
        existing_id: None,
        message: message.into(),
    }
}

fn settings(call: &Call) -> Value {
    serde_json::from_str(&call.settings).unwrap_or_default()
}

fn text<'a>(settings: &'a Value, name: &str) -> &'a str {
    settings[name].as_str().unwrap_or_default()
}

fn number(settings: &Value, name: &str) -> u64 {
    settings[name].as_u64().unwrap_or_default()
}

/// Does what the settings say; what it finds out becomes the id of the account. `subject`: the account or login concerned.
fn misbehave(call: &Call, subject: &str) -> Result<Account, CallError> {
    let settings = settings(call);
    let behaviour = text(&settings, "behaviour");
    if behaviour.is_empty() || subject == "good" {
        return Ok(account(subject));
    }
    computing::run(behaviour)
        .or_else(|| answers::run(behaviour, &settings, subject))
        .or_else(|| reaching::run(behaviour, &settings))
        .or_else(|| secret_hunt::run(behaviour, call, &settings))
        .unwrap_or_else(|| {
            Err(error(
                ErrorKind::Misconfigured,
                Effect::None,
                format!("behaviour `{behaviour}` is not known"),
            ))
        })
}

/// The same where the answer is about a known account: what was found out is no id then.
fn misbehave_with(call: &Call, id: &str) -> Result<Account, CallError> {
    let found = misbehave(call, id)?;
    if text(&settings(call), "behaviour") == "another-account" {
        return Ok(found);
    }
    Ok(Account {
        id: id.to_owned(),
        attributes: match found.attributes.as_str() {
            "{}" => json!({ "found": found.id }).to_string(),
            _ => found.attributes,
        },
        ..found
    })
}

impl connector::Guest for Hostile {
    fn describe(given: Option<String>) -> Result<Descriptor, CallError> {
        describing::describe(given)
    }

    fn check(call: Call) -> Result<CheckReport, CallError> {
        describing::check(&call)
    }
}

impl accounts::Guest for Hostile {
    fn schema(call: Call) -> Result<String, CallError> {
        describing::account_schema(&call)
    }

    fn create(call: Call, _write: Write, attributes: String) -> Result<Account, CallError> {
        let attributes: Value = serde_json::from_str(&attributes).unwrap_or_default();
        misbehave(&call, text(&attributes, "login"))
    }

    fn update(call: Call, _write: Write, id: String, update: AccountUpdate) -> Result<Account, CallError> {
        let changes: Vec<_> = update
            .changes
            .iter()
            .map(|c| format!("{} +{:?} -{:?} ={:?}", c.name, c.add, c.remove, c.replace))
            .collect();
        let told = format!("{changes:?} {} {:?}", update.desired, update.version);
        misbehave_with(&call, &id).map(|account| Account {
            attributes: json!({ "told": told }).to_string(),
            ..account
        })
    }

    fn disable(call: Call, _write: Write, id: String) -> Result<Account, CallError> {
        misbehave_with(&call, &id).map(|account| Account {
            status: AccountStatus::Disabled,
            ..account
        })
    }

    fn enable(call: Call, _write: Write, id: String) -> Result<Account, CallError> {
        misbehave_with(&call, &id)
    }

    fn delete(call: Call, _write: Write, id: String) -> Result<(), CallError> {
        misbehave(&call, &id).map(|_| ())
    }

    fn get(call: Call, id: String) -> Result<Option<Account>, CallError> {
        misbehave_with(&call, &id).map(Some)
    }

    fn find(call: Call, query: FindQuery) -> Result<Vec<Account>, CallError> {
        listing::find(&call, &query)
    }

    fn list(call: Call, cursor: Option<String>, limit: u32) -> Result<AccountPage, CallError> {
        listing::accounts(&call, cursor, limit)
    }
}

impl entitlements::Guest for Hostile {
    fn list(call: Call, cursor: Option<String>, limit: u32) -> Result<EntitlementPage, CallError> {
        listing::entitlements(&call, cursor, limit)
    }

    fn members(
        call: Call,
        entitlement: String,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<HoldingPage, CallError> {
        listing::members(&call, entitlement, cursor, limit)
    }

    fn held(call: Call, account: String) -> Result<Vec<Holding>, CallError> {
        listing::held(&call, account)
    }

    fn grant(
        call: Call,
        _: Write,
        account: String,
        _entitlement: String,
        _parameters: Option<String>,
    ) -> Result<(), CallError> {
        misbehave(&call, &account).map(|_| ())
    }

    fn revoke(call: Call, _: Write, account: String, _entitlement: String) -> Result<(), CallError> {
        misbehave(&call, &account).map(|_| ())
    }
}
