//! HTTP egress: how a connector's requests leave, if they may. Deny by default; see [`allow`] for what is checked, [`address`] and
//! [`connect`] for where a connection may end, [`auth`] for how the host authenticates, [`tls`] and [`proxy`] for how a connection is
//! made, [`failure`] for what is said when there is no answer.

pub(crate) mod address;
pub(crate) mod allow;
mod auth;
mod body;
mod connect;
mod failure;
mod fetch;
mod headers;
mod missing;
mod proxy;
mod resolve;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod tls_failure;
mod transport;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use usher_lifecycle::targets::{HttpAuth, HttpScheme, Target};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use crate::journal::{Journal, Refusal};
use crate::secrets::Secrets;
use allow::{Allowlist, Endpoint};
use body::CappedBody;
use failure::Failure;
#[allow(unused_imports, reason = "token endpoints come next")]
pub(crate) use fetch::{FetchError, Fetcher};
use transport::{Pool, RESPONSE_HEAD_BYTES_MAX, RESPONSE_HEADERS_MAX, Wire};

/// Largest request body, in bytes: far over any account; the body is held in memory while the decision is made.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes a guest hands over in one write.
const REQUEST_CHUNK_BYTES: usize = 64 * 1024;
/// Longest wait for the head of an answer, whatever the guest asks for.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence within an answer, whatever the guest asks for.
const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(30);
/// Shortest wait a guest can ask for: less would give up on everything, also on writes that have left.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// The egress of one generation: its rules, its credentials, its connections. Connections are never shared between targets.
pub(crate) struct HttpEgress {
    allowlist: Arc<Allowlist>,
    auth: Option<HttpAuth>,
    secrets: Arc<dyn Secrets>,
    response_kib: u32,
    wire: Wire,
    pool: Pool,
}

impl HttpEgress {
    /// Of one target; an error says what of its configuration cannot be used.
    pub(crate) async fn new(target: &Target, secrets: Arc<dyn Secrets>) -> Result<Self, String> {
        let wire = Wire::new(&target.tls, target.proxy.clone(), Arc::clone(&secrets)).await?;
        Self::over(wire, target, secrets)
    }

    fn over(wire: Wire, target: &Target, secrets: Arc<dyn Secrets>) -> Result<Self, String> {
        if let Some(auth) = &target.http_auth {
            auth::check(auth)?;
        }
        let allowlist = Arc::new(Allowlist::new(
            target.name.to_string(),
            target.grants.http.clone(),
        ));
        Ok(Self {
            pool: wire.pool(Arc::clone(&allowlist)),
            allowlist,
            auth: target.http_auth.clone(),
            secrets,
            response_kib: target.limits.response_kib,
            wire,
        })
    }

    /// Sends one request of a guest, if it may leave.
    async fn send(
        self: Arc<Self>,
        request: Request<WasiBody>,
        options: RequestOptions,
        journal: Arc<Journal>,
    ) -> Result<Response<WasiBody>, Error> {
        let wait = clamp(options.first_byte_timeout, FIRST_BYTE_TIMEOUT);
        let until = (Instant::now() + wait).min(journal.deadline);
        // The body is read even if the request is then refused: a guest whose body is not taken sees a broken pipe, not the
        // refusal, and some language runtimes trap.
        let (mut parts, body) = request.into_parts();
        let body = tokio::time::timeout_at(until.into(), read(body))
            .await
            .map_err(|_| Error::ConnectionWriteTimeout)??;
        let head_bytes = headers::request_head_bytes(&parts.uri, &parts.headers);
        if !journal.take_requests(1) || !journal.take_transfer(head_bytes + body.len()) {
            return Err(Error::ConnectionLimitReached);
        }
        let (endpoint, writes) = self.decide(&parts).map_err(|refusal| {
            journal.refuse(refusal);
            Error::HttpRequestDenied
        })?;
        headers::strip(&mut parts.headers);
        self.identify(&mut parts, &endpoint).await.map_err(|what| {
            journal.refuse(Refusal { what, grant: None });
            Error::ConfigurationError
        })?;
        let request = Request::from_parts(parts, Full::new(body));
        let response = self.exchange(request, writes, until, &journal).await?;
        let head_bytes = body::head_bytes(response.headers());
        if response.headers().len() > RESPONSE_HEADERS_MAX || head_bytes > RESPONSE_HEAD_BYTES_MAX {
            journal.trouble(format!(
                "the answer has more than {RESPONSE_HEADERS_MAX} headers or {RESPONSE_HEAD_BYTES_MAX} bytes of them"
            ));
            return Err(Error::HttpResponseHeaderSectionSize(Some(
                RESPONSE_HEAD_BYTES_MAX as u32,
            )));
        }
        if !journal.take_transfer(head_bytes) {
            return Err(Error::HttpResponseBodySize(None));
        }
        let silence = clamp(options.between_bytes_timeout, BETWEEN_BYTES_TIMEOUT);
        Ok(response.map(|body| CappedBody::new(body, self.response_kib, silence, journal).boxed_unsync()))
    }

