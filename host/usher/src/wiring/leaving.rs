//! The end of a command: it leaves the store in order, so that other hosts take over what it shared with them at once and need not wait
//! for its lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use usher_store::SqlStore;

/// How long leaving may take. A database that does not answer finds out by the lease.
const LEAVING_MAX: Duration = Duration::from_secs(5);

/// Leaves the store when it is dropped, however the command ends. The last holder of the store: keep it behind all others.
pub(crate) struct Leaving(Option<Arc<SqlStore>>);

impl Leaving {
    /// Of this store.
    pub(crate) const fn new(store: Arc<SqlStore>) -> Self {
        Self(Some(store))
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let Some(store) = self.0.take().and_then(Arc::into_inner) else {
            tracing::warn!("the store is still in use at the end; other hosts wait for the lease");
            return;
        };
        let leave = async {
            match tokio::time::timeout(LEAVING_MAX, store.close()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the store was not left in order"),
                Err(_) => tracing::warn!("the store was not left in time; other hosts wait for the lease"),
            }
        };
        tokio::task::block_in_place(|| Handle::current().block_on(leave));
    }
}
