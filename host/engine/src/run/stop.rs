//! A person asks a run to stop: nothing new is claimed, what is under way is finished and recorded.

use tokio::sync::watch;

/// Asks a run to stop. The run goes on when this is dropped.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Whether a run was asked to stop.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stopper {
    /// Asks.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has asked.
    pub(crate) fn has_stopped(&self) -> bool {
        *self.0.borrow()
    }
}

impl Stop {
    /// A pair: one asks, the other is asked.
    pub fn pair() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Self(receiver))
    }

    /// Nobody will ask.
    pub fn never() -> Self {
        Self::pair().1
    }

    /// Whether it was asked.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked: for ever when nobody can ask any more.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::never()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_run_learns_that_it_was_asked() {
        let (stopper, stop) = Stop::pair();
        assert!(!stop.is_requested());
        stopper.stop();
        stop.requested().await;
        drop(stopper);
        assert!(stop.is_requested());
        stop.requested().await;
        assert!(!Stop::never().is_requested());
    }
}