    /// Where a request goes and whether it can change something, if it is granted whatever the server takes it for.
    fn decide(&self, parts: &http::request::Parts) -> Result<(Endpoint, bool), Refusal> {
        let unclear = |why| Refusal {
            what: format!("HTTP request refused: {why}"),
            grant: None,
        };
        headers::one_path(&parts.headers).map_err(unclear)?;
        let methods = headers::methods(&parts.method, &parts.headers).map_err(unclear)?;
        let endpoint = self.allowlist.decide(&parts.method, &parts.uri)?;
        for other in &methods[1..] {
            self.allowlist.decide(other, &parts.uri)?;
        }
        Ok((endpoint, headers::can_write(&methods)))
    }

    /// Adds what the host identifies itself with, to the target and to the proxy.
    async fn identify(&self, parts: &mut http::request::Parts, endpoint: &Endpoint) -> Result<(), String> {
        if let Some(auth) = &self.auth {
            auth::add(&mut parts.headers, auth, self.secrets.as_ref()).await?;
        }
        // Through a tunnel the proxy is told when the tunnel is made; the target never is.
        if endpoint.scheme == HttpScheme::Http
            && let Some(credentials) = self.wire.proxy_credentials().await?
        {
            parts.headers.insert(PROXY_AUTHORIZATION, credentials);
        }
        Ok(())
    }

    /// Lets a request leave and waits for the head of its answer; the journal knows at every step what may have arrived.
    async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
        writes: bool,
        until: Instant,
        journal: &Journal,
    ) -> Result<Response<Incoming>, Error> {
        let plain = request.uri().scheme() == Some(&http::uri::Scheme::HTTP);
        if writes {
            journal.write_leaves();
        }
        let nothing_done = || {
            if writes {
                journal.write_came_to_nothing();
            }
        };
        let connection = capture_connection(&mut request);
        let sent = tokio::time::timeout_at(until.into(), self.pool.request(request)).await;
        let Ok(sent) = sent else {
            // Without a connection nothing has left, and nothing will: the request is gone.
            if connection.connection_metadata().is_none() {
                nothing_done();
                journal.trouble("no connection in time".to_owned());
                return Err(Error::ConnectionTimeout);
            }
            journal.trouble("no answer in time".to_owned());
            return Err(Error::ConnectionReadTimeout);
        };
        let response = sent.map_err(|error| {
            let failure = Failure::of(&error);
            if failure.nothing_done {
                nothing_done();
            }
            match failure.refusal {
                Some(refusal) => journal.refuse(refusal),
                None => journal.trouble(failure.what),
            }
            failure.code
        })?;
        match (response.status(), &self.wire.proxy) {
            (StatusCode::PROXY_AUTHENTICATION_REQUIRED, Some(proxy)) if plain => {
                nothing_done();
                journal.trouble(proxy::wants_credentials(proxy));
                Err(Error::DestinationUnavailable)
            }
            (StatusCode::SWITCHING_PROTOCOLS, _) => {
                journal.trouble(
                    "the answer asks for another protocol (101), which connectors cannot speak".to_owned(),
                );
                Err(Error::HttpUpgradeFailed)
            }
            _ => {
                if writes {
                    journal.write_answered();
                }
                Ok(response)
            }
        }
    }
}

/// What a guest asks for, within what the host allows.
fn clamp(asked: Option<Duration>, most: Duration) -> Duration {
    asked.map_or(most, |asked| asked.clamp(TIMEOUT_MIN, most))
}

async fn read(body: WasiBody) -> Result<Bytes, Error> {
    match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
        // They would be lost: the request leaves with its length, which leaves no place for them.
        Ok(collected) if collected.trailers().is_some_and(|trailers| !trailers.is_empty()) => {
            Err(Error::HttpRequestTrailerSectionSize(Some(0)))
        }
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Error::HttpRequestBodySize(Some(REQUEST_BYTES_MAX as u64)))
        }
        Err(error) => Err(error
            .downcast::<Error>()
            .map_or(Error::HttpProtocolError, |error| *error)),
    }
}

/// The egress as one call sees it.
pub(crate) struct HttpHooks {
    pub(crate) egress: Arc<HttpEgress>,
    pub(crate) journal: Arc<Journal>,
}

impl WasiHttpHooks for HttpHooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS.contains(name))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        REQUEST_CHUNK_BYTES
    }

    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Transmission), Error>> + Send> {
        let sending =
            Arc::clone(&self.egress).send(request, options.unwrap_or_default(), Arc::clone(&self.journal));
        Box::new(async move {
            let response = sending.await?;
            // The pool drives the connection; there is nothing left to do here.
            Ok((response, Box::new(std::future::ready(Ok(()))) as Transmission))
        })
    }
}

type Transmission = Box<dyn Future<Output = Result<(), Error>> + Send>;
