//! The one way a connector fails: an error that says what to do next and what has been done.

use std::fmt;

/// What kind of error it is: decides what the host does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// The system will not take these values, ever.
    InvalidRequest,
    /// The credential is not accepted: pauses the target.
    AuthFailed,
    /// The credential lacks a right.
    Forbidden,
    /// There is no such account or entitlement.
    NotFound,
    /// Another account is in the way.
    Conflict,
    /// The record changed since the version given.
    VersionConflict,
    /// Asked too often.
    RateLimited,
    /// The system cannot be reached or is failing.
    Unavailable,
    /// No answer in time.
    Timeout,
    /// The system cannot do this.
    Unsupported,
    /// A rule of the system refused: a licence or quota used up, password rules.
    PolicyRejected,
    /// The settings are wrong.
    Misconfigured,
    /// Anything else, with a short code of the connector's own.
    Other(String),
}

/// What the failed call has done to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing was changed.
    None,
    /// The change was made all the same.
    Applied,
    /// It cannot be told; the host reads back before it writes again.
    Unknown,
}

/// An error. Its effect is [`Effect::None`] unless said otherwise: say so when a write may have arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What kind.
    pub kind: ErrorKind,
    /// What was done.
    pub effect: Effect,
    /// When to try again at the earliest, if the system said so.
    pub retry_after_ms: Option<u64>,
    /// On a conflict: the account that is in the way.
    pub existing_id: Option<String>,
    /// One line for people. Never holds a secret.
    pub message: String,
}

impl Error {
    /// An error of this kind that has changed nothing.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            effect: Effect::None,
            retry_after_ms: None,
            existing_id: None,
            message: message.into(),
        }
    }

    /// The system will not take these values, ever.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message)
    }

    /// The credential is not accepted.
    pub fn auth_failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::AuthFailed, message)
    }

    /// The credential lacks a right.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, message)
    }

    /// There is no such account or entitlement.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// Another account is in the way; name it with [`Error::existing`] where it is known.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// The record changed since the version given.
    pub fn version_conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::VersionConflict, message)
    }

    /// Asked too often.
    pub fn rate_limited(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::RateLimited, message)
    }

    /// The system cannot be reached or is failing.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// No answer in time.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, message)
    }

    /// The system cannot do this.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// A rule of the system refused.
    pub fn policy_rejected(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::PolicyRejected, message)
    }

    /// The settings are wrong.
    pub fn misconfigured(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Misconfigured, message)
    }

    /// Anything else, with a short code of your own (`lower-case-with-hyphens`).
    pub fn other(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Other(code.into()), message)
    }

    /// The change was made all the same.
    #[must_use]
    pub fn effect_applied(self) -> Self {
        self.effect(Effect::Applied)
    }

    /// It cannot be told whether the change was made.
    #[must_use]
    pub fn effect_unknown(self) -> Self {
        self.effect(Effect::Unknown)
    }

    /// With this effect.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// The system asked not to be called again before so many milliseconds.
    #[must_use]
    pub fn retry_after_ms(mut self, milliseconds: u64) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }

    /// The account that is in the way.
    #[must_use]
    pub fn existing(mut self, id: impl Into<String>) -> Self {
        self.existing_id = Some(id.into());
        self
    }

    /// The same error, saying first what was tried.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Longest text taken from a system's answer into a message, in characters: enough to recognise it, too short to
/// carry a record away.
const MAX_QUOTED_CHARS: usize = 200;

/// Text of a system made fit for one line of a message.
pub(crate) fn quoted(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_QUOTED_CHARS)
        .collect();
    if text.chars().nth(MAX_QUOTED_CHARS).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_one_short_line() {
        assert_eq!(quoted("a\r\nb\u{1b}[31m"), "a  b [31m");
        assert_eq!(quoted(&"ü".repeat(300)).chars().count(), MAX_QUOTED_CHARS + 1);
    }

    #[test]
    fn an_error_has_changed_nothing_unless_it_says_so() {
        assert_eq!(Error::timeout("t").effect, Effect::None);
        assert_eq!(
            Error::timeout("t").effect_unknown().context("GET /").message,
            "GET /: t"
        );
    }
}
