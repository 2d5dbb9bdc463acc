//! What is said of a request that got no answer: to the guest a code, to the operator what was wrong, to the journal whether it left.

use hyper_util::client::legacy;
use wasmtime_wasi_http::Error;

use super::connect::ConnectError;
use crate::journal::Refusal;

/// A request that got no answer.
#[derive(Debug)]
pub(super) struct Failure {
    /// What the guest is told.
    pub(super) code: Error,
    /// What was wrong, for the operator.
    #[allow(dead_code, reason = "token endpoints come next")]
    pub(super) what: String,
    /// What the host refused, where it did.
    pub(super) refusal: Option<Refusal>,
    /// It is certain that nothing of the request reached the target.
    pub(super) nothing_left: bool,
}

impl Failure {
    pub(super) fn of(error: &legacy::Error) -> Self {
        tracing::debug!(error = %chain(error), "HTTP request failed");
        let failure = |code, what: String| Self {
            code,
            what,
            refusal: None,
            nothing_left: error.is_connect(),
        };
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(cause) = source {
            let Some(connect) = cause.downcast_ref::<ConnectError>() else {
                source = cause.source();
                continue;
            };
            let what = connect.to_string();
            return match connect {
                ConnectError::Refused(refusal) => Self {
                    refusal: Some(refusal.clone()),
                    ..failure(Error::DestinationIpProhibited, what)
                },
                ConnectError::Name(_) => failure(
                    Error::DnsError {
                        rcode: None,
                        info_code: None,
                    },
                    what,
                ),
                ConnectError::Io(_) => failure(Error::ConnectionRefused, what),
                ConnectError::Timeout => failure(Error::ConnectionTimeout, what),
            };
        }
        if error.is_connect() {
            failure(Error::TlsProtocolError, chain(error))
        } else {
            failure(
                Error::ConnectionTerminated,
                "the connection ended without an answer".to_owned(),
            )
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
