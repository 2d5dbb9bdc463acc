//! What to do after a failed attempt: one total decision over the kind of error and what it has done.
//!
//! - Trouble of the target that passes (unavailable, timeout, no slot) is retried for as long as it lasts: an outage never asks a
//!   person for each operation.
//! - What concerns the whole target (credential, settings, rate limit) pauses it; that does not count against the operation.
//! - What is wrong with this one operation is held for a person, at once or after [`ATTEMPTS_MAX`].
//! - Whatever may have changed the target is read back before anything is written again.
//! - Only a read is ever given up: taking access away is retried, then held, never dropped.

use serde::Serialize;

use crate::connector::{CallError, Effect, ErrorKind};
use crate::operation::Work;

/// The first wait, in milliseconds: a passing hiccup is over by then.
pub const BACK_OFF_BASE_MS: u64 = 1_000;
/// The longest wait, in milliseconds (15 minutes): after an outage everything runs again within that time.
pub const BACK_OFF_MAX_MS: u64 = 15 * 60 * 1_000;
/// The longest Retry-After obeyed, in milliseconds (a day): a target cannot park an operation for years.
pub const RETRY_AFTER_MAX_MS: u64 = 24 * 60 * 60 * 1_000;
/// How long a target rests whose credential or settings are refused, in milliseconds (15 minutes): probing a refused credential more often locks
/// accounts in many directories.
pub const PAUSE_MS: u64 = 15 * 60 * 1_000;
/// Attempts before a person is asked, where retrying can help but need not: about three hours of back-off.
pub const ATTEMPTS_MAX: u32 = 20;
/// Jitter is given in thousandths.
pub const JITTER_MAX: u32 = 1_000;

/// What to do after a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterError {
    /// Try this operation again.
    RetryAfter {
        /// After so long.
        ms: u64,
        /// Read back first.
        settle: bool,
    },
    /// Claim nothing of this target for a while, then try this operation again. Does not count as an attempt.
    PauseTarget {
        /// For so long.
        ms: u64,
        /// Read back first.
        settle: bool,
    },
    /// A person must decide: why.
    Hold(String),
    /// Nothing was lost and nothing is left to do: why.
    GiveUp(String),
}

/// What a kind of error calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// It passes by itself.
    Wait,
    /// The whole target must slow down.
    SlowDown,
    /// Someone must put the target right.
    Pause,
    /// It may pass; not for ever.
    TryAgain,
    /// What we know of the account is old.
    ReadBack,
    /// This operation will not work as it is.
    Ask,
}

const fn remedy(kind: &ErrorKind, work: &Work) -> Remedy {
    match kind {
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Busy => Remedy::Wait,
        ErrorKind::RateLimited => Remedy::SlowDown,
        ErrorKind::AuthFailed | ErrorKind::Misconfigured => Remedy::Pause,
        ErrorKind::Crashed | ErrorKind::LimitExceeded(_) | ErrorKind::Denied(_) | ErrorKind::Other(_) => {
            Remedy::TryAgain
        }
        ErrorKind::NotFound | ErrorKind::VersionConflict => match work {
            // There is no account yet to be read back, or reading is what failed.
            Work::Create { .. } | Work::Read => Remedy::TryAgain,
            Work::Update { .. }
            | Work::Disable
            | Work::Enable
            | Work::Delete
            | Work::Grant { .. }
            | Work::Revoke { .. } => Remedy::ReadBack,
        },
        ErrorKind::Conflict
        | ErrorKind::InvalidRequest
        | ErrorKind::Unsupported
        | ErrorKind::PolicyRejected
        | ErrorKind::Forbidden => Remedy::Ask,
    }
}

/// What to do after attempt number `attempts` (from 1) failed. `jitter` is a random number of thousandths, 0 to 1,000.
pub fn after_error(error: &CallError, work: &Work, attempts: u32, jitter: u32) -> AfterError {
    let wait_ms = wait_ms(error.retry_after_ms, attempts, jitter);
    let retry = |settle| AfterError::RetryAfter { ms: wait_ms, settle };
    let bounded = |settle| {
        if attempts < ATTEMPTS_MAX {
            retry(settle)
        } else {
            exhausted(error, work, attempts)
        }
    };
    match (remedy(&error.kind, work), error.effect) {
        (Remedy::Wait, Effect::None) => retry(false),
        (Remedy::Wait, Effect::Applied | Effect::Unknown) => retry(true),
        (Remedy::SlowDown, Effect::None) => AfterError::PauseTarget {
            ms: wait_ms,
            settle: false,
        },
        (Remedy::SlowDown, Effect::Applied | Effect::Unknown) => AfterError::PauseTarget {
            ms: wait_ms,
            settle: true,
        },
        (Remedy::Pause, Effect::None) => AfterError::PauseTarget {
            ms: PAUSE_MS,
            settle: false,
        },
        (Remedy::Pause, Effect::Applied | Effect::Unknown) => AfterError::PauseTarget {
            ms: PAUSE_MS,
            settle: true,
        },
        (Remedy::TryAgain, Effect::None) => bounded(false),
        (Remedy::TryAgain, Effect::Applied | Effect::Unknown) => bounded(true),
        (Remedy::ReadBack, Effect::None | Effect::Applied | Effect::Unknown) => bounded(true),
        (Remedy::Ask, Effect::None) => AfterError::Hold(held_because(error)),
        (Remedy::Ask, Effect::Applied | Effect::Unknown) => bounded(true),
    }
}

/// The wait before the next attempt: doubling from [`BACK_OFF_BASE_MS`] to [`BACK_OFF_MAX_MS`], half of it jitter.
pub const fn back_off_ms(attempts: u32, jitter: u32) -> u64 {
    let doublings = if attempts == 0 { 0 } else { attempts - 1 };
    // 2^10 s is already beyond the longest wait.
    let doublings = if doublings > 10 { 10 } else { doublings };
    let full = BACK_OFF_BASE_MS << doublings;
    let full = if full > BACK_OFF_MAX_MS {
        BACK_OFF_MAX_MS
    } else {
        full
    };
    full / 2 + full / 2 * thousandths(jitter) / JITTER_MAX as u64
}

const fn thousandths(jitter: u32) -> u64 {
    if jitter > JITTER_MAX {
        JITTER_MAX as u64
    } else {
        jitter as u64
    }
}

/// The target's own wish if it has one (never earlier, up to a tenth later so that not all come back at once), else the back-off.
fn wait_ms(retry_after_ms: Option<u64>, attempts: u32, jitter: u32) -> u64 {
    match retry_after_ms {
        Some(asked) => {
            let asked = asked.min(RETRY_AFTER_MAX_MS);
            let spread = asked / 10 * thousandths(jitter) / u64::from(JITTER_MAX);
            (asked + spread).clamp(1, RETRY_AFTER_MAX_MS)
        }
        None => back_off_ms(attempts, jitter),
    }
}

fn held_because(error: &CallError) -> String {
    match (&error.kind, &error.existing_id) {
        (ErrorKind::Conflict, Some(id)) => format!("{error}; account {id} is in the way"),
        _ => error.to_string(),
    }
}

fn exhausted(error: &CallError, work: &Work, attempts: u32) -> AfterError {
    let reason = format!("{} failed {attempts} times, last: {error}", work.verb());
    match work {
        // Nothing is lost with a read: planning asks for it again when it is still needed.
        Work::Read => AfterError::GiveUp(reason),
        Work::Create { .. }
        | Work::Update { .. }
        | Work::Disable
        | Work::Enable
        | Work::Delete
        | Work::Grant { .. }
        | Work::Revoke { .. } => AfterError::Hold(reason),
    }
}
