//! A small blocking HTTP client that speaks JSON.
//!
//! ```no_run
//! # fn main() -> Result<(), usher_sdk::Error> {
//! use usher_sdk::http::Http;
//! let answer = Http::post("https://api.example.com/users")
//!     .json(&serde_json::json!({ "login": "ada" }))
//!     .send()?     // could not be sent, or no answer
//!     .ok()?;      // an answer, but not 2xx
//! let id: String = answer.json::<serde_json::Value>()?["id"].to_string();
//! # Ok(()) }
//! ```
//! Credentials are not the connector's business: the host adds them to requests that the operator granted. Redirects are
//! not followed. A request may take what is left of the call. An error about a request that may change something says
//! `unknown` unless it is certain that the system never saw it.

mod response;
mod status;
#[cfg(target_family = "wasm")]
mod wasi;

pub use response::Response;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Effect, Error};

/// Longest answer read, in bytes: a page of records is far smaller, and an instance has 64 MiB by default.
#[cfg(target_family = "wasm")]
pub(crate) const MAX_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

/// What RFC 3986 lets stand in a path segment or a query without meaning anything.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Text as one segment of a path (or one part of a query): everything that could mean something is encoded.
pub fn encode(text: &str) -> String {
    match text {
        // Dots alone would be taken for "this" and "parent" folder, encoded or not, so that no id can be one.
        "." => "%252E".to_owned(),
        ".." => "%252E%252E".to_owned(),
        text => utf8_percent_encode(text, UNRESERVED).to_string(),
    }
}

/// Where requests begin.
#[derive(Debug)]
pub struct Http;

impl Http {
    /// A GET request.
    pub fn get(url: impl Into<String>) -> Request {
        Request::new("GET", url)
    }

    /// A POST request.
    pub fn post(url: impl Into<String>) -> Request {
        Request::new("POST", url)
    }

    /// A PUT request.
    pub fn put(url: impl Into<String>) -> Request {
        Request::new("PUT", url)
    }

    /// A PATCH request.
    pub fn patch(url: impl Into<String>) -> Request {
        Request::new("PATCH", url)
    }

    /// A DELETE request.
    pub fn delete(url: impl Into<String>) -> Request {
        Request::new("DELETE", url)
    }
}

/// A request that is being put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, in capitals.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// The headers, in the order given.
    pub headers: Vec<(String, String)>,
    /// The body, if there is one.
    pub body: Option<Vec<u8>>,
    reads_only: bool,
}

impl Request {
    /// A request with any method.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        let reads_only = matches!(method, "GET" | "HEAD" | "OPTIONS");
        Self {
            method: method.to_owned(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
            reads_only,
        }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With a parameter added to the query of the URL.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        let (name, value) = (
            utf8_percent_encode(name, UNRESERVED),
            utf8_percent_encode(value.as_ref(), UNRESERVED),
        );
        self.url = format!("{}{separator}{name}={value}", self.url);
        self
    }

    /// With a JSON body, as `application/json` unless a `Content-Type` was given before.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        if self.find_header("content-type").is_none() {
            self = self.header("Content-Type", "application/json");
        }
        // Plain data always serialises; a value that does not is sent as null and refused by the system.
        self.body = Some(serde_json::to_vec(body).unwrap_or_else(|_| b"null".to_vec()));
        self
    }

    /// With a body of any kind.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self.header("Content-Type", content_type)
    }

    /// This request changes nothing whatever its method (a search by POST, say), so a failure leaves no doubt.
    #[must_use]
    pub fn reads_only(mut self) -> Self {
        self.reads_only = true;
        self
    }

    /// Sends it and reads the whole answer. Any status is an answer: see [`Response::ok`].
    pub fn send(self) -> Result<Response, Error> {
        let timeout = crate::time_left();
        if timeout.is_some_and(|left| left.is_zero()) {
            return Err(Error::timeout(format!(
                "{}: no time left in this call",
                self.name()
            )));
        }
        let mut response = transmit(&self, timeout).map_err(|failure| self.error(&failure))?;
        response.reads_only = self.reads_only;
        response.request = self.name();
        Ok(response)
    }

    /// Sends it, wants a 2xx, and reads the JSON: `send()?.ok()?.json()`.
    pub fn fetch<T: DeserializeOwned>(self) -> Result<T, Error> {
        self.send()?.ok()?.json()
    }

    /// The first header with this name, in any case.
    pub fn find_header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// The method and the path: the query may hold what does not belong into messages.
    fn name(&self) -> String {
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        let path = path.split_once("://").map_or(path, |(_, rest)| rest);
        let path = path.find('/').map_or("/", |at| &path[at..]);
        crate::error::quoted(&format!("{} {path}", self.method))
    }

    fn error(&self, failure: &Failure) -> Error {
        let message = format!("{}: {}", self.name(), failure.message);
        let error = match failure.kind {
            FailureKind::Denied => Error::misconfigured(message),
            FailureKind::Timeout => Error::timeout(message),
            FailureKind::Unreachable | FailureKind::Broken => Error::unavailable(message),
            FailureKind::Malformed => Error::invalid(message),
        };
        match failure.effect {
            Effect::Unknown if self.reads_only => error,
            effect => error.effect(effect),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    /// [`Effect::None`] when it is certain that nothing was sent.
    pub effect: Effect,
    /// One line for people.
    pub message: String,
}

/// What kind of [`Failure`] it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The host did not let it out: no grant covers it.
    Denied,
    /// No answer in time.
    Timeout,
    /// No connection.
    Unreachable,
    /// The connection broke, or the answer made no sense.
    Broken,
    /// The request itself is not one (a URL without a host, a header with a line break).
    Malformed,
}

impl Failure {
    /// Nothing was sent.
    pub fn before_sending(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            effect: Effect::None,
            message: message.into(),
        }
    }

    /// The request may have arrived.
    pub fn after_sending(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            effect: Effect::Unknown,
            message: message.into(),
        }
    }
}

fn find_header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

#[cfg(target_family = "wasm")]
fn transmit(request: &Request, timeout: Option<std::time::Duration>) -> Result<Response, Failure> {
    wasi::transmit(request, timeout)
}

#[cfg(not(target_family = "wasm"))]
fn transmit(request: &Request, _timeout: Option<std::time::Duration>) -> Result<Response, Failure> {
    crate::testing::transmit(request)
}
