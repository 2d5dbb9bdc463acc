//! Between the generated interfaces and the traits authors implement: JSON is parsed here, once, and errors are worded.

use schemars::schema_for;
use serde_json::Value;

use crate::bindings::base::exports::usher::connector::{accounts, connector};
use crate::bindings::base::usher::connector::types as wit;
use crate::bindings::entitlements::exports::usher::connector::entitlements;
use crate::{
    Accounts, Attributes, Change, Connector, Entitlements, Error, Find, Holding, Package, UpdateRequest,
    Write,
};

/// Most accounts `find` gives back: the contract's number.
const MAX_FOUND: usize = 10;

impl<T: Connector + Package> connector::Guest for T {
    fn describe(settings: Option<String>) -> Result<wit::Descriptor, wit::CallError> {
        let settings = settings.as_deref().map(parse_settings::<T>).transpose()?;
        Ok(wit::Descriptor {
            name: T::NAME.to_owned(),
            version: T::VERSION.to_owned(),
            docs_url: T::DOCS_URL.map(str::to_owned),
            settings_schema: schema_for!(T::Settings).to_value().to_string(),
            capabilities: T::capabilities(settings.as_ref())
                .into_iter()
                .map(|capability| capability.word().to_owned())
                .collect(),
            creation: T::creation(settings.as_ref()).into(),
        })
    }

    fn check(call: wit::Call) -> Result<wit::CheckReport, wit::CallError> {
        Ok(start::<T>(&call)?.check()?.into())
    }
}

impl<T: Accounts> accounts::Guest for T {
    fn schema(call: wit::Call) -> Result<String, wit::CallError> {
        Ok(start::<T>(&call)?.schema()?.to_json().to_string())
    }

    fn create(
        call: wit::Call,
        write: wit::Write,
        attributes: String,
    ) -> Result<wit::Account, wit::CallError> {
        let attributes = parse_attributes("attributes", &attributes)?;
        Ok(start::<T>(&call)?.create(&write.into(), &attributes)?.into())
    }

    fn update(
        call: wit::Call,
        write: wit::Write,
        id: String,
        update: wit::AccountUpdate,
    ) -> Result<wit::Account, wit::CallError> {
        let request = parse_update(update)?;
        Ok(start::<T>(&call)?.update(&write.into(), &id, &request)?.into())
    }

    fn disable(call: wit::Call, write: wit::Write, id: String) -> Result<wit::Account, wit::CallError> {
        Ok(start::<T>(&call)?.disable(&write.into(), &id)?.into())
    }

    fn enable(call: wit::Call, write: wit::Write, id: String) -> Result<wit::Account, wit::CallError> {
        Ok(start::<T>(&call)?.enable(&write.into(), &id)?.into())
    }

    fn delete(call: wit::Call, write: wit::Write, id: String) -> Result<(), wit::CallError> {
        Ok(start::<T>(&call)?.delete(&write.into(), &id)?)
    }

    fn get(call: wit::Call, id: String) -> Result<Option<wit::Account>, wit::CallError> {
        Ok(start::<T>(&call)?.get(&id)?.map(Into::into))
    }

    fn find(call: wit::Call, query: wit::FindQuery) -> Result<Vec<wit::Account>, wit::CallError> {
        let query = match query {
            wit::FindQuery::Marker(intent) => Find::Marker(intent),
            wit::FindQuery::Unique(key) => Find::Unique(parse_attributes("find", &key)?),
        };
        let found = start::<T>(&call)?.find(&query)?;
        Ok(found.into_iter().take(MAX_FOUND).map(Into::into).collect())
    }

    fn list(call: wit::Call, cursor: Option<String>, limit: u32) -> Result<wit::AccountPage, wit::CallError> {
        let page = Accounts::list(&start::<T>(&call)?, cursor.as_deref(), limit.max(1))?;
        Ok(wit::AccountPage {
            accounts: page.items.into_iter().map(Into::into).collect(),
            next: page.next,
        })
    }
}

