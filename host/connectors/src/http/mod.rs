//! HTTP egress: how a connector's requests leave, if they may. Deny by default; see [`allow`] for what is checked, [`address`] and
//! [`connect`] for where a connection may end, [`tls`] and [`proxy`] for how a connection is made, [`failure`] for what is said when there is
//! no answer. [`guard`] keeps the secrets: [`auth`] and [`oauth2`] are how the host authenticates, [`places`] is for secrets that a connector
//! places, [`reflection`] for what may not come back.

pub(crate) mod address;
pub(crate) mod allow;
mod auth;
mod body;
mod body_kind;
mod connect;
mod failure;
mod fetch;
mod guard;
mod headers;
mod hooks;
mod missing;
mod oauth2;
mod places;
mod pointers;
mod proxy;
mod reflection;
mod resolve;
mod resolved;
mod scanned;
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
use usher_lifecycle::connector::ErrorKind;
use usher_lifecycle::targets::{HttpScheme, Target};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use crate::journal::{HostFailure, Journal, Refusal};
use crate::placeholders::Placeholders;
use crate::secrets::Secrets;
use allow::{Allowlist, Endpoint};
use body::CappedBody;
use failure::Failure;
pub(crate) use fetch::{FetchError, Fetcher};
use guard::{Equipped, Guard};
pub(crate) use hooks::HttpHooks;
pub(crate) use reflection::SCANNED_BYTES_MIN;
use reflection::Scanner;
use scanned::{Found, ScannedBody};
use transport::{Pool, RESPONSE_HEAD_BYTES_MAX, RESPONSE_HEADERS_MAX, Wire};

/// Largest request body, in bytes: far over any account; the body is held in memory while the decision is made.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Longest wait for the head of an answer, whatever the guest asks for.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence within an answer, whatever the guest asks for.
const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(30);
/// Shortest wait a guest can ask for: less would give up on everything, also on writes that have left.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// The egress of one generation: its rules, its credentials, its connections. Connections are never shared between targets.
pub(crate) struct HttpEgress {
    allowlist: Arc<Allowlist>,
    guard: Guard,
    response_kib: u32,
    wire: Wire,
    pool: Pool,
}

impl HttpEgress {
    /// Of one target; an error says what of its configuration cannot be used.
    pub(crate) async fn new(target: &Target, secrets: Arc<dyn Secrets>) -> Result<Self, String> {
        let wire = Wire::new(&target.tls, target.proxy.clone(), Arc::clone(&secrets)).await?;
        Self::over(wire, target, &secrets)
    }

