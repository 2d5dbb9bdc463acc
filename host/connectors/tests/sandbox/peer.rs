//! A server whose answers a test makes, request by request; it keeps what it was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// One request as the server got it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path_and_query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Asked {
    /// A header as text; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> String {
        let value = self.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    }
}

/// A body that leaves piece by piece, each in a chunk of its own.
#[derive(Default)]
pub(crate) struct Pieces(VecDeque<Frame<Bytes>>);

impl Pieces {
    pub(crate) fn of(pieces: impl IntoIterator<Item = impl Into<Bytes>>) -> Self {
        Self(
            pieces
                .into_iter()
                .map(|piece| Frame::data(piece.into()))
                .collect(),
        )
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

pub(crate) type Answer = Response<Pieces>;

pub(crate) fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Pieces::of([body]));
    *answer.status_mut() = status.try_into().unwrap();
    answer
}

/// A server on loopback.
pub(crate) struct Peer {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Peer {
    /// Answers each request with what `make` makes of it.
    pub(crate) async fn start(make: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (journal, make) = (Arc::clone(&asked), Arc::new(make));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (journal, make) = (Arc::clone(&journal), Arc::clone(&make));
                let serve = service_fn(move |request| {
                    let (journal, make) = (Arc::clone(&journal), Arc::clone(&make));
                    async move {
                        let asked = whole(request).await;
                        journal.lock().unwrap().push(asked.clone());
                        Ok::<_, Infallible>(make(&asked))
                    }
                });
                tokio::spawn(async move {
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // Clients hang up in the middle; that is for the tests to judge.
                    let _ = server.serve_connection(TokioIo::new(stream), serve).await;
                });
            }
        });
        Self { port, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn whole(request: Request<Incoming>) -> Asked {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    Asked {
        method: parts.method,
        path_and_query: parts.uri.path_and_query().unwrap().to_string(),
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}
