//! Servers on loopback that keep a journal.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
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
