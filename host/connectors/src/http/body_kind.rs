//! How a server reads the body of a request.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode;
use serde_json::Value;

/// By this field, in the query or the body, some servers take a request for one with another method.
const METHOD_FIELD: &str = "_method";

/// How a server reads a body.
#[derive(Clone, Copy)]
pub(super) enum BodyKind {
    /// `application/json`, or `…+json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
}

impl BodyKind {
    /// What the one `Content-Type` says. A body without one could be read in any way.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(CONTENT_TYPE).iter();
        let (Some(only), None) = (given.next(), given.next()) else {
            return None;
        };
        let only = only.to_str().ok()?.to_ascii_lowercase();
        let mut parts = only.split(';').map(str::trim);
        let kind = parts.next()?;
        let charset = parts.find_map(|parameter| parameter.strip_prefix("charset="));
        if charset.is_some_and(|charset| charset.trim_matches('"') != "utf-8") {
            return None;
        }
        match kind {
            "application/json" => Some(Self::Json),
            "application/x-www-form-urlencoded" => Some(Self::Form),
            other if other.starts_with("application/") && other.ends_with("+json") => Some(Self::Json),
            _ => None,
        }
    }
}

/// Whether a field tells of another method than the request's own.
pub(super) fn names_method(headers: &HeaderMap, query: Option<&str>, body: &[u8]) -> bool {
    has_field(query.unwrap_or_default().as_bytes())
        || match BodyKind::of(headers) {
            Some(BodyKind::Form) => has_field(body),
            Some(BodyKind::Json) => {
                serde_json::from_slice::<Value>(body).is_ok_and(|document| has_member(&document))
            }
            // Such a body is refused where it matters.
            None => false,
        }
}

/// Whether a query or a form has the field, however it is written.
fn has_field(pairs: &[u8]) -> bool {
    // Some servers take `;` for `&`.
    pairs.split(|&byte| byte == b'&' || byte == b';').any(|pair| {
        let written = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
        let spaced: Vec<u8> = written
            .iter()
            .map(|&byte| if byte == b'+' { b' ' } else { byte })
            .collect();
        is_method_field(&percent_decode(&spaced).collect::<Vec<u8>>())
    })
}

fn has_member(document: &Value) -> bool {
    document
        .as_object()
        .is_some_and(|members| members.keys().any(|name| is_method_field(name.as_bytes())))
}

/// Whether a server may take a field's name for that one. PHP leaves spaces before it out, reads ` `, `.` and `[` as `_`, and ends it at
/// `[…]` and at a zero byte.
fn is_method_field(name: &[u8]) -> bool {
    let trimmed = name.trim_ascii();
    let read: Vec<u8> = trimmed
        .iter()
        .map(|byte| match byte {
            b' ' | b'.' | b'[' | b'+' => b'_',
            other => other.to_ascii_lowercase(),
        })
        .collect();
    let wanted = METHOD_FIELD.as_bytes();
    // A space in front is left out or read as `_`.
    let spaced = trimmed.len() < name.len() && read == wanted[1..];
    let ends = || matches!(trimmed.get(wanted.len()), None | Some(b'[' | 0));
    spaced || (read.starts_with(wanted) && ends())
}
