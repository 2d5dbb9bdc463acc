//! Servers on loopback that keep a journal, and the certificates they need.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) version: Version,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A server that answers every request by one function.
pub(super) struct Server {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

type Answer = fn(&Seen) -> Response<Full<Bytes>>;

/// Answers 200 and `hello`.
pub(super) fn hello(_: &Seen) -> Response<Full<Bytes>> {
    Response::new(Full::from("hello"))
}

impl Server {
    pub(super) async fn plain(answer: Answer) -> Self {
        Self::start(None, auto::Builder::new(TokioExecutor::new()), answer).await
    }

    pub(super) async fn tls(config: ServerConfig, answer: Answer) -> Self {
        Self::start(Some(config), auto::Builder::new(TokioExecutor::new()), answer).await
    }

    pub(super) async fn start(
        config: Option<ServerConfig>,
        http: auto::Builder<TokioExecutor>,
        answer: Answer,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let server = Self {
            port,
            seen: Arc::clone(&seen),
            connections: Arc::clone(&connections),
        };
        let acceptor = config.map(|config| TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, http, seen) = (acceptor.clone(), http.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    match acceptor {
                        None => converse(tcp, http, seen, answer).await,
                        Some(acceptor) => {
                            if let Ok(tls) = acceptor.accept(tcp).await {
                                converse(tls, http, seen, answer).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn converse<S>(
    stream: S,
    http: auto::Builder<TokioExecutor>,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Answer,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let (parts, body) = request.into_parts();
            let request = Seen {
                version: parts.version,
                method: parts.method,
                uri: parts.uri,
                headers: parts.headers,
                body: body.collect().await?.to_bytes(),
            };
            seen.lock().unwrap().push(request.clone());
            Ok::<_, hyper::Error>(answer(&request))
        }
    });
    // Ends when the client hangs up.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

/// A server that reads one head and what its length says, and writes these bytes, for each connection and answer in turn; then it hangs up.
/// Returns its port and the heads it read.
pub(super) async fn raw(answers: &'static [&'static str]) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                for answer in answers {
                    let Some(head) = read_head(&mut tcp).await else {
                        return;
                    };
                    seen.lock().unwrap().push(head);
                    if tcp.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, heads)
}

/// Reads a head and the body its content-length announces; nothing when the peer hangs up first.
pub(super) async fn read_head(tcp: &mut TcpStream) -> Option<String> {
    let mut held = Vec::new();
    while !held.ends_with(b"\r\n\r\n") {
        held.push(tcp.read_u8().await.ok()?);
    }
    let head = String::from_utf8(held).ok()?;
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0_usize);
    let mut body = vec![0; length];
    tcp.read_exact(&mut body).await.ok()?;
    Some(head)
}

/// A certificate authority, with a folder for what it issues.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    folder: TempDir,
}

/// A certificate and its key, in PEM.
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A certificate for some names, changed as the test needs.
    pub(super) fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        Identity {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// Path of a file with this content.
    pub(super) fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Path of the authority's own certificate.
    pub(super) fn path(&self) -> String {
        self.file("ca.pem", &self.certificate)
    }

    /// Lines for a target that trusts this authority.
    pub(super) fn trusted(&self) -> String {
        format!("[targets.app.tls]\nca = \"{}\"\n", self.path())
    }

    /// A server's side of TLS for some names, with these protocols.
    pub(super) fn server(&self, names: &[&str], protocols: &[&str]) -> ServerConfig {
        self.server_as(&self.issue(names, |_| {}), protocols)
    }

    pub(super) fn server_as(&self, identity: &Identity, protocols: &[&str]) -> ServerConfig {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        finished(config, identity, protocols)
    }

    /// The same, wanting a client certificate of this authority.
    pub(super) fn server_for_clients(&self, names: &[&str]) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap())
            .unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .unwrap();
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier);
        finished(config, &self.issue(names, |_| {}), &["h2", "http/1.1"])
    }
}

pub(super) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(super) fn finished(
    config: rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
    identity: &Identity,
    protocols: &[&str],
) -> ServerConfig {
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let mut config = config.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}
