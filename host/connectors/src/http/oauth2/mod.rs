//! Access tokens: fetched by the host, kept until shortly before their end, shared by everything that works for the target.

mod exchange;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use usher_lifecycle::connector::ErrorKind;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::targets::{OAuth2, SecretReference};

use super::Fetcher;
use crate::journal::{HostFailure, lock};
use crate::secrets::{Kept, SecretString, Secrets};
use exchange::{Credentials, Grant, NoToken, exchange};

/// How long a failure stands for all who ask: one request tells a whole queue that the server is down.
const FAILURE_KEPT: Duration = Duration::from_secs(1);
/// Longest time a server may ask to be left alone here; the queue has waits of its own.
const FAILURE_KEPT_MAX: Duration = Duration::from_secs(60);
/// How long a token that was never accepted is used before another is fetched: another would be refused too, and servers count.
const UNPROVEN_KEPT: Duration = Duration::from_secs(30);
/// From how many targets on, those whose token nobody can use any more are forgotten.
const SLOTS_MANY: usize = 256;

/// The tokens of the process, so that a reloaded connector or a second generation goes on with the token of the first.
static SLOTS: LazyLock<Mutex<Slots>> = LazyLock::new(Mutex::default);

type Slots = HashMap<(TargetName, OAuth2), Arc<Slot>>;

/// The one access token of one target and configuration.
#[derive(Default)]
struct Slot {
    /// Held while a token is fetched: all others wait for that one.
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of the secrets the rest was made with.
    made_with: [u8; 32],
    token: Option<Arc<AccessToken>>,
    failed: Option<(Instant, HostFailure)>,
    /// What the server gave in place of the configured refresh token.
    rotated: Option<Rotated>,
}

/// A refresh token that took the place of the configured one.
struct Rotated {
    /// Of the configured token: when that changes, somebody has authorised anew and this is void.
    instead_of: [u8; 32],
    token: SecretString,
}

/// An access token and what is known of it.
pub(crate) struct AccessToken {
    token: SecretString,
    /// What else must not come back in an answer: client secret and refresh token.
    beside: Vec<SecretString>,
    since: Instant,
    good_until: Instant,
    proven: AtomicBool,
}

impl AccessToken {
    pub(crate) fn secret(&self) -> &SecretString {
        &self.token
    }

    /// The secrets it was got with.
    pub(crate) fn beside(&self) -> &[SecretString] {
        &self.beside
    }

    /// The target accepted it.
    pub(crate) fn accepted(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }
}

/// Where one generation gets its access tokens.
pub(crate) struct TokenSource {
    target: TargetName,
    oauth2: OAuth2,
    slot: Arc<Slot>,
    fetcher: Arc<Fetcher>,
    secrets: Arc<dyn Secrets>,
}

impl TokenSource {
    pub(crate) fn new(
        target: TargetName,
        oauth2: OAuth2,
        fetcher: Fetcher,
        secrets: Arc<dyn Secrets>,
    ) -> Self {
        let slot = slot(&target, &oauth2);
        Self {
            target,
            oauth2,
            slot,
            fetcher: Arc::new(fetcher),
            secrets,
        }
    }

    /// A token to use now.
    pub(crate) async fn token(self: &Arc<Self>) -> Result<Arc<AccessToken>, HostFailure> {
        let source = Arc::clone(self);
        // In a task of its own: a call that is cut off must not lose the refresh token an answer brings.
        let getting = tokio::spawn(async move { source.current_or_new().await });
        getting.await.unwrap_or_else(|_| {
            Err(HostFailure::of(
                ErrorKind::Unavailable,
                "fetching an access token was cut short".to_owned(),
            ))
        })
    }

    /// The target refused a token: it is thrown away, if it is still the one in use. False when another one would be refused too.
    pub(crate) async fn throw_away(&self, refused: &Arc<AccessToken>) -> bool {
        if !refused.proven.load(Ordering::Relaxed) && refused.since.elapsed() < UNPROVEN_KEPT {
            return false;
        }
        let mut state = self.slot.state.lock().await;
        if state
            .token
            .as_ref()
            .is_some_and(|token| Arc::ptr_eq(token, refused))
        {
            state.token = None;
        }
        true
    }

