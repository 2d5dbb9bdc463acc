//! PATCH (RFC 7644, section 3.5.2): applied to a copy, so that a request is done whole or not at all.

use serde_json::{Map, Value};

use crate::attribute::{AttributeName, get, key_of};
use crate::error::ScimError;
use crate::filter::Filter;

/// The URN of a PATCH request.
const PATCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// Attributes the server alone writes.
const READ_ONLY: [&str; 4] = ["id", "meta", "groups", "schemas"];
/// Attributes that are lists even while they have one value.
const MULTI_VALUED: [&str; 9] = [
    "emails",
    "members",
    "phoneNumbers",
    "addresses",
    "ims",
    "photos",
    "roles",
    "entitlements",
    "x509Certificates",
];

/// Applies every operation of a request body, or none.
pub(crate) fn apply(resource: &Map<String, Value>, body: &Value) -> Result<Map<String, Value>, ScimError> {
    let syntax = |detail: &str| ScimError::bad("invalidSyntax", detail);
    let body = body
        .as_object()
        .ok_or_else(|| syntax("the body is not a JSON object"))?;
    let schemas = get(body, "schemas")
        .and_then(Value::as_array)
        .ok_or_else(|| syntax("`schemas` is missing"))?;
    if !schemas.iter().any(|urn| urn == PATCH_SCHEMA) {
        return Err(syntax("`schemas` does not name PatchOp"));
    }
    let operations = get(body, "Operations")
        .and_then(Value::as_array)
        .ok_or_else(|| syntax("`Operations` is missing"))?;
    let mut patched = resource.clone();
    for operation in operations {
        apply_one(&mut patched, operation)?;
    }
    Ok(patched)
}

fn apply_one(resource: &mut Map<String, Value>, operation: &Value) -> Result<(), ScimError> {
    let operation = operation
        .as_object()
        .ok_or_else(|| ScimError::bad("invalidSyntax", "an operation is not an object"))?;
    let verb = get(operation, "op")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let path = match get(operation, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) => Some(Path::parse(path)?),
        Some(_) => return Err(ScimError::bad("invalidPath", "`path` is not a text")),
    };
    let value = get(operation, "value");
    match (verb.as_str(), path) {
        ("remove", None) => Err(ScimError::bad("noTarget", "`remove` needs a path")),
        // Clients that send the members to remove as a value would lose the whole group on a lenient server.
        ("remove", Some(_)) if value.is_some_and(|value| !value.is_null()) => Err(ScimError::bad(
            "invalidValue",
            "`remove` takes no value; name the element in the path",
        )),
        ("remove", Some(path)) => remove(resource, &path),
        ("add" | "replace", path) => {
            let value = value.ok_or_else(|| ScimError::bad("invalidValue", "`value` is missing"))?;
            let how = if verb == "add" { How::Add } else { How::Replace };
            match path {
                Some(path) => set(resource, &path, value, how),
                None => set_each(resource, value, how),
            }
        }
        (other, _) => Err(ScimError::bad(
            "invalidSyntax",
            format!("`{other}` is not an operation"),
        )),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Add,
    Replace,
}

/// Where an operation applies: `attribute`, `attribute.part`, `attribute[filter]`, `attribute[filter].part`.
struct Path {
    name: AttributeName,
    filter: Option<Filter>,
}

impl Path {
    fn parse(text: &str) -> Result<Self, ScimError> {
        let path = match text.split_once('[') {
            None => Self {
                name: AttributeName::parse(text)?,
                filter: None,
            },
            Some((attribute, rest)) => {
                let (filter, after) = rest
                    .rsplit_once(']')
                    .ok_or_else(|| ScimError::bad("invalidPath", format!("`{text}` lacks its `]`")))?;
                let name = AttributeName::parse(&format!("{attribute}{after}"))?;
                Self {
                    name,
                    filter: Some(Filter::parse(filter)?),
                }
            }
        };
        if READ_ONLY
            .iter()
            .any(|name| path.name.attribute.eq_ignore_ascii_case(name))
        {
            return Err(ScimError::bad(
                "mutability",
                format!("`{}` is read-only", path.name.attribute),
            ));
        }
        Ok(path)
    }
}

