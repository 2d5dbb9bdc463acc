//! What happens to the secrets of a target around one request: they are put in after the decision, and must not come back in the answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, IF_RANGE, RANGE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use usher_lifecycle::connector::ErrorKind;
use usher_lifecycle::targets::{SecretReference, Target};
use wasmtime_wasi_http::Error;

use super::allow::Endpoint;
use super::auth::Authenticator;
use super::oauth2::AccessToken;
use super::places::{NotPlaced, Places};
use super::reflection::{KnownSecrets, Scanner};
use super::resolved::Resolved;
use super::scanned::Found;
use super::transport::Wire;
use crate::journal::{HostFailure, Journal, Refusal};
use crate::placeholders::Placeholders;
use crate::secrets::{SecretString, Secrets};

/// Guards the secrets of one generation.
pub(crate) struct Guard {
    target: String,
    auth: Option<Authenticator>,
    /// All secrets of the target: none may come back, whichever a request was made with.
    references: Vec<SecretReference>,
    known: KnownSecrets,
    secrets: Arc<dyn Secrets>,
}

/// A request that is ready to leave.
pub(crate) struct Equipped {
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
    /// What must not come back; nothing when there is nothing to look for.
    pub(crate) scanner: Option<Arc<Scanner>>,
    /// The access token it carries.
    pub(crate) token: Option<Arc<AccessToken>>,
}

impl Equipped {
    /// As it leaves.
    pub(crate) fn request(&self) -> Request<Full<Bytes>> {
        Request::from_parts(self.parts.clone(), Full::new(self.body.clone()))
    }
}

/// Why a request cannot be made ready.
pub(crate) enum NotEquipped {
    /// The guest asked for something it may not have.
    Refused(Refusal),
    /// The host could not do it.
    Failed(HostFailure),
}

impl NotEquipped {
    /// Notes it for the operator, and gives what the guest is told.
    pub(crate) fn note(self, journal: &Journal) -> Error {
        match self {
            Self::Refused(refusal) => {
                journal.refuse(refusal);
                Error::HttpRequestDenied
            }
            Self::Failed(failure) => {
                let code = match failure.kind {
                    ErrorKind::Unavailable | ErrorKind::RateLimited => Error::DestinationUnavailable,
                    _ => Error::ConfigurationError,
                };
                journal.host_failed(failure);
                code
            }
        }
    }
}

impl Guard {
    /// Of one target; an error says what of its configuration cannot be used.
    pub(crate) fn new(target: &Target, wire: &Wire, secrets: &Arc<dyn Secrets>) -> Result<Self, String> {
        Ok(Self {
            target: target.name.to_string(),
            auth: Authenticator::new(target, wire, secrets)?,
            references: target
                .sent_secrets()
                .into_iter()
                .map(|(_, reference)| reference.clone())
                .collect(),
            known: KnownSecrets::default(),
            secrets: Arc::clone(secrets),
        })
    }

    /// Puts the secrets into a request that was allowed.
    pub(crate) async fn equip(
        &self,
        mut parts: Parts,
        body: Bytes,
        endpoint: &Endpoint,
        placeholders: &Placeholders,
    ) -> Result<Equipped, NotEquipped> {
        let resolved = Resolved::of(&self.references, self.secrets.as_ref()).await;
        let mut exposed: Vec<SecretString> = resolved.found().cloned().collect();
        let body = self.place(&mut parts, body, endpoint, placeholders, &resolved)?;
        let mut token = None;
        if let Some(auth) = &self.auth {
            let added = auth
                .add(&mut parts, &resolved)
                .await
                .map_err(NotEquipped::Failed)?;
            exposed.extend(added.secrets);
            token = added.token;
        }
        // Before anything is sent: an answer that cannot be searched would have to be withheld, whatever was done for it.
        let scanner =
            self.known.scanner(&exposed).await.map_err(|why| {
                NotEquipped::Failed(HostFailure::of(ErrorKind::Misconfigured, why.to_string()))
            })?;
        if scanner.is_some() {
            ask_for_plain(&mut parts.headers);
        }
        Ok(Equipped {
            parts,
            body,
            scanner,
            token,
        })
    }

    fn place(
        &self,
        parts: &mut Parts,
        body: Bytes,
        endpoint: &Endpoint,
        placeholders: &Placeholders,
        resolved: &Resolved,
    ) -> Result<Bytes, NotEquipped> {
        let Some(places) = Places::new(&self.target, endpoint, placeholders) else {
            return Ok(body);
        };
        let mut secrets = BTreeMap::new();
        for name in places.asked(parts, &body) {
            let reference = &placeholders.declared[name].value;
            let secret = resolved.get(reference).map_err(NotEquipped::Failed)?;
            secrets.insert(name, secret);
        }
        places.fill(parts, body, &secrets).map_err(|why| match why {
            NotPlaced::Refused(refusal) => NotEquipped::Refused(refusal),
            NotPlaced::Unusable(what) => NotEquipped::Failed(HostFailure::of(ErrorKind::Misconfigured, what)),
        })
    }

    /// The target did not accept an access token. Whether another one is worth a try.
    pub(crate) async fn renew(&self, refused: &Arc<AccessToken>) -> bool {
        match &self.auth {
            Some(auth) => auth.renew(refused).await,
            None => false,
        }
    }
}

/// Compressed answers and parts of answers cannot be searched.
fn ask_for_plain(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.remove(RANGE);
    headers.remove(IF_RANGE);
}

/// Whether the head of an answer may reach the guest, and what follows it can be searched.
pub(crate) fn admit<B>(
    response: &Response<B>,
    scanner: &Scanner,
    found: &Found,
    journal: &Journal,
) -> Result<(), Error> {
    let only = |name: HeaderName, allowed: &str| {
        let values = response.headers().get_all(&name).iter();
        let odd = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(allowed));
        odd.map(|coding| format!("{name}: {}", crate::guest_text::line_of(coding, 64)))
    };
    let partial = (response.status() == StatusCode::PARTIAL_CONTENT).then(|| "a part of it only".to_owned());
    let unreadable = only(CONTENT_ENCODING, "identity")
        .or_else(|| only(TRANSFER_ENCODING, "chunked"))
        .or(partial);
    if let Some(how) = unreadable {
        journal.refuse(super::withheld(&format!(
            "the answer of {} came as {how}, although it was asked for whole and plain; so it cannot be searched for the target's secret and was withheld",
            found.from
        )));
        return Err(Error::HttpRequestDenied);
    }
    if scanner.finds_in_headers(response.headers()) {
        found.note(journal);
        return Err(Error::HttpRequestDenied);
    }
    Ok(())
}
