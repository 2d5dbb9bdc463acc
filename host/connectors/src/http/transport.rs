//! Connections of one target: how they are made, kept and limited.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use usher_lifecycle::targets::Target;

use super::allow::Allowlist;
use super::connect::CheckedConnector;
use crate::secrets::Secrets;

/// How long an unused connection is kept: shorter than common servers do, so that few are found closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// Unused connections kept for one target.
const IDLE_CONNECTIONS_MAX: usize = 32;
/// Headers of one answer, and their size in bytes.
const RESPONSE_HEADERS_MAX: usize = 100;
const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;

pub(super) type Pool = Client<HttpsConnector<CheckedConnector>, Full<Bytes>>;

/// How the connections of one target are made, whoever asks for them.
#[derive(Clone)]
pub(crate) struct Wire {}

impl Wire {
    /// Of one target; an error says what of its configuration cannot be used.
    pub(crate) async fn new(_target: &Target, _secrets: &dyn Secrets) -> Result<Self, String> {
        Ok(Self {})
    }

    /// A pool of its own for everything one allowlist lets through: what was connected under other rules is never used.
    pub(super) fn pool(&self, allowlist: Arc<Allowlist>) -> Pool {
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(CheckedConnector::new(allowlist));
        Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .http1_max_headers(RESPONSE_HEADERS_MAX)
            .http1_max_buf_size(RESPONSE_HEAD_BYTES_MAX)
            .build(connector)
    }
}
