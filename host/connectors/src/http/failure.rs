//! What is said of a request that got no answer: to the guest a code, to the operator what was wrong, to the journal whether it left.

use http::Extensions;
use hyper_util::client::legacy;
use wasmtime_wasi_http::Error;

use super::connect::ConnectError;
use super::stream::Fate;
use super::tls_failure::TlsFailure;
use super::transport::RESPONSE_HEAD_BYTES_MAX;
use crate::guest_text::line_of;
use crate::journal::Refusal;

/// A request that got no answer.
#[derive(Debug)]
pub(super) struct Failure {
    /// What the guest is told.
    pub(super) code: Error,
    /// What was wrong, for the operator.
    pub(super) what: String,
    /// What the host refused, where it did.
    pub(super) refusal: Option<Refusal>,
    /// It is certain that the target has not worked on the request: nothing of it left, or the peer says so.
    pub(super) nothing_done: bool,
}

impl Failure {
    pub(super) fn of(error: &legacy::Error) -> Self {
        let Some(connect) = cause_of::<ConnectError>(error) else {
            return Self::on_connection(error);
        };
        let code = match connect {
            ConnectError::Refused(_) => Error::DestinationIpProhibited,
            ConnectError::Name(_) => Error::DnsError {
                rcode: None,
                info_code: None,
            },
            ConnectError::Io(..) => Error::ConnectionRefused,
            ConnectError::Timeout(..) => Error::ConnectionTimeout,
            ConnectError::Proxy(_) => Error::DestinationUnavailable,
            ConnectError::Tls(TlsFailure::Certificate(_)) => Error::TlsCertificateError,
            ConnectError::Tls(TlsFailure::Alert(alert, _)) => Error::TlsAlertReceived {
                alert_id: Some(u8::from(*alert)),
                alert_message: None,
            },
            ConnectError::Tls(TlsFailure::Protocol(_)) => Error::TlsProtocolError,
        };
        let refusal = match connect {
            ConnectError::Refused(refusal) => Some(refusal.clone()),
            _ => None,
        };
        Self {
            code,
            what: connect.to_string(),
            refusal,
            nothing_done: true,
        }
    }

    /// A connection there was.
    fn on_connection(error: &legacy::Error) -> Self {
        let mut extras = Extensions::new();
        if let Some(connection) = error.connect_info() {
            connection.get_extras(&mut extras);
        }
        if let Some(why) = extras.get::<Fate>().and_then(Fate::refused) {
            return Self {
                code: Error::TlsCertificateError,
                what: why.to_owned(),
                refusal: None,
                nothing_done: true,
            };
        }
        let (code, what) = match cause_of::<hyper::Error>(error) {
            Some(error) if error.is_parse_too_large() => (
                Error::HttpResponseHeaderSectionSize(Some(RESPONSE_HEAD_BYTES_MAX as u32)),
                format!(
                    "the head of the answer is too large: at most 100 headers and {RESPONSE_HEAD_BYTES_MAX} bytes"
                ),
            ),
            Some(error) if gave_up(error) => (
                Error::HttpProtocolError,
                format!(
                    "the answer is not proper HTTP/2, or its head is larger than {RESPONSE_HEAD_BYTES_MAX} bytes"
                ),
            ),
            Some(error) if error.is_parse() => (
                Error::HttpProtocolError,
                format!(
                    "the answer is not proper HTTP: {}",
                    line_of(&error.to_string(), 200)
                ),
            ),
            _ => (
                Error::ConnectionTerminated,
                format!(
                    "the connection ended without an answer ({})",
                    line_of(&chain(error), 200)
                ),
            ),
        };
        Self {
            code,
            what,
            refusal: None,
            nothing_done: never_left(error) || not_worked_on(error),
        }
    }
}

/// Whether the request was still whole in our hands: it was given back, or no connection had been chosen for it yet.
fn never_left(error: &legacy::Error) -> bool {
    let given_back = cause_of::<hyper::Error>(error).is_some_and(hyper::Error::is_canceled);
    error.is_connect() || error.connect_info().is_none() || given_back
}

/// Whether an HTTP/2 peer says that it has not worked on a request (RFC 9113, 8.7): it refused the stream, or it is going away and
/// the stream came after the last one it took.
fn not_worked_on(error: &legacy::Error) -> bool {
    cause_of::<h2::Error>(error).is_some_and(|error| {
        let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        let going = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        error.is_remote() && (refused || going)
    })
}

/// Whether it was our side of HTTP/2 that gave up on what the peer sent. A head that is too large cannot be told from one that is damaged.
fn gave_up(error: &hyper::Error) -> bool {
    cause_of::<h2::Error>(error).is_some_and(h2::Error::is_library)
}

fn cause_of<'e, T: std::error::Error + 'static>(
    error: &'e (dyn std::error::Error + 'static),
) -> Option<&'e T> {
    std::iter::successors(Some(error), |cause| cause.source()).find_map(|cause| cause.downcast_ref())
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
