//! SCIM errors (RFC 7644, section 3.12).

use serde_json::{Value, json};

/// The URN of an error answer.
const ERROR_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// What a request is answered with when it is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScimError {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The keyword of RFC 7644, table 9, where there is one.
    pub(crate) scim_type: Option<&'static str>,
    /// For people.
    pub(crate) detail: String,
}

impl ScimError {
    /// An error without a keyword.
    pub(crate) fn new(status: u16, detail: impl Into<String>) -> Self {
        Self {
            status,
            scim_type: None,
            detail: detail.into(),
        }
    }

    /// 400 with a keyword.
    pub(crate) fn bad(scim_type: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status: 400,
            scim_type: Some(scim_type),
            detail: detail.into(),
        }
    }

    /// 404.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(404, format!("there is no {what}"))
    }

    /// 409: somebody has this value already.
    pub(crate) fn uniqueness(detail: impl Into<String>) -> Self {
        Self {
            status: 409,
            scim_type: Some("uniqueness"),
            detail: detail.into(),
        }
    }

    /// The body.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({
            "schemas": [ERROR_SCHEMA],
            "status": self.status.to_string(),
            "detail": self.detail,
        });
        if let Some(keyword) = self.scim_type {
            body["scimType"] = keyword.into();
        }
        body
    }
}
