//! Which server an endpoint leads to, as whom, and what the operator is told when it cannot be used.

use std::io::Read as _;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::UnixStream;
use usher_lifecycle::targets::{SqlAddress, SqlServer, SqlTls};

use super::wire::{AddressError, Peer, Wire, addresses};
use super::{SqlError, SqlErrorKind};
use crate::secrets::{SecretString, Secrets};

/// Largest file of authorities, in bytes, as for HTTPS.
const CA_BYTES_MAX: u64 = 1024 * 1024;
/// What a guest is told: who and where the server is, is none of its business.
const UNUSABLE: &str = "the database cannot be used; the operator is told why";

/// A server, and as whom.
pub(super) struct Server {
    /// `PostgreSQL` or `MySQL`.
    pub(super) kind: &'static str,
    pub(super) grant: SqlServer,
    secrets: Arc<dyn Secrets>,
}

impl Server {
    pub(super) fn new(kind: &'static str, grant: SqlServer, secrets: Arc<dyn Secrets>) -> Self {
        Self { kind, grant, secrets }
    }

    /// As people name it.
    pub(super) fn place(&self) -> String {
        let Self { kind, grant, .. } = self;
        match &grant.address {
            SqlAddress::Tcp { host, port, .. } => {
                format!("{kind} database `{}` at {host}:{port}", grant.database)
            }
            SqlAddress::Socket(path) => format!("{kind} database `{}` at {path}", grant.database),
        }
    }

    /// Something is missing or wrong that only the operator can change.
    pub(super) fn refused(&self, why: &str) -> SqlError {
        let what = format!("{}: {why}", self.place());
        tracing::warn!("{what}");
        SqlError::refused(SqlErrorKind::Unavailable, UNUSABLE, &what)
    }

    /// The role may do what no connector may; `remedy` says how to make a right one.
    pub(super) fn too_mighty(&self, rights: &[String], remedy: &str) -> SqlError {
        let what = format!(
            "{}: `{}` may do too much to run a connector's SQL: {}. {remedy}",
            self.place(),
            self.grant.user,
            rights.join(", ")
        );
        tracing::warn!("{what}");
        let message = "the host does not run SQL as this role: it may do too much; the operator is told what";
        SqlError::refused(SqlErrorKind::Forbidden, message, &what)
    }

    /// It does not answer; it may later.
    pub(super) fn unreachable(&self, why: &str) -> SqlError {
        let why = crate::guest_text::line_of(why, 300);
        tracing::warn!("{}: {why}", self.place());
        SqlError::new(SqlErrorKind::Unavailable, "the database cannot be reached")
    }

    /// The password, looked up for each connection, so that a rotated one is used at once.
    pub(super) async fn password(&self) -> Result<Option<SecretString>, SqlError> {
        let Some(reference) = &self.grant.password else {
            return Ok(None);
        };
        let secret = self.secrets.resolve(reference).await;
        secret
            .map(Some)
            .map_err(|why| self.refused(&format!("the password cannot be had: {why}")))
    }

