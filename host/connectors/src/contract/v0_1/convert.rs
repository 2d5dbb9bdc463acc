//! Between this version's types and domain types. What comes from a guest is checked here against the limits of the contract; what
//! breaks them is nonsense, and the call has failed.

use serde_json::Value;
use usher_lifecycle::account::AccountState;
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::connector::{
    AccountRecord, AttributeChange, CallError, Capabilities, CheckReport, CheckStep, Creation, Descriptor,
    Effect, Entitlement, ErrorKind, Find, Holding, Page, WriteContext,
};
use usher_lifecycle::name::Name;

use super::wit::exports::usher::connector::entitlements as entitlement_types;
use super::wit::usher::connector::types;
use crate::guest_text::{CODE_BYTES_MAX, CURSOR_BYTES_MAX, ID_BYTES_MAX, VERSION_BYTES_MAX, line, line_of};
use crate::json::Reader;
use crate::schema::Schema;

/// Steps and permissions of one check that are kept: more than anybody reads.
const CHECK_LINES_MAX: usize = 100;
/// Most that `find` may return; the contract says so.
const FOUND_MAX: usize = 10;
/// Holdings of one account: over this, policy by groups has gone wrong anyway.
const HELD_MAX: usize = 10_000;
/// Longest wait a connector may ask for, in milliseconds: a day. Longer ones are for a person to decide.
const RETRY_AFTER_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Attributes that together recognise a creation: over this it is a mistake.
const UNIQUE_KEY_MAX: usize = 16;
/// Longest address of a documentation page, in bytes.
const URL_BYTES_MAX: usize = 2_048;

type Checked<T> = Result<T, String>;

pub(super) fn write_to_guest(write: &WriteContext) -> types::Write {
    types::Write {
        intent_id: write.intent_id.clone(),
        attempt: write.attempt,
        reason: write.reason.clone(),
    }
}

pub(super) fn json(attributes: &Attributes) -> String {
    // A map of JSON values always has a JSON text.
    serde_json::to_string(attributes).unwrap_or_default()
}

pub(super) fn update_to_guest(
    changes: &[AttributeChange],
    desired: &Attributes,
    version: Option<&str>,
) -> types::AccountUpdate {
    types::AccountUpdate {
        changes: changes.iter().filter_map(change_to_guest).collect(),
        desired: json(desired),
        version: version.map(str::to_owned),
    }
}

/// A change of no members is no change; the contract has no way to say it.
fn change_to_guest(change: &AttributeChange) -> Option<types::AttributeChange> {
    let members =
        |values: &Vec<Value>| (!values.is_empty()).then(|| Value::Array(values.clone()).to_string());
    match change {
        AttributeChange::Replace { name, value } => Some(types::AttributeChange {
            name: name.clone(),
            add: None,
            remove: None,
            replace: Some(value.to_string()),
        }),
        AttributeChange::Members { name, add, remove } => {
            let (add, remove) = (members(add), members(remove));
            let some = add.is_some() || remove.is_some();
            some.then(|| types::AttributeChange {
                name: name.clone(),
                add,
                remove,
                replace: None,
            })
        }
    }
}

pub(super) fn find_to_guest(query: &Find) -> types::FindQuery {
    match query {
        Find::Marker(intent) => types::FindQuery::Marker(intent.clone()),
        Find::Unique(attributes) => types::FindQuery::Unique(json(attributes)),
    }
}

pub(super) fn parameters_to_guest(parameters: &Value) -> Option<String> {
    (!parameters.is_null()).then(|| parameters.to_string())
}

fn id(text: String, what: &str) -> Checked<String> {
    capped(text, what, ID_BYTES_MAX).and_then(|id| {
        if id.is_empty() {
            Err(format!("an empty {what}"))
        } else {
            Ok(id)
        }
    })
}

fn capped(text: String, what: &str, bytes_max: usize) -> Checked<String> {
    if text.len() > bytes_max {
        return Err(format!(
            "a {what} of {} bytes; at most {bytes_max} are accepted",
            text.len()
        ));
    }
    Ok(text)
}

pub(super) fn account(account: types::Account) -> Checked<AccountRecord> {
    read_account(account, &mut Reader::new())
}

/// The account that was asked for. Another one would be taken for it, with all that follows.
pub(super) fn same_account(account: types::Account, asked: &str) -> Checked<AccountRecord> {
    let account = self::account(account)?;
    same(&account.id, asked, "account")?;
    Ok(account)
}

