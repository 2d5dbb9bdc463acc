//! The SDK's types as those of the contract.

use crate::bindings::base::usher::connector::types as wit;
use crate::{Account, Capability, CheckReport, Creation, Effect, Error, ErrorKind, Status};

impl Capability {
    /// The word of the contract.
    pub fn word(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Delete => "delete",
        }
    }
}

impl From<Creation> for wit::Creation {
    fn from(creation: Creation) -> Self {
        match creation {
            Creation::Marker => Self::Marker,
            Creation::ClientId(attribute) => Self::ClientId(attribute),
            Creation::UniqueKey(attributes) => Self::UniqueKey(attributes),
            Creation::None => Self::None,
        }
    }
}

impl From<Account> for wit::Account {
    fn from(account: Account) -> Self {
        Self {
            id: account.id,
            attributes: account.attributes.to_text(),
            status: match account.status {
                Status::Enabled => wit::AccountStatus::Enabled,
                Status::Disabled => wit::AccountStatus::Disabled,
                Status::Unknown => wit::AccountStatus::Unknown,
            },
            version: account.version,
            marker: account.marker,
        }
    }
}

impl From<CheckReport> for wit::CheckReport {
    fn from(report: CheckReport) -> Self {
        let steps = report
            .steps
            .into_iter()
            .map(|step| wit::CheckStep {
                name: step.name,
                ok: step.ok,
                detail: step.detail,
            })
            .collect();
        Self {
            steps,
            permissions: report.permissions,
        }
    }
}

impl From<Error> for wit::CallError {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind.into(),
            effect: match error.effect {
                Effect::None => wit::Effect::None,
                Effect::Applied => wit::Effect::Applied,
                Effect::Unknown => wit::Effect::Unknown,
            },
            retry_after_ms: error.retry_after_ms,
            existing_id: error.existing_id,
            message: error.message,
        }
    }
}

impl From<ErrorKind> for wit::ErrorKind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidRequest => Self::InvalidRequest,
            ErrorKind::AuthFailed => Self::AuthFailed,
            ErrorKind::Forbidden => Self::Forbidden,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::VersionConflict => Self::VersionConflict,
            ErrorKind::RateLimited => Self::RateLimited,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::PolicyRejected => Self::PolicyRejected,
            ErrorKind::Misconfigured => Self::Misconfigured,
            ErrorKind::Other(code) => Self::Other(code),
        }
    }
}
