//! What comes back.

use serde::de::DeserializeOwned;

use super::find_header;
use crate::Error;

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers, in the order received.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
    /// What was asked, for messages.
    pub(super) request: String,
    pub(super) reads_only: bool,
}

impl Response {
    /// An answer, for tests and transports.
    pub fn new(status: u16, headers: Vec<(String, String)>, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers,
            body: body.into(),
            request: String::new(),
            reads_only: false,
        }
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Itself when the status is 2xx, else [`Error::from_response`].
    pub fn ok(self) -> Result<Self, Error> {
        if self.is_success() {
            Ok(self)
        } else {
            Err(Error::from_response(&self))
        }
    }

    /// `None` for 404 and 410, itself when the status is 2xx, else [`Error::from_response`].
    pub fn found(self) -> Result<Option<Self>, Error> {
        match self.status {
            404 | 410 => Ok(None),
            _ => self.ok().map(Some),
        }
    }

    /// As [`Response::ok`], naming the account that is in the way when the status is 409.
    pub fn ok_or_conflict(self, existing_id: &str) -> Result<Self, Error> {
        let conflict = self.status == 409;
        self.ok().map_err(|error| {
            if conflict {
                error.existing(existing_id)
            } else {
                error
            }
        })
    }

    /// The first header with this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// The body as JSON. After a 2xx to a write an unreadable body is an error whose effect is `applied`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let mut parser = serde_json::Deserializer::from_slice(&self.body);
        let read = serde_path_to_error::deserialize(&mut parser).map_err(|error| error.to_string());
        // What comes after the document would be ignored: an answer cut and joined on its way reads as the wrong one.
        let whole = read.and_then(|read| parser.end().map(|()| read).map_err(|error| error.to_string()));
        whole.map_err(|error| {
            let kind = crate::ErrorKind::Other("unreadable-answer".to_owned());
            let error = Error::new(
                kind,
                format!("{}: the answer cannot be read: {error}", self.request),
            );
            if self.is_success() && !self.reads_only {
                error.effect_applied()
            } else {
                error
            }
        })
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_document() {
        let read = |body: &str| Response::new(200, vec![], body).json::<serde_json::Value>();
        assert_eq!(read(" {\"id\":\"7\"}\n").unwrap()["id"], "7");
        for body in ["{\"id\":\"7\"}{\"id\":\"8\"}", "{} x", ""] {
            let message = read(body).unwrap_err().to_string();
            assert!(message.contains("cannot be read"), "{body}: {message}");
        }
    }
}