    fn over(wire: Wire, target: &Target, secrets: &Arc<dyn Secrets>) -> Result<Self, String> {
        let allowlist = Arc::new(Allowlist::new(
            target.name.to_string(),
            target.grants.http.clone(),
        ));
        Ok(Self {
            pool: wire.pool(Arc::clone(&allowlist)),
            allowlist,
            guard: Guard::new(target, &wire, secrets)?,
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
        placeholders: Placeholders,
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
        let bytes = head_bytes + body.len();
        if !journal.take_requests(1) || !journal.take_transfer(bytes) {
            return Err(Error::ConnectionLimitReached);
        }
        let (endpoint, writes) = self.decide(&parts).map_err(|refusal| {
            journal.refuse(refusal);
            Error::HttpRequestDenied
        })?;
        headers::strip(&mut parts.headers);
        let asked = Asked {
            parts,
            body,
            bytes,
            endpoint,
            writes,
        };
        let (equipped, response) = self
            .exchange_authenticated(&asked, &placeholders, until, &journal)
            .await?;
        let found = Found {
            from: asked.endpoint.host,
            writes,
        };
        let admitted = Self::admit(&response, equipped.scanner.as_deref(), &found, &journal);
        if admitted.is_err() && writes {
            journal.answer_withheld();
        }
        admitted?;
        let silence = clamp(options.between_bytes_timeout, BETWEEN_BYTES_TIMEOUT);
        Ok(response.map(|body| {
            let body = CappedBody::new(body, self.response_kib, silence, Arc::clone(&journal), writes);
            match equipped.scanner {
                Some(scanner) => ScannedBody::new(body, scanner, journal, found).boxed_unsync(),
                None => body.boxed_unsync(),
            }
        }))
    }

    /// Whether the head of an answer may reach the guest.
    fn admit(
        response: &Response<Incoming>,
        scanner: Option<&Scanner>,
        found: &Found,
        journal: &Journal,
    ) -> Result<(), Error> {
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
        scanner.map_or(Ok(()), |scanner| guard::admit(response, scanner, found, journal))
    }

    /// Sends a request with the target's secrets in it; once more with a new access token, where the server does not accept the old one.
    async fn exchange_authenticated(
        &self,
        asked: &Asked,
        placeholders: &Placeholders,
        until: Instant,
        journal: &Journal,
    ) -> Result<(Equipped, Response<Incoming>), Error> {
        let equipped = self.equip(asked, placeholders, until, journal).await?;
        let response = self
            .exchange(equipped.request(), asked.writes, until, journal)
            .await?;
        let Some(token) = &equipped.token else {
            return Ok((equipped, response));
        };
        if response.status() != StatusCode::UNAUTHORIZED {
            token.accepted();
            return Ok((equipped, response));
        }
        // "Has not been applied", says RFC 9110 of a request that gets 401: so it may be sent again, a write too.
        let again = self.guard.renew(token).await
            && journal.take_requests(1)
            && journal.take_transfer(body::head_bytes(response.headers()) + asked.bytes);
        if !again {
            return Ok((equipped, response));
        }
        if asked.writes {
            journal.write_refused();
        }
        let equipped = self.equip(asked, placeholders, until, journal).await?;
        let response = self
            .exchange(equipped.request(), asked.writes, until, journal)
            .await?;
        if let Some(token) = equipped
            .token
            .as_ref()
            .filter(|_| response.status() != StatusCode::UNAUTHORIZED)
        {
            token.accepted();
        }
        Ok((equipped, response))
    }

    /// Puts in what the host identifies itself with, to the target and to the proxy, and the secrets the connector asked for.
    async fn equip(
        &self,
        asked: &Asked,
        placeholders: &Placeholders,
        until: Instant,
        journal: &Journal,
    ) -> Result<Equipped, Error> {
        let (parts, body) = (asked.parts.clone(), asked.body.clone());
        let equipping = self.guard.equip(parts, body, &asked.endpoint, placeholders);
        let mut equipped = match tokio::time::timeout_at(until.into(), equipping).await {
            Ok(equipped) => equipped.map_err(|why| why.note(journal))?,
            Err(_) => {
                let what = "no credentials in time: an access token took longer than the request may";
                journal.host_failed(HostFailure::of(ErrorKind::Unavailable, what.to_owned()));
                return Err(Error::ConnectionTimeout);
            }
        };
        // Through a tunnel the proxy is told when the tunnel is made; the target never is.
        if asked.endpoint.scheme == HttpScheme::Http {
            let credentials = self.wire.proxy_credentials().await.map_err(|what| {
                journal.host_failed(HostFailure::of(ErrorKind::Misconfigured, what));
                Error::ConfigurationError
            })?;
            if let Some(credentials) = credentials {
                equipped.parts.headers.insert(PROXY_AUTHORIZATION, credentials);
            }
        }
        Ok(equipped)
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

/// A request that was allowed.
struct Asked {
    parts: http::request::Parts,
    body: Bytes,
    /// Size of all of it.
    bytes: usize,
    endpoint: Endpoint,
    writes: bool,
}

/// What is noted of an answer that does not reach the guest.
fn withheld(what: &str) -> Refusal {
    Refusal {
        what: what.to_owned(),
        grant: None,
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
