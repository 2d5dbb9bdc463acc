//! Calls that only read are tried again for a while: a list of a million accounts must not fail because one page came too fast.

use std::future::Future;

use usher_lifecycle::connector::{CallError, ErrorKind};

use crate::engine::Ports;
use crate::run::later;

/// How often a call is tried in all.
const TRIES_MAX: u32 = 6;
/// The first wait, in milliseconds; doubled each time.
const FIRST_WAIT_MS: u64 = 1_000;
/// The longest wait that a target may ask for, in milliseconds: beyond, the reconcile is for another time.
const WAIT_MAX_MS: u64 = 120_000;

/// Whether the same call may succeed a little later.
pub(super) const fn passes(kind: &ErrorKind) -> bool {
    match kind {
        ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Busy => true,
        ErrorKind::InvalidRequest
        | ErrorKind::AuthFailed
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::VersionConflict
        | ErrorKind::Unsupported
        | ErrorKind::PolicyRejected
        | ErrorKind::Misconfigured
        | ErrorKind::Other(_)
        | ErrorKind::Crashed
        | ErrorKind::LimitExceeded(_)
        | ErrorKind::Denied(_) => false,
    }
}

/// How long to wait before the next try; `None` to give up.
pub(super) fn wait_ms(error: &CallError, tries: u32) -> Option<u64> {
    let asked = error.retry_after_ms.unwrap_or(0);
    (passes(&error.kind) && tries < TRIES_MAX && asked <= WAIT_MAX_MS)
        .then(|| asked.max(FIRST_WAIT_MS << tries.saturating_sub(1).min(10)))
}

/// Tries a call until it succeeds or it is of no use.
pub(super) async fn patiently<T, F>(ports: &Ports, mut call: impl FnMut() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => match wait_ms(&error, tries) {
                Some(ms) => ports.clock.sleep_until(later(ports.clock.now(), ms)).await,
                None => return Err(error),
            },
        }
    }
}
