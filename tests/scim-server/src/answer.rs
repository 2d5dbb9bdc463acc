//! What a request asks for behind its `?`, and what it is answered with.

use serde_json::{Map, Value, json};

use crate::error::ScimError;
use crate::requests::PAGE_MAX;

/// The query parameters of RFC 7644, section 3.4.2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// Which resources.
    pub(crate) filter: Option<String>,
    /// Counted from 1; 0 means 1.
    pub(crate) start_index: usize,
    /// How many at most.
    pub(crate) count: Option<usize>,
    /// Only these attributes (and `id`).
    pub(crate) attributes: Option<Vec<String>>,
    /// All but these.
    pub(crate) excluded: Vec<String>,
}

impl Query {
    /// Reads decoded parameters.
    pub(crate) fn read(parameters: &[(String, String)]) -> Result<Self, ScimError> {
        let mut query = Self::default();
        for (name, value) in parameters {
            let number = || {
                let number: i64 = value.parse().map_err(|_| {
                    ScimError::bad(
                        "invalidValue",
                        format!("`{name}` is a whole number, not `{value}`"),
                    )
                })?;
                Ok(usize::try_from(number).unwrap_or(0))
            };
            let list = || value.split(',').map(|name| name.trim().to_owned()).collect();
            match name.as_str() {
                "filter" => query.filter = Some(value.clone()),
                "startIndex" => query.start_index = number()?,
                "count" => query.count = Some(number()?),
                "attributes" => query.attributes = Some(list()),
                "excludedAttributes" => query.excluded = list(),
                "sortBy" | "sortOrder" => return Err(ScimError::new(501, "sorting is not offered here")),
                _ => {}
            }
        }
        Ok(query)
    }

    /// The attributes asked for; `id` always.
    pub(crate) fn selected(&self, resource: &Map<String, Value>) -> Map<String, Value> {
        let is_in = |names: &[String], key: &str| names.iter().any(|name| names_key(name, key));
        let keep = |key: &str| match &self.attributes {
            Some(names) => is_in(names, key) || key == "schemas",
            None => !is_in(&self.excluded, key),
        };
        let kept = resource
            .iter()
            .filter(|(key, _)| key.as_str() == "id" || keep(key));
        kept.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// Whether `name` (`name.familyName`, `urn:…:User:department`) asks for something in the top-level member `key`.
fn names_key(name: &str, key: &str) -> bool {
    if key.starts_with("urn:") {
        return name.to_ascii_lowercase().starts_with(&key.to_ascii_lowercase());
    }
    let name = name.rsplit_once(':').map_or(name, |(_, last)| last);
    name.split('.')
        .next()
        .is_some_and(|first| first.eq_ignore_ascii_case(key))
}

/// What goes back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// `ETag`.
    pub(crate) etag: Option<String>,
    /// `Location`.
    pub(crate) location: Option<String>,
    /// The body.
    pub(crate) body: Option<Value>,
}

impl Answer {
    /// 200 with a body.
    pub(crate) fn ok(body: Value) -> Self {
        Self {
            status: 200,
            etag: None,
            location: None,
            body: Some(body),
        }
    }

    /// Nothing but a status.
    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            etag: None,
            location: None,
            body: None,
        }
    }
}

impl From<ScimError> for Answer {
    fn from(error: ScimError) -> Self {
        Self {
            status: error.status,
            etag: None,
            location: None,
            body: Some(error.body()),
        }
    }
}

/// What this server can do (RFC 7643, section 5).
pub(crate) fn configuration() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": PAGE_MAX},
        "changePassword": {"supported": false},
        "sort": {"supported": false},
        "etag": {"supported": true},
        "authenticationSchemes": [
            {"type": "oauthbearertoken", "name": "Bearer token", "description": "RFC 6750", "primary": true},
        ],
        "meta": {"resourceType": "ServiceProviderConfig", "location": "/ServiceProviderConfig"},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_chosen_by_name_part_or_urn() {
        let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let resource =
            json!({"id": "1", "userName": "a", "name": {"givenName": "A"}, "members": [], urn: {}});
        let resource = resource.as_object().unwrap();
        let keys = |parameters: &[(&str, &str)]| {
            let parameters: Vec<_> = parameters
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
            let query = Query::read(&parameters).unwrap();
            query.selected(resource).keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(
            keys(&[("attributes", "USERNAME,name.givenName")]),
            ["id", "name", "userName"]
        );
        assert_eq!(keys(&[("attributes", &format!("{urn}:department"))]), ["id", urn]);
        assert_eq!(
            keys(&[("excludedAttributes", "members, id")]),
            ["id", "name", urn, "userName"]
        );
    }

    #[test]
    fn a_count_that_is_no_number_is_refused() {
        assert_eq!(
            Query::read(&[("count".into(), "x".into())])
                .unwrap_err()
                .scim_type,
            Some("invalidValue")
        );
        assert_eq!(
            Query::read(&[("count".into(), "-5".into())]).unwrap().count,
            Some(0)
        );
    }
}
