//! HTTP egress: how a connector's requests leave, if they may. Deny by default; see [`allow`] for what is checked, [`address`] and
//! [`connect`] for where a connection may end, [`auth`] for how the host authenticates.

mod address;
mod allow;
mod auth;
mod body;
mod connect;
mod failure;
mod fetch;
mod transport;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use usher_lifecycle::targets::{HttpAuth, Target};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use crate::journal::{Journal, Refusal};
use crate::secrets::Secrets;
use allow::Allowlist;
use body::CappedBody;
use failure::Failure;
#[allow(unused_imports, reason = "token endpoints come next")]
pub(crate) use fetch::{FetchError, Fetcher};
use transport::{Pool, Wire};

/// Largest request body, in bytes: far over any account; the body is held in memory while the decision is made.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes a guest hands over in one write.
const REQUEST_CHUNK_BYTES: usize = 64 * 1024;
/// Longest wait for the head of an answer, whatever the guest asks for.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
/// The egress of one generation: its rules, its credentials, its connections. Connections are never shared between targets.
pub(crate) struct HttpEgress {
    allowlist: Arc<Allowlist>,
    auth: Option<HttpAuth>,
    secrets: Arc<dyn Secrets>,
    response_kib: u32,
    pool: Pool,
}

impl HttpEgress {
    /// Of one target; an error says what of its configuration cannot be used.
    pub(crate) async fn new(target: &Target, secrets: Arc<dyn Secrets>) -> Result<Self, String> {
        let wire = Wire::new(target, secrets.as_ref()).await?;
        if let Some(auth) = &target.http_auth {
            auth::check(auth)?;
        }
        let allowlist = Arc::new(Allowlist::new(
            target.name.to_string(),
            target.grants.http.clone(),
        ));
        let pool = wire.pool(Arc::clone(&allowlist));
        let response_kib = target.limits.response_kib;
        Ok(Self {
            allowlist,
            auth: target.http_auth.clone(),
            secrets,
            response_kib,
            pool,
        })
    }

    /// Sends one request of a guest, if it may leave.
    async fn send(
        self: Arc<Self>,
        request: Request<WasiBody>,
        options: RequestOptions,
        journal: Arc<Journal>,
    ) -> Result<Response<WasiBody>, Error> {
        let until = Instant::now()
            + options
                .first_byte_timeout
                .unwrap_or(FIRST_BYTE_TIMEOUT)
                .min(FIRST_BYTE_TIMEOUT);
        let until = until.min(journal.deadline).into();
        // The body is read even if the request is then refused: a guest whose body is not taken sees a broken pipe, not the
        // refusal, and some language runtimes trap.
        let (mut parts, body) = request.into_parts();
        let body = tokio::time::timeout_at(until, read(body))
            .await
            .map_err(|_| Error::ConnectionWriteTimeout)??;
        if !journal.take_requests(1) {
            return Err(Error::ConnectionLimitReached);
        }
        self.allowlist
            .decide(&parts.method, &parts.uri)
            .map_err(|refusal| {
                journal.refuse(refusal);
                Error::HttpRequestDenied
            })?;
        // The host frames the message: its length is that of the body read above, its host that of the address checked.
        parts.headers.remove(http::header::CONTENT_LENGTH);
        parts.headers.remove(http::header::HOST);
        parts.headers.remove(http::header::EXPECT);
        if let Some(auth) = &self.auth {
            auth::add(&mut parts.headers, auth, self.secrets.as_ref())
                .await
                .map_err(|why| {
                    journal.refuse(Refusal {
                        what: why,
                        grant: None,
                    });
                    Error::ConfigurationError
                })?;
        }
        let writes = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if writes {
            journal.write_leaves();
        }
        let sent = tokio::time::timeout_at(
            until,
            self.pool.request(Request::from_parts(parts, Full::new(body))),
        )
        .await;
        let response = sent.map_err(|_| Error::ConnectionReadTimeout)?.map_err(|error| {
            let failure = Failure::of(&error);
            if writes && failure.nothing_left {
                journal.write_came_to_nothing();
            }
            if let Some(refusal) = failure.refusal {
                journal.refuse(refusal);
            }
            failure.code
        })?;
        if writes {
            journal.write_answered();
        }
        let response_kib = self.response_kib;
        Ok(response.map(|body| {
            CappedBody::new(body, response_kib, options.between_bytes_timeout, journal).boxed_unsync()
        }))
    }
}

async fn read(body: WasiBody) -> Result<Bytes, Error> {
    match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
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