fn same(answered: &str, asked: &str, what: &str) -> Checked<()> {
    if answered == asked {
        return Ok(());
    }
    Err(format!(
        "with the {what} `{}` when asked for `{}`",
        line_of(answered, CODE_BYTES_MAX),
        line_of(asked, CODE_BYTES_MAX)
    ))
}

fn read_account(account: types::Account, reader: &mut Reader) -> Checked<AccountRecord> {
    Ok(AccountRecord {
        id: id(account.id, "account id")?,
        attributes: reader.attributes(&account.attributes)?,
        state: match account.status {
            types::AccountStatus::Enabled => AccountState::Enabled,
            types::AccountStatus::Disabled => AccountState::Disabled,
            types::AccountStatus::Unknown => AccountState::Unknown,
        },
        version: account
            .version
            .map(|text| capped(text, "version", VERSION_BYTES_MAX))
            .transpose()?,
        marker: account
            .marker
            .map(|text| capped(text, "marker", ID_BYTES_MAX))
            .transpose()?,
    })
}

pub(super) fn found(accounts: Vec<types::Account>) -> Checked<Vec<AccountRecord>> {
    if accounts.len() > FOUND_MAX {
        return Err(format!(
            "{} accounts from `find`; at most {FOUND_MAX} are accepted",
            accounts.len()
        ));
    }
    let reader = &mut Reader::new();
    accounts
        .into_iter()
        .map(|account| read_account(account, reader))
        .collect()
}

/// One page of anything.
fn page<G, T>(
    items: Vec<G>,
    next: Option<String>,
    limit: u32,
    mut convert: impl FnMut(G, &mut Reader) -> Checked<T>,
) -> Checked<Page<T>> {
    if items.len() > limit as usize {
        return Err(format!("a page of {} items; {limit} were asked for", items.len()));
    }
    let next = next
        .map(|cursor| capped(cursor, "cursor", CURSOR_BYTES_MAX))
        .transpose()?;
    let reader = &mut Reader::new();
    let items = items.into_iter().map(|item| convert(item, reader));
    Ok(Page {
        items: items.collect::<Checked<_>>()?,
        next,
    })
}

pub(super) fn accounts(answer: types::AccountPage, limit: u32) -> Checked<Page<AccountRecord>> {
    page(answer.accounts, answer.next, limit, read_account)
}

pub(super) fn entitlements(
    answer: entitlement_types::EntitlementPage,
    limit: u32,
) -> Checked<Page<Entitlement>> {
    page(answer.entitlements, answer.next, limit, |entitlement, _| {
        Ok(Entitlement {
            id: id(entitlement.id, "entitlement id")?,
            kind: line_of(&entitlement.kind, CODE_BYTES_MAX),
            name: line(&entitlement.name),
        })
    })
}

/// Who holds one entitlement.
pub(super) fn members(
    answer: entitlement_types::HoldingPage,
    limit: u32,
    entitlement: &str,
) -> Checked<Page<Holding>> {
    page(answer.holdings, answer.next, limit, |holding, reader| {
        same(&holding.entitlement_id, entitlement, "entitlement")?;
        read_holding(holding, reader)
    })
}

/// What one account holds.
pub(super) fn held(holdings: Vec<entitlement_types::Holding>, account: &str) -> Checked<Vec<Holding>> {
    if holdings.len() > HELD_MAX {
        return Err(format!(
            "{} holdings of one account; at most {HELD_MAX} are accepted",
            holdings.len()
        ));
    }
    let reader = &mut Reader::new();
    let read = holdings.into_iter().map(|holding| {
        same(&holding.account_id, account, "account")?;
        read_holding(holding, reader)
    });
    read.collect()
}

fn read_holding(holding: entitlement_types::Holding, reader: &mut Reader) -> Checked<Holding> {
    let parameters = holding
        .parameters
        .as_deref()
        .map(|text| reader.document(text))
        .transpose()?
        .unwrap_or(Value::Null);
    if !matches!(parameters, Value::Null | Value::Object(_)) {
        return Err("parameters of a holding that are not a JSON object".to_owned());
    }
    Ok(Holding {
        account_id: id(holding.account_id, "account id")?,
        entitlement_id: id(holding.entitlement_id, "entitlement id")?,
        parameters,
    })
}

