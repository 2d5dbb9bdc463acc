//! TLS of one target: whom it trusts, what it identifies itself with, and what is said when a handshake fails.

use std::fs::File;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, Error, InconsistentKeys, RootCertStore, SupportedProtocolVersion};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use usher_lifecycle::targets::{ClientCertificate, Tls, TlsVersion};

use super::tls_failure::{TlsFailure, failed};
use crate::journal::lock;
use crate::secrets::{SecretString, Secrets};

/// Largest file of certificates, in bytes: all public authorities together have a quarter of this.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// TLS of one target, as its files and its key were when they were last looked at.
pub(super) struct TargetTls {
    tls: Tls,
    secrets: Arc<dyn Secrets>,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ClientConfig>,
    fingerprint: [u8; 32],
    looked: Instant,
}

/// What the files and the key held at one moment.
struct Material {
    ca: Option<Vec<u8>>,
    client: Option<(Vec<u8>, SecretString)>,
}

impl TargetTls {
    /// Reads all of it. An error says which key and file, and what is wrong with it.
    pub(super) async fn load(tls: &Tls, secrets: Arc<dyn Secrets>) -> Result<Self, String> {
        let material = Material::read(tls, secrets.as_ref()).await?;
        let current = Current {
            config: config(tls, &material)?,
            fingerprint: material.fingerprint(),
            looked: Instant::now(),
        };
        Ok(Self {
            tls: tls.clone(),
            secrets,
            current: Mutex::new(current),
        })
    }

    /// For a new connection. A renewed certificate or key is used without loading the target again; one that cannot be used (half
    /// written, say) is reported and the old one goes on.
    pub(super) async fn config(&self, every: Duration) -> Arc<ClientConfig> {
        let (config, fingerprint) = {
            let mut current = lock(&self.current);
            let due = current.looked.elapsed() >= every;
            if due {
                // Whoever comes meanwhile does not look too.
                current.looked = Instant::now();
            }
            if !due || self.tls == Tls::default() {
                return Arc::clone(&current.config);
            }
            (Arc::clone(&current.config), current.fingerprint)
        };
        match self.renewed(fingerprint).await {
            Ok(None) => config,
            Ok(Some((config, fingerprint))) => {
                let mut current = lock(&self.current);
                current.config = Arc::clone(&config);
                current.fingerprint = fingerprint;
                config
            }
            Err(why) => {
                tracing::warn!(%why, "what changed in a target's TLS cannot be used; the old stays");
                config
            }
        }
    }

    async fn renewed(&self, old: [u8; 32]) -> Result<Option<(Arc<ClientConfig>, [u8; 32])>, String> {
        let material = Material::read(&self.tls, self.secrets.as_ref()).await?;
        let fingerprint = material.fingerprint();
        if fingerprint == old {
            return Ok(None);
        }
        Ok(Some((config(&self.tls, &material)?, fingerprint)))
    }
}

impl Material {
    async fn read(tls: &Tls, secrets: &dyn Secrets) -> Result<Self, String> {
        let ca = match &tls.ca {
            Some(path) => Some(read_file("ca", path).await?),
            None => None,
        };
        let client = match &tls.client {
            Some(client) => {
                let key = secrets.resolve(&client.key).await;
                let key = key.map_err(|why| format!("tls.client-key: {why}"))?;
                Some((read_file("client-certificate", &client.certificate).await?, key))
            }
            None => None,
        };
        Ok(Self { ca, client })
    }

    fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let (certificate, key) = self
            .client
            .as_ref()
            .map_or((&[][..], &[][..]), |(certificate, key)| {
                (&certificate[..], key.expose().as_bytes())
            });
        for part in [self.ca.as_deref().unwrap_or_default(), certificate, key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

async fn read_file(key: &'static str, path: &str) -> Result<Vec<u8>, String> {
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| format!("tls.{key}: `{path}` cannot be read: {error}"))?;
        if bytes.len() as u64 > PEM_BYTES_MAX {
            return Err(format!("tls.{key}: `{path}` has more than {PEM_BYTES_MAX} bytes"));
        }
        Ok(bytes)
    });
    reading
        .await
        .unwrap_or_else(|_| Err(format!("tls.{key}: reading the file failed")))
}

fn config(tls: &Tls, material: &Material) -> Result<Arc<ClientConfig>, String> {
    let both: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    let versions = match tls.minimum_version {
        TlsVersion::V1_2 => both,
        TlsVersion::V1_3 => &both[..1],
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|error| format!("tls: {error}"))?
        .with_root_certificates(roots(tls, material.ca.as_deref())?);
    let mut config = match (&tls.client, &material.client) {
        (Some(client), Some((certificate, key))) => {
            let chain = certificates("client-certificate", &client.certificate, certificate)?;
            // The parser's own error could quote the key.
            let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| {
                "tls.client-key: this is not a private key in PEM without a passphrase (-----BEGIN PRIVATE KEY-----)"
                    .to_owned()
            })?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable_identity(client, &error))?
        }
        (_, _) => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots(tls: &Tls, ca: Option<&[u8]>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if tls.ca.is_none() || tls.public_roots {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let (Some(path), Some(pem)) = (&tls.ca, ca) {
        for (index, certificate) in certificates("ca", path, pem)?.into_iter().enumerate() {
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
fn certificates(key: &str, path: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!(
            "tls.{key}: `{path}` holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
        )),
        Err(_) => Err(format!("tls.{key}: `{path}` is damaged: not all of it is PEM")),
    }
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