fn set_each(resource: &mut Map<String, Value>, value: &Value, how: How) -> Result<(), ScimError> {
    let members = value
        .as_object()
        .ok_or_else(|| ScimError::bad("invalidValue", "without a path the value must be an object"))?;
    for (name, value) in members {
        if name.eq_ignore_ascii_case("schemas") {
            continue;
        }
        set(resource, &Path::parse(name)?, value, how)?;
    }
    Ok(())
}

fn set(resource: &mut Map<String, Value>, path: &Path, value: &Value, how: How) -> Result<(), ScimError> {
    let holder = holder_of(resource, &path.name)?;
    if path.name.attribute.is_empty() {
        return set_each(holder, value, how);
    }
    let key = key_of(holder, &path.name.attribute).unwrap_or_else(|| path.name.attribute.clone());
    match (&path.filter, &path.name.part) {
        (Some(filter), part) => set_elements(holder, &key, filter, part.as_deref(), value, how),
        (None, Some(part)) => {
            let slot = holder.entry(key).or_insert_with(|| Value::Object(Map::new()));
            match slot {
                Value::Object(complex) => put(complex, part, value),
                Value::Array(elements) => {
                    elements
                        .iter_mut()
                        .filter_map(Value::as_object_mut)
                        .for_each(|element| put(element, part, value));
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    return Err(ScimError::bad(
                        "invalidPath",
                        format!("`{}` has no parts", path.name.attribute),
                    ));
                }
            }
            Ok(())
        }
        (None, None) => {
            set_whole(holder, key, value, how);
            Ok(())
        }
    }
}

/// Sets an attribute: adds to a list, merges into a complex value, replaces the rest. `null` clears.
fn set_whole(holder: &mut Map<String, Value>, key: String, value: &Value, how: How) {
    match (holder.get_mut(&key), value) {
        (_, Value::Null) => {
            holder.remove(&key);
        }
        (Some(Value::Array(elements)), value) if how == How::Add => add_elements(elements, value),
        (Some(Value::Object(complex)), Value::Object(parts)) => {
            parts.iter().for_each(|(part, value)| put(complex, part, value));
        }
        (_, value) => {
            let is_list = MULTI_VALUED.iter().any(|name| key.eq_ignore_ascii_case(name));
            let value = if is_list && !value.is_array() {
                Value::Array(vec![value.clone()])
            } else {
                value.clone()
            };
            holder.insert(key, value);
        }
    }
}

fn set_elements(
    holder: &mut Map<String, Value>,
    key: &str,
    filter: &Filter,
    part: Option<&str>,
    value: &Value,
    how: How,
) -> Result<(), ScimError> {
    let slot = holder.entry(key).or_insert_with(|| Value::Array(Vec::new()));
    let elements = slot.as_array_mut().ok_or_else(|| {
        ScimError::bad(
            "invalidPath",
            format!("`{key}` has one value: a filter selects nothing"),
        )
    })?;
    let mut found = false;
    for element in elements
        .iter_mut()
        .filter_map(Value::as_object_mut)
        .filter(|element| filter.matches(element))
    {
        found = true;
        change_element(element, part, value)?;
    }
    if found {
        return Ok(());
    }
    // A `replace` needs its target; an `add` makes the element the filter describes.
    match filter.as_element() {
        Some(mut element) if how == How::Add => {
            change_element(&mut element, part, value)?;
            elements.push(Value::Object(element));
            Ok(())
        }
        _ => Err(ScimError::bad(
            "noTarget",
            format!("no element of `{key}` matches the filter"),
        )),
    }
}

fn change_element(
    element: &mut Map<String, Value>,
    part: Option<&str>,
    value: &Value,
) -> Result<(), ScimError> {
    match (part, value) {
        (Some(part), value) => put(element, part, value),
        (None, Value::Object(parts)) => parts.iter().for_each(|(part, value)| put(element, part, value)),
        (None, _) => {
            return Err(ScimError::bad(
                "invalidValue",
                "the value of an element must be an object",
            ));
        }
    }
    Ok(())
}

