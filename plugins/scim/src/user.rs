//! A SCIM user as an account with flat attributes, and back.

use usher_sdk::prelude::*;

pub(crate) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(crate) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Where an attribute is in the resource.
#[derive(Clone, Copy)]
enum Place {
    /// At the top.
    Top,
    /// Under `name`.
    Name,
    /// The value of the entry of `emails` that counts.
    Email,
    /// Under the enterprise extension.
    Enterprise,
    /// The value of the enterprise extension's `manager`.
    Manager,
}

/// The attributes, by name. Each is text.
const ATTRIBUTES: [(&str, Place); 9] = [
    ("userName", Place::Top),
    ("displayName", Place::Top),
    ("title", Place::Top),
    ("givenName", Place::Name),
    ("familyName", Place::Name),
    ("email", Place::Email),
    ("department", Place::Enterprise),
    ("employeeNumber", Place::Enterprise),
    ("manager", Place::Manager),
];

/// The attributes as the contract wants them described.
pub(crate) fn schema() -> Schema {
    ATTRIBUTES.iter().fold(Schema::new(), |schema, (name, place)| {
        let attribute = match (*name, place) {
            ("userName", _) => Attribute::text().required().unique().ignore_case(),
            (_, Place::Email) => Attribute::text().ignore_case().describe("the work address"),
            (_, Place::Manager) => Attribute::text()
                .reference()
                .describe("the id of the manager's account"),
            (_, Place::Top | Place::Name | Place::Enterprise) => Attribute::text(),
        };
        schema.attribute(*name, attribute)
    })
}

/// The account in a user resource.
pub(crate) fn account(user: &Value, etag: Option<&str>) -> Result<Account, Error> {
    let Some(id) = user.get("id").and_then(text) else {
        return Err(Error::other(
            "unreadable-answer",
            "the answer holds a user without an id",
        ));
    };
    let mut account = Account::new(id);
    for (name, place) in ATTRIBUTES {
        let value = match place {
            Place::Top => user.get(name),
            Place::Name => user.get("name").and_then(|parts| parts.get(name)),
            Place::Email => email_entry(user).and_then(|(_, entry)| entry.get("value")),
            Place::Enterprise => user.get(ENTERPRISE).and_then(|extension| extension.get(name)),
            Place::Manager => user
                .get(ENTERPRISE)
                .and_then(|extension| extension.get("manager"))
                .map(|manager| {
                    // Some keep the bare id.
                    manager.get("value").unwrap_or(manager)
                }),
        };
        if let Some(value) = value.and_then(text) {
            account.attributes.set(name, value);
        }
    }
    if let Some(active) = user.get("active").and_then(truth) {
        account = account.status(active);
    }
    let version = etag
        .map(str::to_owned)
        .or_else(|| text(user.get("meta")?.get("version")?));
    Ok(account
        .version(version)
        .marker(user.get("externalId").and_then(text)))
}

/// The resource to create.
pub(crate) fn resource(attributes: &Attributes, external_id: Option<&str>) -> Result<Value, Error> {
    attributes.required_text("userName")?;
    let mut user = json!({ "active": true });
    let mut schemas = vec![USER];
    for (name, value) in attributes.iter() {
        let place = place(name)?;
        let value = checked(name, value)?;
        match place {
            Place::Top => user[name] = value,
            Place::Name => user["name"][name] = value,
            Place::Email => user["emails"] = json!([work_email(&value)]),
            Place::Enterprise => user[ENTERPRISE][name] = value,
            Place::Manager => user[ENTERPRISE]["manager"] = json!({ "value": value }),
        }
    }
    if user.get(ENTERPRISE).is_some() {
        schemas.push(ENTERPRISE);
    }
    user["schemas"] = json!(schemas);
    if let Some(external_id) = external_id {
        user["externalId"] = json!(external_id);
    }
    Ok(user)
}

/// Whether the operations for these changes depend on what the user has now.
pub(crate) fn needs_current(request: &UpdateRequest) -> bool {
    request.changes.iter().any(|(name, _)| name == "email")
}

/// The operations of a PATCH that make the changes and nothing else. `current` is the resource as it is, where
/// [`needs_current`] asks for it.
pub(crate) fn operations(request: &UpdateRequest, current: Option<&Value>) -> Result<Vec<Value>, Error> {
    let mut operations = Vec::new();
    for (name, value) in request.new_values() {
        let place = place(name)?;
        if name == "userName" && value.is_null() {
            return Err(Error::invalid(
                "attribute `userName` is required and must not be empty",
            ));
        }
        let value = checked(name, value)?;
        let (path, value) = match place {
            Place::Top => (name.to_owned(), value),
            Place::Name => (format!("name.{name}"), value),
            Place::Enterprise => (format!("{ENTERPRISE}:{name}"), value),
            Place::Manager if value.is_null() => (format!("{ENTERPRISE}:manager"), value),
            Place::Manager => (format!("{ENTERPRISE}:manager"), json!({ "value": value })),
            Place::Email => {
                operations.extend(email_operation(current, &value));
                continue;
            }
        };
        operations.push(if value.is_null() {
            json!({ "op": "remove", "path": path })
        } else {
            json!({ "op": "replace", "path": path, "value": value })
        });
    }
    Ok(operations)
}

/// Replacing a value of an entry that is not there is an error in some systems and nothing in others, so an absent
/// entry is added whole.
fn email_operation(current: Option<&Value>, value: &Value) -> Option<Value> {
    let selector = current.and_then(email_entry).map(|(selector, _)| selector);
    match (selector, value) {
        (None, Value::Null) => None,
        (Some(selector), Value::Null) => {
            Some(json!({ "op": "remove", "path": format!("emails[{selector}]") }))
        }
        (Some(selector), value) => {
            Some(json!({ "op": "replace", "path": format!("emails[{selector}].value"), "value": value }))
        }
        (None, value) => Some(json!({ "op": "add", "path": "emails", "value": [work_email(value)] })),
    }
}

fn work_email(value: &Value) -> Value {
    json!({ "value": value, "type": "work", "primary": true })
}

/// The entry of `emails` that counts, and the filter that names it: the work address, else the primary one.
fn email_entry(user: &Value) -> Option<(&'static str, &Value)> {
    let emails = user.get("emails")?.as_array()?;
    let is_work = |entry: &&Value| {
        entry
            .get("type")
            .and_then(Value::as_str)
            .is_some_and(|kind| kind.eq_ignore_ascii_case("work"))
    };
    let is_primary = |entry: &&Value| entry.get("primary").and_then(truth) == Some(true);
    let work = emails
        .iter()
        .find(is_work)
        .map(|entry| ("type eq \"work\"", entry));
    work.or_else(|| {
        emails
            .iter()
            .find(is_primary)
            .map(|entry| ("primary eq true", entry))
    })
}

fn place(name: &str) -> Result<Place, Error> {
    let known = ATTRIBUTES.iter().find(|(known, _)| *known == name);
    let Some((_, place)) = known else {
        return Err(Error::invalid(format!(
            "attribute `{name}` is not one this connector knows"
        )));
    };
    Ok(*place)
}

fn checked(name: &str, value: &Value) -> Result<Value, Error> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::String(text) if text.is_empty() => Ok(Value::Null),
        Value::String(_) => Ok(value.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(Error::invalid(format!("attribute `{name}` must be text")))
        }
    }
}

/// Text, or a number where text belongs; empty is absent.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A truth value, or the text of one.
pub(crate) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        Value::String(_) | Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
