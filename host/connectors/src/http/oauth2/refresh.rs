//! Refresh tokens that a server gives in place of the configured one: used at once, and kept where that one stands.

use std::sync::{Arc, Weak};
use std::time::Duration;

use usher_lifecycle::targets::SecretReference;

use super::{Slot, State, TokenSource, fingerprint};
use crate::journal::HostFailure;
use crate::secrets::{Kept, SecretString};

/// First wait before a refresh token that could not be kept is kept again; it doubles.
const KEEP_AGAIN: Duration = Duration::from_secs(1);
/// Longest of these waits.
const KEEP_AGAIN_MAX: Duration = Duration::from_secs(60);

/// A refresh token that took the place of the configured one.
pub(super) struct Rotated {
    /// Of the token that was configured then.
    instead_of: [u8; 32],
    pub(super) token: SecretString,
    /// What became of keeping it; nothing while that has not been possible.
    kept: Option<Kept>,
}

impl Rotated {
    fn waits(&self) -> bool {
        self.kept.is_none()
    }

    /// Whether somebody has authorised anew, or another host renewed, so that what is configured now is newer than this.
    fn is_outdated(&self, configured: &SecretString) -> bool {
        let configured = fingerprint(Some(configured));
        configured != self.instead_of && configured != fingerprint(Some(&self.token))
    }
}

impl TokenSource {
    /// The configured refresh token. When it is newer than what the server gave here, that is void; when it cannot be had, that goes on.
    pub(super) async fn configured(&self, state: &mut State) -> Result<Option<SecretString>, HostFailure> {
        match self.resolved(self.oauth2.refresh_token.as_ref()).await {
            Ok(configured) => {
                let outdated = |rotated: &Rotated| {
                    configured
                        .as_ref()
                        .is_some_and(|token| rotated.is_outdated(token))
                };
                if state.rotated.as_ref().is_some_and(outdated) {
                    (state.rotated, state.failed) = (None, None);
                }
                Ok(configured)
            }
            Err(_)
                if state
                    .rotated
                    .as_ref()
                    .is_some_and(|rotated| rotated.kept.is_none()) =>
            {
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Keeps a new refresh token: in memory at once, and where the old one stood if that can be written.
    pub(super) async fn rotate(
        self: &Arc<Self>,
        state: &mut State,
        reference: &SecretReference,
        given: &SecretString,
        used: Option<&SecretString>,
    ) {
        let before = state.rotated.take().filter(|before| {
            before.kept != Some(Kept::Durably)
                && used.is_some_and(|used| used.expose() == before.token.expose())
        });
        state.rotated = Some(Rotated {
            instead_of: before.map_or_else(|| fingerprint(used), |before| before.instead_of),
            token: given.clone(),
            kept: None,
        });
        if let Err(why) = self.keep(state, reference).await {
            let target = self.target.as_str();
            tracing::error!(target, %reference, why, "the server gave a new refresh token, which could not be kept yet; it is tried again, and is lost if this process ends before");
            self.see_to_keeping(state);
        }
    }

    /// Has the new refresh token kept later, if it is not yet; by one task, however often it is replaced.
    pub(super) fn see_to_keeping(self: &Arc<Self>, state: &mut State) {
        if state.is_to_be_kept() {
            state.keeping = true;
            tokio::spawn(keep_again(Arc::downgrade(self), Arc::downgrade(&self.slot)));
        }
    }

    /// Tries to keep what waits for it. True when nothing does any more.
    async fn keep_waiting(&self, state: &mut State) -> bool {
        let waits = state.rotated.as_ref().is_some_and(Rotated::waits);
        let Some(reference) = self.oauth2.refresh_token.as_ref().filter(|_| waits) else {
            return true;
        };
        let is_kept = self.keep(state, reference).await.is_ok();
        if is_kept {
            tracing::info!(target = self.target.as_str(), %reference, "the new refresh token is kept now");
        }
        is_kept
    }

    /// Writes a refresh token of the server's where the configured one stands.
    async fn keep(&self, state: &mut State, reference: &SecretReference) -> Result<(), String> {
        let Some(rotated) = &mut state.rotated else {
            return Ok(());
        };
        let kept = self.secrets.keep(reference, &rotated.token).await?;
        rotated.kept = Some(kept);
        if kept == Kept::InMemory {
            let target = self.target.as_str();
            tracing::warn!(target, %reference, "the server gave a new refresh token, which is lost when this process ends; keep it with `usher secret set` and {{ store = … }} instead");
        }
        Ok(())
    }
}

impl State {
    /// Whether a refresh token is to be kept that nobody sees to.
    pub(super) fn is_to_be_kept(&self) -> bool {
        !self.keeping && self.rotated.as_ref().is_some_and(Rotated::waits)
    }
}

/// Keeps the refresh token that could not be kept, while there is one. Ends with the generation: the next one goes on with it.
async fn keep_again(source: Weak<TokenSource>, slot: Weak<Slot>) {
    let mut wait = KEEP_AGAIN;
    loop {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(KEEP_AGAIN_MAX);
        let Some(slot) = slot.upgrade() else { return };
        let mut state = slot.state.lock().await;
        let Some(source) = source.upgrade() else {
            state.keeping = false;
            return;
        };
        // What is configured now is not written over before it is known to be the old one.
        let Ok(Some(_)) = source.configured(&mut state).await else {
            continue;
        };
        if source.keep_waiting(&mut state).await {
            state.keeping = false;
            return;
        }
    }
}
