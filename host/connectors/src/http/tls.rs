//! TLS of one target: whom it trusts, what it identifies itself with, and what is said when a handshake fails.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, InconsistentKeys, RootCertStore,
    SupportedProtocolVersion,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use usher_lifecycle::targets::{ClientCertificate, Tls, TlsVersion};

use crate::guest_text::line_of;
use crate::secrets::Secrets;

/// Largest file of certificates, in bytes: all public authorities together have a quarter of this.
const PEM_BYTES_MAX: u64 = 1024 * 1024;
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

/// Reads what a target's TLS needs. An error says which key and file, and what is wrong with it.
pub(super) async fn config(tls: &Tls, secrets: &dyn Secrets) -> Result<Arc<ClientConfig>, String> {
    let roots = {
        let tls = tls.clone();
        tokio::task::spawn_blocking(move || roots(&tls))
            .await
            .map_err(|_| "tls.ca: reading it failed".to_owned())??
    };
    let both: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    let versions = match tls.minimum_version {
        TlsVersion::V1_2 => both,
        TlsVersion::V1_3 => &both[..1],
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|error| format!("tls: {error}"))?
        .with_root_certificates(roots);
    let mut config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let (chain, key) = identity(client, secrets).await?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable_identity(client, &error))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots(tls: &Tls) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if tls.ca.is_none() || tls.public_roots {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(path) = &tls.ca {
        for (index, certificate) in certificates("ca", path)?.into_iter().enumerate() {
            roots.add(certificate).map_err(|error| {
                format!(
                    "tls.ca: certificate {} of `{path}` cannot be used: {error}",
                    index + 1
                )
            })?;
        }
    }
    Ok(roots)
}

/// What the file holds is not shown: it may be a key by mistake.
fn certificates(key: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("tls.{key}: `{path}` cannot be read: {error}"))?;
    if bytes.len() as u64 > PEM_BYTES_MAX {
        return Err(format!("tls.{key}: `{path}` has more than {PEM_BYTES_MAX} bytes"));
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!(
            "tls.{key}: `{path}` holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
        )),
        Err(_) => Err(format!("tls.{key}: `{path}` is damaged: not all of it is PEM")),
    }
}

async fn identity(
    client: &ClientCertificate,
    secrets: &dyn Secrets,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let key = secrets
        .resolve(&client.key)
        .await
        .map_err(|why| format!("tls.client-key: {why}"))?;
    // The parser's own error could quote the key.
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| {
        "tls.client-key: this is not a private key in PEM without a passphrase (-----BEGIN PRIVATE KEY-----)".to_owned()
    })?;
    let path = client.certificate.clone();
    let chain = tokio::task::spawn_blocking(move || certificates("client-certificate", &path))
        .await
        .map_err(|_| "tls.client-certificate: reading it failed".to_owned())??;
    Ok((chain, key))
}

fn unusable_identity(client: &ClientCertificate, error: &Error) -> String {
    let path = &client.certificate;
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            format!("tls.client-key: it is not the key of the first certificate in `{path}`")
        }
        Error::InvalidCertificate(_) => {
            format!("tls.client-certificate: the first certificate in `{path}` cannot be used: {error}")
        }
        other => format!("tls.client-key: the key cannot be used: {other}"),
    }
}

/// Speaks TLS over a connection. The certificate must be for `host`, the name that was granted.
pub(super) async fn handshake(
    config: Arc<ClientConfig>,
    host: &str,
    tcp: TcpStream,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, TlsFailure> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        TlsFailure::Protocol(format!("TLS with `{host}`: no certificate can be for this name"))
    })?;
    let shaking = TlsConnector::from(config).connect(name, tcp);
    match tokio::time::timeout(limit, shaking).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(failed(host, &error)),
        Err(_) => Err(TlsFailure::Protocol(format!(
            "TLS with `{host}`: the handshake took longer than {} ms",
            limit.as_millis()
        ))),
    }
}

fn failed(host: &str, error: &io::Error) -> TlsFailure {
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