impl<T: Entitlements> entitlements::Guest for T {
    fn list(
        call: wit::Call,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<entitlements::EntitlementPage, wit::CallError> {
        let page = Entitlements::list(&start::<T>(&call)?, cursor.as_deref(), limit.max(1))?;
        let entitlements = page
            .items
            .into_iter()
            .map(|item| entitlements::Entitlement {
                id: item.id,
                kind: item.kind,
                name: item.name,
            })
            .collect();
        Ok(entitlements::EntitlementPage {
            entitlements,
            next: page.next,
        })
    }

    fn members(
        call: wit::Call,
        entitlement_id: String,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<entitlements::HoldingPage, wit::CallError> {
        let page = start::<T>(&call)?.members(&entitlement_id, cursor.as_deref(), limit.max(1))?;
        let holdings = page.items.into_iter().map(Into::into).collect();
        Ok(entitlements::HoldingPage {
            holdings,
            next: page.next,
        })
    }

    fn held(call: wit::Call, account_id: String) -> Result<Vec<entitlements::Holding>, wit::CallError> {
        Ok(start::<T>(&call)?
            .held(&account_id)?
            .into_iter()
            .map(Into::into)
            .collect())
    }

    fn grant(
        call: wit::Call,
        write: wit::Write,
        account_id: String,
        entitlement_id: String,
        parameters: Option<String>,
    ) -> Result<(), wit::CallError> {
        let parameters = parameters
            .as_deref()
            .map(|text| parse_json("parameters", text))
            .transpose()?;
        let connector = start::<T>(&call)?;
        Ok(connector.grant(&write.into(), &account_id, &entitlement_id, parameters.as_ref())?)
    }

    fn revoke(
        call: wit::Call,
        write: wit::Write,
        account_id: String,
        entitlement_id: String,
    ) -> Result<(), wit::CallError> {
        Ok(start::<T>(&call)?.revoke(&write.into(), &account_id, &entitlement_id)?)
    }
}

fn start<T: Connector>(call: &wit::Call) -> Result<T, Error> {
    crate::deadline::start(call.deadline_ms);
    T::new(parse_settings::<T>(&call.settings)?)
}

fn parse_settings<T: Connector>(text: &str) -> Result<T::Settings, Error> {
    let mut parser = serde_json::Deserializer::from_str(text);
    let settings = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
        let field = error.path().to_string();
        let place = if field == "." {
            "settings".to_owned()
        } else {
            format!("settings: `{field}`")
        };
        let why = error.into_inner().to_string();
        // The line and column are those of a document nobody wrote by hand.
        let why = why.split(" at line ").next().unwrap_or_default().to_owned();
        Error::misconfigured(format!("{place}: {why}"))
    })?;
    parser
        .end()
        .map_err(|_| Error::misconfigured("settings: there is text after the document"))?;
    Ok(settings)
}

fn parse_attributes(what: &str, text: &str) -> Result<Attributes, Error> {
    Attributes::from_text(text).map_err(|why| Error::invalid(format!("{what}: {why}")))
}

fn parse_json(what: &str, text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|why| Error::invalid(format!("{what}: {why}")))
}

fn parse_update(update: wit::AccountUpdate) -> Result<UpdateRequest, Error> {
    let changes = update
        .changes
        .into_iter()
        .map(parse_change)
        .collect::<Result<_, _>>()?;
    let desired = parse_attributes("desired", &update.desired)?;
    Ok(UpdateRequest {
        changes,
        desired,
        version: update.version,
    })
}

fn parse_change(change: wit::AttributeChange) -> Result<(String, Change), Error> {
    let values = |text: Option<String>| match text {
        None => Ok(Vec::new()),
        Some(text) => match parse_json("changes", &text)? {
            Value::Array(values) => Ok(values),
            _ => Err(Error::invalid(format!(
                "the change of `{}` adds or removes what is not a list",
                change.name
            ))),
        },
    };
    let parsed = match (change.replace, change.add, change.remove) {
        (Some(text), None, None) => Change::Replace(parse_json("changes", &text)?),
        (None, add, remove) if add.is_some() || remove.is_some() => Change::Members {
            add: values(add)?,
            remove: values(remove)?,
        },
        _ => {
            let why = "must either replace, or add and remove";
            return Err(Error::invalid(format!("the change of `{}` {why}", change.name)));
        }
    };
    Ok((change.name, parsed))
}

impl From<wit::Write> for Write {
    fn from(write: wit::Write) -> Self {
        Self {
            intent_id: write.intent_id,
            attempt: write.attempt,
            reason: write.reason,
        }
    }
}

impl From<Holding> for entitlements::Holding {
    fn from(holding: Holding) -> Self {
        Self {
            account_id: holding.account,
            entitlement_id: holding.entitlement,
            parameters: holding.parameters.map(|value| value.to_string()),
        }
    }
}