fn remove(resource: &mut Map<String, Value>, path: &Path) -> Result<(), ScimError> {
    let holder = holder_of(resource, &path.name)?;
    let Some(key) = key_of(holder, &path.name.attribute) else {
        return Ok(());
    };
    match (&path.filter, path.name.part.as_deref(), holder.get_mut(&key)) {
        (Some(filter), None, Some(Value::Array(elements))) => {
            elements.retain(|element| !element.as_object().is_some_and(|element| filter.matches(element)));
            if elements.is_empty() {
                holder.remove(&key);
            }
        }
        (filter, Some(part), Some(Value::Array(elements))) => {
            let chosen =
                |element: &Map<String, Value>| filter.as_ref().is_none_or(|filter| filter.matches(element));
            for element in elements
                .iter_mut()
                .filter_map(Value::as_object_mut)
                .filter(|element| chosen(element))
            {
                put(element, part, &Value::Null);
            }
        }
        (None, Some(part), Some(Value::Object(complex))) => put(complex, part, &Value::Null),
        (None, None, _) => {
            holder.remove(&key);
        }
        (Some(_) | None, _, _) => {
            return Err(ScimError::bad(
                "invalidPath",
                format!("`{key}` has nothing the path could select"),
            ));
        }
    }
    Ok(())
}

/// The object the attribute stands in: the resource, or its extension (made when absent).
fn holder_of<'a>(
    resource: &'a mut Map<String, Value>,
    name: &AttributeName,
) -> Result<&'a mut Map<String, Value>, ScimError> {
    let Some(urn) = &name.extension else {
        return Ok(resource);
    };
    let key = key_of(resource, urn).unwrap_or_else(|| urn.clone());
    resource
        .entry(key)
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
        .ok_or_else(|| ScimError::bad("invalidPath", format!("`{urn}` does not hold attributes")))
}

/// Sets one part; `null` takes it away.
fn put(object: &mut Map<String, Value>, name: &str, value: &Value) {
    let key = key_of(object, name).unwrap_or_else(|| name.to_owned());
    if value.is_null() {
        object.remove(&key);
    } else {
        object.insert(key, value.clone());
    }
}