/// An address people click: nothing but a web page may be behind it.
fn docs_url(url: String) -> Checked<String> {
    let is_web = ["https://", "http://"]
        .iter()
        .any(|scheme| url.starts_with(scheme));
    if url.len() > URL_BYTES_MAX || !is_web || line_of(&url, URL_BYTES_MAX) != url {
        return Err("docs-url: not the address of a web page".to_owned());
    }
    Ok(url)
}

/// The descriptor, and the schema of settings ready for use.
pub(super) fn descriptor(answer: types::Descriptor, entitlements: bool) -> Checked<(Descriptor, Schema)> {
    let name: Name = answer.name.parse().map_err(|error| format!("name: {error}"))?;
    let version = semver::Version::parse(&answer.version)
        .map_err(|error| format!("version `{}`: {error}", line_of(&answer.version, CODE_BYTES_MAX)))?;
    let settings = Schema::parse(&answer.settings_schema).map_err(|why| format!("settings-schema: {why}"))?;
    let can = |word: &str| answer.capabilities.iter().any(|capability| capability == word);
    let descriptor = Descriptor {
        name: name.to_string(),
        version: version.to_string(),
        docs_url: answer.docs_url.map(docs_url).transpose()?,
        settings_schema: settings.document().clone(),
        capabilities: Capabilities {
            disable: can("disable"),
            delete: can("delete"),
            entitlements,
        },
        creation: match answer.creation {
            types::Creation::Marker => Creation::Marker,
            types::Creation::ClientId(attribute) => Creation::ClientId(id(attribute, "client-id attribute")?),
            types::Creation::UniqueKey(attributes) if attributes.is_empty() => {
                return Err("creation: unique-key names no attribute".to_owned());
            }
            types::Creation::UniqueKey(attributes) if attributes.len() > UNIQUE_KEY_MAX => {
                return Err(format!(
                    "creation: unique-key names {} attributes; at most {UNIQUE_KEY_MAX} are accepted",
                    attributes.len()
                ));
            }
            types::Creation::UniqueKey(attributes) => Creation::UniqueKey(
                attributes
                    .into_iter()
                    .map(|attribute| id(attribute, "unique-key attribute"))
                    .collect::<Checked<_>>()?,
            ),
            types::Creation::None => Creation::None,
        },
    };
    Ok((descriptor, settings))
}

pub(super) fn check_report(report: types::CheckReport) -> CheckReport {
    let steps = report.steps.into_iter().take(CHECK_LINES_MAX);
    CheckReport {
        steps: steps
            .map(|step| CheckStep {
                name: line(&step.name),
                ok: step.ok,
                detail: line(&step.detail),
            })
            .collect(),
        permissions: report
            .permissions
            .iter()
            .take(CHECK_LINES_MAX)
            .map(|permission| line(permission))
            .collect(),
    }
}

pub(super) fn error(error: types::CallError) -> CallError {
    let kind = match error.kind {
        types::ErrorKind::InvalidRequest => ErrorKind::InvalidRequest,
        types::ErrorKind::AuthFailed => ErrorKind::AuthFailed,
        types::ErrorKind::Forbidden => ErrorKind::Forbidden,
        types::ErrorKind::NotFound => ErrorKind::NotFound,
        types::ErrorKind::Conflict => ErrorKind::Conflict,
        types::ErrorKind::VersionConflict => ErrorKind::VersionConflict,
        types::ErrorKind::RateLimited => ErrorKind::RateLimited,
        types::ErrorKind::Unavailable => ErrorKind::Unavailable,
        types::ErrorKind::Timeout => ErrorKind::Timeout,
        types::ErrorKind::Unsupported => ErrorKind::Unsupported,
        types::ErrorKind::PolicyRejected => ErrorKind::PolicyRejected,
        types::ErrorKind::Misconfigured => ErrorKind::Misconfigured,
        types::ErrorKind::Other(code) => ErrorKind::Other(line_of(&code, CODE_BYTES_MAX)),
    };
    let effect = match error.effect {
        types::Effect::None => Effect::None,
        types::Effect::Applied => Effect::Applied,
        types::Effect::Unknown => Effect::Unknown,
    };
    CallError {
        kind,
        effect,
        retry_after_ms: error.retry_after_ms.map(|wait| wait.min(RETRY_AFTER_MS_MAX)),
        // An id that cannot be one helps nobody; the conflict stands all the same.
        existing_id: error.existing_id.and_then(|text| id(text, "account id").ok()),
        message: line(&error.message),
    }
}
