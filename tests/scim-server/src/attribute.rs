//! Attribute names: found without regard to case, perhaps behind the URN of an extension (RFC 7643, section 2.1).

use serde_json::{Map, Value};

use crate::error::ScimError;

/// The URNs whose attributes stand at the top of a resource.
const CORE_SCHEMAS: [&str; 2] = [
    "urn:ietf:params:scim:schemas:core:2.0:user",
    "urn:ietf:params:scim:schemas:core:2.0:group",
];

/// Names an attribute, or one part of it: `name.familyName`, `urn:…:User:department`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttributeName {
    /// The extension's URN.
    pub(crate) extension: Option<String>,
    /// The attribute; empty when the extension itself is meant.
    pub(crate) attribute: String,
    /// One part of it.
    pub(crate) part: Option<String>,
}

impl AttributeName {
    /// Reads a name.
    pub(crate) fn parse(text: &str) -> Result<Self, ScimError> {
        let wrong = || ScimError::bad("invalidPath", format!("`{text}` is not the name of an attribute"));
        let (extension, rest) = split_urn(text);
        let (attribute, part) = match rest.split_once('.') {
            Some((attribute, part)) => (attribute, Some(part.to_owned())),
            None => (rest, None),
        };
        let named = is_name(attribute) || (attribute.is_empty() && extension.is_some() && part.is_none());
        if named && part.as_deref().is_none_or(is_name) {
            Ok(Self {
                extension,
                attribute: attribute.to_owned(),
                part,
            })
        } else {
            Err(wrong())
        }
    }

    /// Whether strings are compared exactly here (`caseExact` in RFC 7643): ids are, names are not.
    pub(crate) fn is_case_exact(&self) -> bool {
        let is = |name: &str| self.attribute.eq_ignore_ascii_case(name);
        is("id") || is("externalId") || is("members") || is("groups") || is("manager") || is("meta")
    }

    /// The values this name reaches; every element of a multi-valued attribute counts.
    pub(crate) fn values<'a>(&self, resource: &'a Map<String, Value>) -> Vec<&'a Value> {
        let holder = match &self.extension {
            None => Some(resource),
            Some(urn) => get(resource, urn).and_then(Value::as_object),
        };
        let Some(value) = holder.and_then(|holder| get(holder, &self.attribute)) else {
            return Vec::new();
        };
        let elements = match value {
            Value::Array(elements) => elements.iter().collect(),
            Value::Null => Vec::new(),
            single => vec![single],
        };
        let Some(part) = self.part.as_deref() else {
            return elements;
        };
        elements
            .into_iter()
            .filter_map(|element| element.as_object().and_then(|element| get(element, part)))
            .collect()
    }
}

/// Splits `urn:…:2.0:User:department` into URN and rest. The URN of a core schema is the same as none.
fn split_urn(text: &str) -> (Option<String>, &str) {
    if !text.to_ascii_lowercase().starts_with("urn:") {
        return (None, text);
    }
    if CORE_SCHEMAS.iter().any(|core| text.eq_ignore_ascii_case(core)) || is_whole_urn(text) {
        return (Some(text.to_owned()), "");
    }
    match text.rsplit_once(':') {
        Some((urn, rest)) if CORE_SCHEMAS.iter().any(|core| urn.eq_ignore_ascii_case(core)) => (None, rest),
        Some((urn, rest)) => (Some(urn.to_owned()), rest),
        None => (None, text),
    }
}

/// A URN ends with a version and a resource type: `…:2.0:User`.
fn is_whole_urn(text: &str) -> bool {
    let mut parts = text.rsplit(':');
    let kind = parts.next().unwrap_or_default();
    let version = parts.next().unwrap_or_default();
    is_name(kind) && version.contains('.') && version.chars().all(|c| c.is_ascii_digit() || c == '.')
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$'))
}

/// The key under which an object holds `name`, whatever its case.
pub(crate) fn key_of(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()
}

/// The value an object holds under `name`, whatever its case.
pub(crate) fn get<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    #[test]
    fn names_are_split_into_extension_attribute_and_part() {
        let name = AttributeName::parse(&format!("{ENTERPRISE}:manager.value")).unwrap();
        assert_eq!(name.extension.as_deref(), Some(ENTERPRISE));
        assert_eq!(
            (name.attribute.as_str(), name.part.as_deref()),
            ("manager", Some("value"))
        );
        let name = AttributeName::parse("urn:ietf:params:scim:schemas:core:2.0:User:userName").unwrap();
        assert_eq!((name.extension, name.attribute.as_str()), (None, "userName"));
        let name = AttributeName::parse(ENTERPRISE).unwrap();
        assert_eq!(
            (name.extension.as_deref(), name.attribute.as_str()),
            (Some(ENTERPRISE), "")
        );
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "a b", "a..b", ".a", "a.", "1a", "a.b.c", "emails["] {
            assert!(AttributeName::parse(text).is_err(), "{text:?}");
        }
    }
}