    async fn current_or_new(&self) -> Result<Arc<AccessToken>, HostFailure> {
        let (client_secret, configured) = (
            self.resolved(self.oauth2.client_secret.as_ref()).await?,
            self.resolved(self.oauth2.refresh_token.as_ref()).await?,
        );
        let mut state = self.slot.state.lock().await;
        // A changed refresh token does not end the access token: with several hosts it changes whenever another one renews its own.
        let made_with = fingerprint(client_secret.as_ref());
        if state.made_with != made_with {
            state.made_with = made_with;
            (state.token, state.failed) = (None, None);
        }
        if let Some(token) = state
            .token
            .as_ref()
            .filter(|token| Instant::now() < token.good_until)
        {
            return Ok(Arc::clone(token));
        }
        let configured_print = fingerprint(configured.as_ref());
        if state
            .rotated
            .as_ref()
            .is_some_and(|rotated| rotated.instead_of != configured_print)
        {
            (state.rotated, state.failed) = (None, None);
        }
        if let Some((_, failure)) = state.failed.as_ref().filter(|(until, _)| Instant::now() < *until) {
            return Err(failure.clone());
        }
        let refresh = state
            .rotated
            .as_ref()
            .map(|rotated| rotated.token.clone())
            .or(configured);
        match self.fetch(client_secret.as_ref(), refresh.as_ref()).await {
            Ok((grant, used)) => Ok(self.took(&mut state, grant, client_secret, used).await),
            Err(refused) => {
                let asked = refused.failure.retry_after_ms.map(Duration::from_millis);
                let wait = asked.unwrap_or(FAILURE_KEPT).min(FAILURE_KEPT_MAX);
                state.failed = Some((Instant::now() + wait, refused.failure.clone()));
                Err(refused.failure)
            }
        }
    }

    /// Fetches, and tells which refresh token was used.
    async fn fetch(
        &self,
        client_secret: Option<&SecretString>,
        refresh: Option<&SecretString>,
    ) -> Result<(Grant, Option<SecretString>), NoToken> {
        let credentials = |refresh_token| Credentials {
            oauth2: &self.oauth2,
            client_secret,
            refresh_token,
        };
        let refused = match exchange(&self.fetcher, &credentials(refresh)).await {
            Ok(grant) => return Ok((grant, refresh.cloned())),
            Err(refused) if refused.invalid_grant => refused,
            Err(refused) => return Err(refused),
        };
        // Another host may have used it meanwhile and kept the next one; or somebody has just authorised anew.
        match self.resolved(self.oauth2.refresh_token.as_ref()).await {
            Ok(Some(newer)) if refresh.is_some_and(|refresh| refresh.expose() != newer.expose()) => {
                let grant = exchange(&self.fetcher, &credentials(Some(&newer))).await?;
                Ok((grant, Some(newer)))
            }
            Ok(_) | Err(_) => Err(refused),
        }
    }

    async fn took(
        &self,
        state: &mut State,
        grant: Grant,
        client_secret: Option<SecretString>,
        used: Option<SecretString>,
    ) -> Arc<AccessToken> {
        if let (Some(reference), Some(given)) = (&self.oauth2.refresh_token, &grant.refresh_token)
            && used.as_ref().is_none_or(|used| used.expose() != given.expose())
        {
            self.rotate(state, reference, given).await;
        }
        let token = Arc::new(AccessToken {
            token: grant.access_token,
            beside: [client_secret, used, grant.refresh_token]
                .into_iter()
                .flatten()
                .collect(),
            since: Instant::now(),
            good_until: grant.good_until,
            proven: AtomicBool::new(false),
        });
        (state.token, state.failed) = (Some(Arc::clone(&token)), None);
        tracing::debug!(target = %self.target, "a new access token");
        token
    }

    /// Keeps a new refresh token: in memory at once, and where the old one stood if that can be written.
    async fn rotate(&self, state: &mut State, reference: &SecretReference, given: &SecretString) {
        let target = self.target.as_str();
        let instead_of = match self.secrets.keep(reference, given).await {
            Ok(Kept::Durably) => fingerprint(Some(given)),
            Ok(Kept::InMemory) => {
                tracing::warn!(target, %reference, "the server gave a new refresh token, which is lost when this process ends; keep it with `usher secret set` and {{ store = … }} instead");
                self.configured_print(reference).await
            }
            Err(why) => {
                tracing::error!(target, %reference, why, "the server gave a new refresh token, which could not be kept; it is lost when this process ends");
                self.configured_print(reference).await
            }
        };
        state.rotated = Some(Rotated {
            instead_of,
            token: given.clone(),
        });
    }

    async fn configured_print(&self, reference: &SecretReference) -> [u8; 32] {
        fingerprint(self.secrets.resolve(reference).await.ok().as_ref())
    }

    async fn resolved(
        &self,
        reference: Option<&SecretReference>,
    ) -> Result<Option<SecretString>, HostFailure> {
        match reference {
            None => Ok(None),
            Some(reference) => super::auth::resolve(self.secrets.as_ref(), reference)
                .await
                .map(Some),
        }
    }
}

fn slot(target: &TargetName, oauth2: &OAuth2) -> Arc<Slot> {
    let mut slots = lock(&SLOTS);
    if slots.len() >= SLOTS_MANY {
        // A refresh token that is nowhere else is never forgotten.
        let dear = |slot: &Slot| {
            slot.state
                .try_lock()
                .map_or(true, |state| state.rotated.is_some())
        };
        slots.retain(|_, slot| Arc::strong_count(slot) > 1 || dear(slot));
    }
    let slot = slots.entry((target.clone(), oauth2.clone())).or_default();
    Arc::clone(slot)
}

/// Tells secrets apart without keeping them.
fn fingerprint(secret: Option<&SecretString>) -> [u8; 32] {
    match secret {
        Some(secret) => Sha256::digest(secret.expose()).into(),
        None => [0; 32],
    }
}