    /// Connects to an address that was checked.
    pub(super) async fn connect(&self) -> Result<(Wire, Peer), SqlError> {
        let io = |error: std::io::Error| self.unreachable(&error.to_string());
        match &self.grant.address {
            SqlAddress::Tcp { .. } => Wire::tcp(&self.addresses().await?).await.map_err(io),
            SqlAddress::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(io)?;
                Ok((Wire::Socket(stream), Peer::Socket(path.clone())))
            }
        }
    }

    /// The checked addresses of the server; none on a socket.
    pub(super) async fn addresses(&self) -> Result<Vec<std::net::SocketAddr>, SqlError> {
        let SqlAddress::Tcp {
            host,
            port,
            private_addresses,
            ..
        } = &self.grant.address
        else {
            return Ok(Vec::new());
        };
        let checked = addresses(host, *port, *private_addresses).await;
        checked.map_err(|error| match error {
            AddressError::Name => self.unreachable(&format!("the name `{host}` cannot be resolved")),
            AddressError::Private(address) => self.refused(&format!(
                "{address} is a private address; if it should be allowed, add `private-addresses = true` beside `host`"
            )),
            AddressError::Never(address) => {
                self.refused(&format!("`{host}` leads to {address}, an address that is never allowed"))
            }
        })
    }

    /// How TLS is done; nothing where it is not.
    pub(super) fn tls(&self) -> Result<Option<ClientConfig>, SqlError> {
        let roots = match &self.grant.address {
            SqlAddress::Socket(_) | SqlAddress::Tcp { tls: SqlTls::Off, .. } => return Ok(None),
            SqlAddress::Tcp {
                tls: SqlTls::Public, ..
            } => RootCertStore {
                roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            },
            SqlAddress::Tcp {
                tls: SqlTls::Ca(path),
                ..
            } => roots_of(path).map_err(|why| self.refused(&why))?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| self.refused(&format!("TLS: {error}")))?;
        Ok(Some(config.with_root_certificates(roots).with_no_client_auth()))
    }
}

/// Whether the files that a grant names can be used.
pub(super) fn check_files(grant: &SqlServer) -> Result<(), String> {
    match &grant.address {
        SqlAddress::Tcp {
            tls: SqlTls::Ca(path),
            ..
        } => roots_of(path).map(drop),
        SqlAddress::Tcp { .. } | SqlAddress::Socket(_) => Ok(()),
    }
}

/// What the file holds is not shown: it may be a key by mistake.
fn roots_of(path: &str) -> Result<RootCertStore, String> {
    let wrong = |why: &str| format!("the authority's certificate in {path}: {why}");
    let mut pem = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(CA_BYTES_MAX + 1).read_to_end(&mut pem))
        .map_err(|error| wrong(&error.to_string()))?;
    if pem.len() as u64 > CA_BYTES_MAX {
        return Err(wrong(&format!("there are more than {CA_BYTES_MAX} bytes")));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| wrong("not all of it is PEM"))?;
        roots
            .add(certificate)
            .map_err(|error| wrong(&error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("there is no certificate"));
    }
    Ok(roots)
}

/// What rustls found wrong, wherever it is in a chain of errors.
pub(super) fn tls_error(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(tls) = inner.or_else(|| error.downcast_ref::<rustls::Error>()) {
            return Some(match tls {
                rustls::Error::InvalidCertificate(
                    CertificateError::UnknownIssuer | CertificateError::Other(_),
                ) => format!(
                    "{tls}; name the certificate of who issued the server's as `ca` beside `host`: ca = \"/path/to/ca.pem\""
                ),
                rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                ) => format!("{tls}; `host` must be a name that the server's certificate has"),
                _ => tls.to_string(),
            });
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_an_authority_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let check = || {
            let mut server = crate::sql::testing::on_loopback(1, "a", "b");
            crate::sql::testing::tls_of(&mut server, SqlTls::Ca(path.to_str().unwrap().to_owned()));
            check_files(&server)
        };
        assert!(check().unwrap_err().contains("ca.pem: No such file"));
        for (content, expected) in [
            ("not PEM", "there is no certificate"),
            (
                "-----BEGIN CERTIFICATE-----\n!secret!\n-----END CERTIFICATE-----\n",
                "not all of it is PEM",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "invalid peer certificate",
            ),
        ] {
            std::fs::write(&path, content).unwrap();
            let why = check().unwrap_err();
            assert!(why.contains(expected) && !why.contains("secret"), "{why}");
        }
        std::fs::write(&path, vec![b' '; 1024 * 1024 + 1]).unwrap();
        assert!(check().unwrap_err().contains("more than 1048576 bytes"));
        let authority = crate::certificates::Authority::new("of a test");
        std::fs::copy(authority.path(), &path).unwrap();
        check().unwrap();
    }
}