/// Adds what is not there yet. Elements are the same when their `value` (or all of them) is.
fn add_elements(elements: &mut Vec<Value>, value: &Value) {
    let added = match value {
        Value::Array(added) => added.as_slice(),
        single => std::slice::from_ref(single),
    };
    for new in added {
        let same = |old: &Value| match (old.get("value"), new.get("value")) {
            (Some(old_value), Some(new_value)) => {
                old_value == new_value && old.get("type") == new.get("type")
            }
            _ => old == new,
        };
        if elements.iter().any(same) {
            continue;
        }
        if new.get("primary") == Some(&Value::Bool(true)) {
            elements
                .iter_mut()
                .filter_map(Value::as_object_mut)
                .for_each(|old| {
                    old.remove("primary");
                });
        }
        elements.push(new.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn patched(resource: &Value, operations: &Value) -> Result<Value, ScimError> {
        let body = json!({"schemas": [PATCH_SCHEMA], "Operations": operations});
        apply(resource.as_object().unwrap(), &body).map(Value::Object)
    }

    #[test]
    fn add_and_replace_with_and_without_a_path() {
        let user = json!({"userName": "a", "name": {"givenName": "A", "familyName": "B"}, "active": true});
        let with_path = json!([{"op": "replace", "path": "active", "value": false},
            {"op": "Replace", "path": "name.givenName", "value": "Ä"},
            {"op": "add", "path": format!("{ENTERPRISE}:department"), "value": "Sales"}]);
        let without = json!([{"op": "replace", "value": {"Active": false, "name": {"givenName": "Ä"},
            ENTERPRISE: {"department": "Sales"}}}]);
        let expected = json!({"userName": "a", "name": {"givenName": "Ä", "familyName": "B"}, "active": false,
            ENTERPRISE: {"department": "Sales"}});
        assert_eq!(patched(&user, &with_path).unwrap(), expected);
        assert_eq!(patched(&user, &without).unwrap(), expected);
    }

    #[test]
    fn members_are_added_once_and_removed_one_by_one() {
        let group = json!({"displayName": "g", "members": [{"value": "usr-1"}]});
        let add =
            json!([{"op": "add", "path": "members", "value": [{"value": "usr-2"}, {"value": "usr-1"}]}]);
        let group = patched(&group, &add).unwrap();
        assert_eq!(group["members"], json!([{"value": "usr-1"}, {"value": "usr-2"}]));
        let remove = json!([{"op": "remove", "path": "members[value eq \"usr-1\"]"}]);
        let group = patched(&group, &remove).unwrap();
        assert_eq!(group["members"], json!([{"value": "usr-2"}]));
        assert_eq!(
            patched(&group, &remove).unwrap(),
            group,
            "removing who is not a member changes nothing"
        );
    }

    #[test]
    fn removing_members_by_a_value_is_refused_rather_than_emptying_the_group() {
        let group = json!({"displayName": "g", "members": [{"value": "usr-1"}, {"value": "usr-2"}]});
        let remove = json!([{"op": "remove", "path": "members", "value": [{"value": "usr-1"}]}]);
        assert_eq!(
            patched(&group, &remove).unwrap_err().scim_type,
            Some("invalidValue")
        );
    }

    #[test]
    fn an_element_is_reached_by_its_filter() {
        let user = json!({"emails": [{"type": "work", "value": "old@x"}, {"type": "home", "value": "h@x"}]});
        let path = "emails[type eq \"work\"].value";
        let replace = json!([{"op": "replace", "path": path, "value": "new@x"}]);
        let changed = patched(&user, &replace).unwrap();
        assert_eq!(changed["emails"][0], json!({"type": "work", "value": "new@x"}));
        assert_eq!(changed["emails"][1], user["emails"][1]);
        let absent = json!({"userName": "a"});
        assert_eq!(
            patched(&absent, &replace).unwrap_err().scim_type,
            Some("noTarget")
        );
        let add = json!([{"op": "add", "path": path, "value": "new@x"}]);
        assert_eq!(
            patched(&absent, &add).unwrap()["emails"],
            json!([{"type": "work", "value": "new@x"}])
        );
    }

    #[test]
    fn a_request_with_one_bad_operation_changes_nothing() {
        let user = json!({"userName": "a", "active": true});
        for (bad, keyword) in [
            (json!({"op": "remove"}), "noTarget"),
            (json!({"op": "replace", "path": "id", "value": "x"}), "mutability"),
            (json!({"op": "replace", "value": {"meta": {}}}), "mutability"),
            (json!({"op": "move", "path": "active"}), "invalidSyntax"),
            (json!({"op": "add", "path": "active"}), "invalidValue"),
            (
                json!({"op": "add", "path": "emails[type eq", "value": "x"}),
                "invalidPath",
            ),
            (
                json!({"op": "add", "path": "emails[type xx \"y\"]", "value": {}}),
                "invalidFilter",
            ),
            (
                json!({"op": "add", "path": "userName.part", "value": "x"}),
                "invalidPath",
            ),
            (json!({"op": "add", "value": "x"}), "invalidValue"),
            (json!("x"), "invalidSyntax"),
        ] {
            let operations = json!([{"op": "replace", "path": "active", "value": false}, bad]);
            assert_eq!(
                patched(&user, &operations).unwrap_err().scim_type,
                Some(keyword),
                "{operations}"
            );
        }
    }

    #[test]
    fn a_new_primary_element_takes_the_mark_from_the_old() {
        let user = json!({"emails": [{"type": "work", "value": "a@x", "primary": true}]});
        let add = json!([{"op": "add", "path": "emails", "value": {"type": "home", "value": "b@x", "primary": true}}]);
        let emails = patched(&user, &add).unwrap()["emails"].clone();
        assert_eq!(emails[0], json!({"type": "work", "value": "a@x"}));
        assert_eq!(emails[1]["primary"], json!(true));
    }
}
