//! Usher's own calls for a target (token endpoints): the same checks and connections as a connector's, under a rule of their own.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::uri::Scheme;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use usher_lifecycle::targets::HttpGrant;

use super::allow::Allowlist;
use super::failure::Failure;
use super::proxy;
use super::transport::{Pool, Wire};

/// Makes calls to one endpoint that the operator configured. Its rule and its connections are not the connector's: neither can use
/// what is allowed to the other.
pub(crate) struct Fetcher {
    allowlist: Arc<Allowlist>,
    wire: Wire,
    pool: Pool,
}

/// Why a call of Usher's own failed. All texts are safe to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// It may not be made as configured; trying again does not help.
    #[error("{0}")]
    Refused(String),
    /// The peer could not be reached, or not be trusted. It has done nothing.
    #[error("{0}")]
    Unreachable(String),
    /// It was sent, and the answer did not come, not whole, or not in time.
    #[error("{0}")]
    Lost(String),
    /// The answer is larger than may be.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

impl Fetcher {
    /// For what `rule` allows and nothing else. `target` names whose configuration this is.
    pub(crate) fn new(wire: &Wire, target: String, rule: HttpGrant) -> Self {
        let allowlist = Arc::new(Allowlist::new(target, vec![rule]));
        Self {
            pool: wire.pool(Arc::clone(&allowlist)),
            wire: wire.clone(),
            allowlist,
        }
    }

    /// Sends one request with an absolute URI and reads the whole answer, whatever its status. Redirects are not followed.
    pub(crate) async fn fetch(
        &self,
        mut request: Request<Bytes>,
        response_bytes_max: usize,
        deadline: Instant,
    ) -> Result<Response<Bytes>, FetchError> {
        self.allowlist
            .decide(request.method(), request.uri())
            .map_err(|refusal| FetchError::Refused(refusal.what))?;
        let plain = request.uri().scheme() == Some(&Scheme::HTTP);
        let fetching = async {
            // Through a tunnel the proxy is told when the tunnel is made.
            if plain
                && let Some(credentials) = self.wire.proxy_credentials().await.map_err(FetchError::Refused)?
            {
                request.headers_mut().insert(PROXY_AUTHORIZATION, credentials);
            }
            let sent = self.pool.request(request.map(Full::new)).await;
            let response = sent.map_err(|error| FetchError::from(Failure::of(&error)))?;
            match (response.status(), &self.wire.proxy) {
                (StatusCode::SWITCHING_PROTOCOLS, _) => {
                    return Err(FetchError::Lost("it answered with another protocol".to_owned()));
                }
                (StatusCode::PROXY_AUTHENTICATION_REQUIRED, Some(proxy)) if plain => {
                    return Err(FetchError::Unreachable(proxy::wants_credentials(proxy)));
                }
                _ => {}
            }
            let (parts, body) = response.into_parts();
            match Limited::new(body, response_bytes_max).collect().await {
                Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
                Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge(response_bytes_max)),
                Err(_) => Err(FetchError::Lost("the answer was cut off".to_owned())),
            }
        };
        tokio::time::timeout_at(deadline.into(), fetching)
            .await
            .unwrap_or_else(|_| Err(FetchError::Lost("no answer in time".to_owned())))
    }
}

impl From<Failure> for FetchError {
    fn from(failure: Failure) -> Self {
        if failure.refusal.is_some() {
            Self::Refused(failure.what)
        } else if failure.nothing_done {
            Self::Unreachable(failure.what)
        } else {
            Self::Lost(failure.what)
        }
    }
}
