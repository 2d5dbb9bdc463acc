//! What is said when a TLS handshake fails: to the operator, in words that tell whose turn it is to do something.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use crate::guest_text::line_of;

/// Names of a certificate shown when it is for others.
const NAMES_SHOWN_MAX: usize = 5;

/// Why there is no TLS with a peer. Safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TlsFailure {
    /// Its certificate is not accepted here.
    Certificate(String),
    /// It refused, and said why in an alert.
    Alert(AlertDescription, String),
    /// Anything else.
    Protocol(String),
}

impl TlsFailure {
    pub(super) fn what(&self) -> &str {
        match self {
            Self::Certificate(what) | Self::Alert(_, what) | Self::Protocol(what) => what,
        }
    }
}

pub(super) fn failed(host: &str, error: &io::Error) -> TlsFailure {
    let say = |what: &str| format!("TLS with `{host}`: {what}");
    match tls_error(error) {
        Some(Error::InvalidCertificate(why)) => TlsFailure::Certificate(say(&certificate_problem(host, why))),
        Some(Error::AlertReceived(alert)) => TlsFailure::Alert(*alert, say(&alert_problem(*alert))),
        Some(Error::InvalidMessage(_)) => TlsFailure::Protocol(say(
            "the peer does not speak TLS on this port; should the grant say scheme = \"http\"?",
        )),
        Some(Error::PeerIncompatible(why)) => TlsFailure::Protocol(say(&format!(
            "nothing in common with the peer (versions or ciphers): {why:?}"
        ))),
        Some(other) => TlsFailure::Protocol(say(&line_of(&other.to_string(), 200))),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            TlsFailure::Protocol(say("the peer hung up during the handshake"))
        }
        None => TlsFailure::Protocol(say(&error.to_string())),
    }
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

fn certificate_problem(host: &str, why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => {
            "its certificate was issued by nobody who is trusted here; name the issuer's certificate as `ca` in the target's `tls`"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; who runs it must renew it".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; is the clock right, here and there?".to_owned()
        }
        CertificateError::NotValidForName => format!("its certificate is not for `{host}`"),
        // The names are the peer's: shown as one harmless line.
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = presented.iter().take(NAMES_SHOWN_MAX).map(String::as_str);
            let names = line_of(&names.collect::<Vec<_>>().join(", "), 300);
            let names = if names.is_empty() { "no name at all" } else { &names };
            format!("its certificate is not for `{host}`, but for {names}")
        }
        CertificateError::Revoked => "its certificate was revoked".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not one for servers".to_owned()
        }
        other => format!("its certificate is not accepted: {}", line_of(&other.to_string(), 200)),
    }
}

fn alert_problem(alert: AlertDescription) -> String {
    match refuses_our_certificate(alert) {
        Some(why) => why.to_owned(),
        None if alert == AlertDescription::UnrecognisedName => "the peer does not know this name".to_owned(),
        None => {
            format!("the peer refused ({alert:?}); it may want another TLS version, or a client certificate")
        }
    }
}

/// Whether an alert is about the client's certificate, and what it says.
fn refuses_our_certificate(alert: AlertDescription) -> Option<&'static str> {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => Some(
            "the peer wants a client certificate; name one as `client-certificate` and `client-key` in the target's `tls`",
        ),
        AlertDescription::UnknownCA => Some("the peer does not know the issuer of our client certificate"),
        AlertDescription::CertificateExpired => Some("the peer says that our client certificate has expired"),
        AlertDescription::CertificateRevoked => Some("the peer says that our client certificate was revoked"),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => Some("the peer refused our client certificate"),
        _ => None,
    }
}

/// Says so if a connection ended because the peer refused our certificate.
pub(super) fn client_certificate_refused(error: &io::Error) -> Option<String> {
    match tls_error(error) {
        Some(Error::AlertReceived(alert)) => refuses_our_certificate(*alert).map(|why| format!("TLS: {why}")),
        Some(_) | None => None,
    }
}
