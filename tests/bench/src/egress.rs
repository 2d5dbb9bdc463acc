//! One HTTP call by a good connector through sandbox and egress, beside plain hyper, to the same server in the same run.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow, ensure};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, Version, header};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::service::service_fn;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use usher_connectors::{Connector, FixedSecrets, Generation, Sandbox};
use usher_lifecycle::targets;

use crate::measure::{Samples, peak_memory_mib};
use crate::report::Table;

/// As long as real ones are: shorter ones are not looked for in answers.
const TOKEN: &str = "the-secret-of-this-bench";
/// Calls measured of each way.
const CALLS: usize = 3_000;

/// Calls before that.
const WARM_UP: usize = 300;

/// What the server answers with: one person, as SCIM writes one.
const USER: &str = r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"2819c223","externalId":"op_1","userName":"mei.tanaka","active":true,"name":{"givenName":"Mei","familyName":"Tanaka"},"displayName":"Mei Tanaka","emails":[{"value":"mei.tanaka@example.test","primary":true}],"meta":{"resourceType":"User","version":"W/\"1\""}}"#;

/// How the server is spoken with.
#[derive(Clone, Copy)]
enum Wire {
    Http1,
    Http2OverTls,
}

/// One way measured: plain hyper and Usher.
struct Pair {
    name: &'static str,
    plain: Samples,
    usher: Samples,
}

/// Runs the bench and gives its table.
pub(crate) async fn run() -> anyhow::Result<Table> {
    let mut table = Table::new(
        "egress: one GET of one account by the connector `scim`, parsed",
        &["way", "p50 µs", "p99 µs", "p50 ÷ plain hyper"],
    );
    for (name, wire) in [("HTTP/1.1", Wire::Http1), ("HTTP/2 over TLS", Wire::Http2OverTls)] {
        let pair = measure(name, wire).await?;
        let floor = pair.plain.percentile_us(500);
        for (who, samples) in [
            ("plain hyper", &pair.plain),
            ("Usher, fresh sandbox and egress", &pair.usher),
        ] {
            table.row(&[
                format!("{}, {who}", pair.name),
                format!("{:.1}", samples.percentile_us(500)),
                format!("{:.1}", samples.percentile_us(990)),
                format!("{:.2}x", samples.percentile_us(500) / floor),
            ]);
        }
    }
    table.note(format!(
        "{CALLS} calls of each, taken in turn, over kept connections to one server in the same process; peak memory {:.0} MiB",
        peak_memory_mib()
    ));
    Ok(table)
}

async fn measure(name: &'static str, wire: Wire) -> anyhow::Result<Pair> {
    let authority = Authority::new()?;
    let port = serve(authority.server(wire)?).await?;
    let scheme = match wire {
        Wire::Http1 => "http",
        Wire::Http2OverTls => "https",
    };
    let plain = authority.client()?;
    let uri: Uri = format!("{scheme}://127.0.0.1:{port}/Users/2819c223").parse()?;
    let generation = load(&authority, scheme, port).await?;
    let mut pair = Pair {
        name,
        plain: Samples::new(CALLS),
        usher: Samples::new(CALLS),
    };
    for n in 0..CALLS + WARM_UP {
        if n == WARM_UP {
            pair.plain.clear();
            pair.usher.clear();
        }
        let since = Instant::now();
        fetch(&plain, uri.clone(), wire).await?;
        pair.plain.add(since);

        let since = Instant::now();
        let found = generation.get("2819c223").await.map_err(|error| anyhow!(error))?;
        pair.usher.add(since);
        ensure!(found.is_some(), "the account is there");
    }
    Ok(pair)
}

type Plain = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// What the connector does, without sandbox and egress: ask, read, parse.
async fn fetch(client: &Plain, uri: Uri, wire: Wire) -> anyhow::Result<()> {
    let request = Request::get(uri)
        .header(header::ACCEPT, "application/scim+json")
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
        .body(Empty::new())?;
    let response = client.request(request).await?;
    let wanted = match wire {
        Wire::Http1 => Version::HTTP_11,
        Wire::Http2OverTls => Version::HTTP_2,
    };
    ensure!(response.version() == wanted, "spoken: {:?}", response.version());
    let body = response.into_body().collect().await?.to_bytes();
    let user: serde_json::Value = serde_json::from_slice(&body)?;
    std::hint::black_box(user);
    Ok(())
}

async fn load(authority: &Authority, scheme: &str, port: u16) -> anyhow::Result<Arc<Generation>> {
    let tls = match scheme {
        "https" => format!("[targets.directory.tls]\nca = \"{}\"\n", authority.path()?),
        _ => String::new(),
    };
    let document = format!(
        "[targets.directory]\nconnector = \"scim\"\n[targets.directory.settings]\nbase-url = \"{scheme}://127.0.0.1:{port}\"\n\
         [[targets.directory.grants.http]]\nscheme = \"{scheme}\"\nhost = \"127.0.0.1\"\nport = {port}\nprivate-addresses = true\n\
         [targets.directory.http-auth.bearer]\nenv = \"TOKEN\"\n{tls}"
    );
    let targets = targets::parse("targets.toml", &document)?.targets;
    let target = targets.values().next().context("one target")?;
    let secrets = FixedSecrets::none().with("TOKEN", TOKEN);
    let component = usher_tests::component("usher-connector-scim");
    Ok(Sandbox::new(crate::compiler()?, None)?
        .load(component, target, Arc::new(secrets))
        .await?)
}

/// Issues the server's certificate.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
    folder: TempDir,
}

impl Authority {
    fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key)?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ca.pem"), certificate.pem())?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
            folder,
        })
    }

    fn path(&self) -> anyhow::Result<String> {
        let path = self.folder.path().join("ca.pem");
        Ok(path.to_str().context("a path that is text")?.to_owned())
    }

    fn server(&self, wire: Wire) -> anyhow::Result<Option<TlsAcceptor>> {
        if matches!(wire, Wire::Http1) {
            return Ok(None);
        }
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|why| anyhow!(why))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn client(&self) -> anyhow::Result<Plain> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone())?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(tcp);
        Ok(Client::builder(TokioExecutor::new()).build(connector))
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Serves the one account on a free port.
async fn serve(tls: Option<TlsAcceptor>) -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            if tcp.set_nodelay(true).is_err() {
                continue;
            }
            let tls = tls.clone();
            tokio::spawn(async move {
                match tls {
                    None => converse(tcp).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(tcp).await {
                            converse(stream).await;
                        }
                    }
                }
            });
        }
    });
    Ok(port)
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) {
    let service = service_fn(|_| async {
        let mut response = Response::new(Full::new(Bytes::from_static(USER.as_bytes())));
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/scim+json"),
        );
        Ok::<_, hyper::Error>(response)
    });
    // Ends when the client hangs up.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
