//! Connections of one target: how they are made, kept and limited.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use usher_lifecycle::targets::{Proxy, Tls};

use super::allow::Allowlist;
use super::connect::CheckedConnector;
use super::proxy;
use super::resolve::Resolver;
use super::tls::TargetTls;
use crate::secrets::Secrets;

/// How long an unused connection is kept: shorter than common servers do, so that few are found closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// Unused connections kept for one target.
const IDLE_CONNECTIONS_MAX: usize = 32;
/// Headers of one answer.
pub(super) const RESPONSE_HEADERS_MAX: usize = 100;
/// Size of the headers of one answer, in bytes.
pub(super) const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one answer that may wait here for a connector to read them (HTTP/2).
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// The same for all answers of one connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Longest wait for one connection, the name and the proxy included: three lost SYN packets.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest handshake: four round trips to the far side of the world, and a slow signature.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a target's certificates and key are looked at again, when a connection is made.
const TLS_LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// How often an HTTP/2 connection is asked whether it is still there, used or not: one that a firewall forgot is then gone before a
/// write is sent into it.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long the answer to that may take.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) type Pool = Client<CheckedConnector, Full<Bytes>>;

/// How long the making of a connection may take, and how it is watched. Tests are less patient.
#[derive(Clone, Debug)]
pub(super) struct Times {
    pub(super) connect: Duration,
    pub(super) handshake: Duration,
    pub(super) tls_look: Duration,
    pub(super) ping_interval: Duration,
    pub(super) ping_timeout: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: CONNECT_TIMEOUT,
            handshake: HANDSHAKE_TIMEOUT,
            tls_look: TLS_LOOK_INTERVAL,
            ping_interval: PING_INTERVAL,
            ping_timeout: PING_TIMEOUT,
        }
    }
}

/// How the connections of one target are made, whoever asks for them.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(super) tls: Arc<TargetTls>,
    pub(super) proxy: Option<Proxy>,
    pub(super) resolver: Resolver,
    pub(super) times: Times,
    secrets: Arc<dyn Secrets>,
}

impl Wire {
    /// Of one target; an error says what of its configuration cannot be used.
    pub(crate) async fn new(
        tls: &Tls,
        proxy: Option<Proxy>,
        secrets: Arc<dyn Secrets>,
    ) -> Result<Self, String> {
        Ok(Self {
            tls: Arc::new(TargetTls::load(tls, Arc::clone(&secrets)).await?),
            proxy,
            resolver: Resolver::System,
            times: Times::default(),
            secrets,
        })
    }

    /// What the proxy wants to be told. Asked anew each time, so that a rotated password is used at once.
    pub(super) async fn proxy_credentials(&self) -> Result<Option<HeaderValue>, String> {
        match &self.proxy {
            Some(proxy) => proxy::credentials(proxy, self.secrets.as_ref()).await,
            None => Ok(None),
        }
    }

    /// A pool of its own for everything one allowlist lets through: what was connected under other rules is never used.
    pub(super) fn pool(&self, allowlist: Arc<Allowlist>) -> Pool {
        // `retry_canceled_requests` stays on: it tries again only what was given back unsent because a kept connection was
        // found closed, never what began to leave.
        Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .http1_max_headers(RESPONSE_HEADERS_MAX)
            .http1_max_buf_size(RESPONSE_HEAD_BYTES_MAX)
            .http2_max_header_list_size(RESPONSE_HEAD_BYTES_MAX as u32)
            .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(self.times.ping_interval)
            .http2_keep_alive_timeout(self.times.ping_timeout)
            .http2_keep_alive_while_idle(true)
            .build(CheckedConnector::new(allowlist, self.clone()))
    }
}
