//! Access tokens: fetched by the host, kept until shortly before their end, shared by everything that works for the target.

mod exchange;
mod refresh;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use usher_lifecycle::connector::ErrorKind;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::targets::{OAuth2, SecretReference};

use super::Fetcher;
use super::resolved::{Resolved, unavailable};
use crate::journal::{HostFailure, lock};
use crate::secrets::{SecretString, Secrets};
use exchange::{Credentials, Grant, NoToken, exchange};
use refresh::Rotated;

/// How long a failure stands for all who ask: one request tells a whole queue that the server is down.
const FAILURE_KEPT: Duration = Duration::from_secs(1);
/// Longest time a server may ask to be left alone here; the queue has waits of its own.
const FAILURE_KEPT_MAX: Duration = Duration::from_secs(60);
/// How long a token that was never accepted is used before another is fetched: another would be refused too, and servers count.
const UNPROVEN_KEPT: Duration = Duration::from_secs(30);
/// How often a token that was accepted before is given up because of a 401, within [`RENEWALS_PERIOD`]. What answers 401 is partly in the
/// hands of the connector; the token endpoint must not be.
const RENEWALS_MAX: usize = 2;
/// The time in which [`RENEWALS_MAX`] counts.
const RENEWALS_PERIOD: Duration = Duration::from_secs(60);
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
    /// When tokens were given up because of a 401, the newest last.
    given_up: VecDeque<Instant>,
    /// Whether a task sees to it that the new refresh token is kept.
    keeping: bool,
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
    pub(crate) async fn token(
        self: &Arc<Self>,
        resolved: &Resolved,
    ) -> Result<Arc<AccessToken>, HostFailure> {
        if let Some(token) = self.at_hand(resolved)? {
            return Ok(token);
        }
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

    /// The token of the last request, if it is good for this one and nobody is fetching.
    fn at_hand(&self, resolved: &Resolved) -> Result<Option<Arc<AccessToken>>, HostFailure> {
        let client_secret = self.oauth2.client_secret.as_ref();
        let client_secret = client_secret
            .map(|reference| resolved.get(reference))
            .transpose()?;
        let Ok(state) = self.slot.state.try_lock() else {
            return Ok(None);
        };
        if state.is_to_be_kept() {
            return Ok(None);
        }
        let made_with = fingerprint(client_secret.as_ref());
        Ok(state.good_token().filter(|_| state.made_with == made_with))
    }

    /// The target refused a token: it is thrown away, if it is still the one in use. False when another one would be refused too.
    pub(crate) async fn throw_away(&self, refused: &Arc<AccessToken>) -> bool {
        if !refused.proven.load(Ordering::Relaxed) && refused.since.elapsed() < UNPROVEN_KEPT {
            return false;
        }
        let mut state = self.slot.state.lock().await;
        let in_use = state
            .token
            .as_ref()
            .is_some_and(|token| Arc::ptr_eq(token, refused));
        if in_use {
            state
                .given_up
                .retain(|given_up| given_up.elapsed() < RENEWALS_PERIOD);
            if state.given_up.len() >= RENEWALS_MAX {
                return false;
            }
            state.given_up.push_back(Instant::now());
            state.token = None;
        }
        true
    }

    async fn current_or_new(self: &Arc<Self>) -> Result<Arc<AccessToken>, HostFailure> {
        let mut state = self.slot.state.lock().await;
        // An earlier generation may have ended before it could.
        self.see_to_keeping(&mut state);
        // Looked up while nobody else fetches: what was configured before that may have been replaced meanwhile.
        let client_secret = self.resolved(self.oauth2.client_secret.as_ref()).await?;
        // A changed refresh token does not end the access token: with several hosts it changes whenever another one renews its own.
        let made_with = fingerprint(client_secret.as_ref());
        if state.made_with != made_with {
            state.made_with = made_with;
            (state.token, state.failed) = (None, None);
        }
        if let Some(token) = state.good_token() {
            return Ok(token);
        }
        let configured = self.configured(&mut state).await?;
        if let Some((_, failure)) = state.failed.as_ref().filter(|(until, _)| Instant::now() < *until) {
            return Err(failure.clone());
        }
        let rotated = state.rotated.as_ref().map(|rotated| rotated.token.clone());
        let fetched = self
            .fetch(client_secret.as_ref(), rotated.as_ref(), configured.as_ref())
            .await;
        match fetched {
            Ok((grant, used)) => Ok(self.took(&mut state, grant, client_secret, used).await),
            Err(refused) => {
                let asked = refused.failure.retry_after_ms.map(Duration::from_millis);
                let wait = asked.unwrap_or(FAILURE_KEPT).min(FAILURE_KEPT_MAX);
                state.failed = Some((Instant::now() + wait, refused.failure.clone()));
                Err(refused.failure)
            }
        }
    }

    /// Fetches, and tells which refresh token was used: what the server gave, before what is configured.
    async fn fetch(
        &self,
        client_secret: Option<&SecretString>,
        rotated: Option<&SecretString>,
        configured: Option<&SecretString>,
    ) -> Result<(Grant, Option<SecretString>), NoToken> {
        let credentials = |refresh_token| Credentials {
            oauth2: &self.oauth2,
            client_secret,
            refresh_token,
        };
        let refresh = rotated.or(configured);
        let refused = match exchange(&self.fetcher, &credentials(refresh)).await {
            Ok(grant) => return Ok((grant, refresh.cloned())),
            Err(refused) if refused.invalid_grant => refused,
            Err(refused) => return Err(refused),
        };
        // Another host may have used it meanwhile and kept the next one; or somebody has just authorised anew.
        let known = |newer: &SecretString| {
            let same = |known: &SecretString| known.expose() == newer.expose();
            rotated.is_some_and(same) || configured.is_some_and(same)
        };
        match self.resolved(self.oauth2.refresh_token.as_ref()).await {
            Ok(Some(newer)) if !known(&newer) => {
                let grant = exchange(&self.fetcher, &credentials(Some(&newer))).await?;
                Ok((grant, Some(newer)))
            }
            Ok(_) | Err(_) => Err(refused),
        }
    }

    async fn took(
        self: &Arc<Self>,
        state: &mut State,
        grant: Grant,
        client_secret: Option<SecretString>,
        used: Option<SecretString>,
    ) -> Arc<AccessToken> {
        if let (Some(reference), Some(given)) = (&self.oauth2.refresh_token, &grant.refresh_token)
            && used.as_ref().is_none_or(|used| used.expose() != given.expose())
        {
            self.rotate(state, reference, given, used.as_ref()).await;
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

    async fn resolved(
        &self,
        reference: Option<&SecretReference>,
    ) -> Result<Option<SecretString>, HostFailure> {
        match reference {
            None => Ok(None),
            Some(reference) => match self.secrets.resolve(reference).await {
                Ok(secret) => Ok(Some(secret)),
                Err(why) => Err(unavailable(&why)),
            },
        }
    }
}

impl State {
    fn good_token(&self) -> Option<Arc<AccessToken>> {
        let token = self.token.as_ref()?;
        (Instant::now() < token.good_until).then(|| Arc::clone(token))
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
