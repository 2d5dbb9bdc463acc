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
            // Never sooner than the back-off: "after 0 s" from a failing target must not become a loop.
            (asked + spread)
                .max(back_off_ms(attempts, jitter))
                .min(RETRY_AFTER_MAX_MS)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn kinds() -> Vec<ErrorKind> {
        vec![
            ErrorKind::InvalidRequest,
            ErrorKind::AuthFailed,
            ErrorKind::Forbidden,
            ErrorKind::NotFound,
            ErrorKind::Conflict,
            ErrorKind::VersionConflict,
            ErrorKind::RateLimited,
            ErrorKind::Unavailable,
            ErrorKind::Timeout,
            ErrorKind::Unsupported,
            ErrorKind::PolicyRejected,
            ErrorKind::Misconfigured,
            ErrorKind::Other("x1".to_owned()),
            ErrorKind::Crashed,
            ErrorKind::LimitExceeded("memory".to_owned()),
            ErrorKind::Denied("http".to_owned()),
            ErrorKind::Busy,
        ]
    }

    fn works() -> Vec<Work> {
        vec![
            Work::Create {
                attributes: Default::default(),
            },
            Work::Update {
                changes: vec![],
                desired: Default::default(),
            },
            Work::Disable,
            Work::Enable,
            Work::Delete,
            Work::Grant {
                entitlement: "g".to_owned(),
                parameters: Value::Null,
            },
            Work::Revoke {
                entitlement: "g".to_owned(),
            },
            Work::Read,
        ]
    }

    fn error(kind: ErrorKind, effect: Effect) -> CallError {
        CallError {
            effect,
            ..CallError::harmless(kind, "no")
        }
    }

    /// One letter for each decision, `+` where it reads back first.
    fn letter(decision: &AfterError) -> &'static str {
        match decision {
            AfterError::RetryAfter { settle: false, .. } => "retry",
            AfterError::RetryAfter { settle: true, .. } => "retry+",
            AfterError::PauseTarget { settle: false, .. } => "pause",
            AfterError::PauseTarget { settle: true, .. } => "pause+",
            AfterError::Hold(_) => "hold",
            AfterError::GiveUp(_) => "give up",
        }
    }

    /// For a disable: each kind with no effect, an effect, and the last attempt without and with one.
    #[test]
    fn every_kind_and_effect_has_its_decision() {
        let expected = [
            ("invalid request", "hold", "retry+", "hold", "hold"),
            ("credential not accepted", "pause", "pause+", "pause", "pause+"),
            ("forbidden", "hold", "retry+", "hold", "hold"),
            ("not found", "retry+", "retry+", "hold", "hold"),
            ("conflict", "hold", "retry+", "hold", "hold"),
            ("version conflict", "retry+", "retry+", "hold", "hold"),
            ("rate limited", "pause", "pause+", "pause", "pause+"),
            ("unavailable", "retry", "retry+", "retry", "retry+"),
            ("timeout", "retry", "retry+", "retry", "retry+"),
            ("unsupported", "hold", "retry+", "hold", "hold"),
            ("refused by the target's policy", "hold", "retry+", "hold", "hold"),
            ("misconfigured", "pause", "pause+", "pause", "pause+"),
            ("error x1", "retry", "retry+", "hold", "hold"),
            ("connector crashed", "retry", "retry+", "hold", "hold"),
            ("limit exceeded: memory", "retry", "retry+", "hold", "hold"),
            ("not granted: http", "retry", "retry+", "hold", "hold"),
            ("no free slot", "retry", "retry+", "retry", "retry+"),
        ];
        assert_eq!(kinds().len(), expected.len());
        for (kind, (name, harmless, touched, last, last_touched)) in kinds().into_iter().zip(expected) {
            assert_eq!(kind.to_string(), name);
            let decide =
                |effect, attempts| after_error(&error(kind.clone(), effect), &Work::Disable, attempts, 0);
            assert_eq!(letter(&decide(Effect::None, 1)), harmless, "{name}");
            assert_eq!(letter(&decide(Effect::None, ATTEMPTS_MAX)), last, "{name}");
            for effect in [Effect::Applied, Effect::Unknown] {
                assert_eq!(letter(&decide(effect, 1)), touched, "{name}");
                assert_eq!(letter(&decide(effect, ATTEMPTS_MAX)), last_touched, "{name}");
            }
        }
    }

    #[test]
    fn an_account_that_is_not_there_yet_is_not_read_back() {
        let gone = error(ErrorKind::NotFound, Effect::None);
        for work in [
            Work::Create {
                attributes: Default::default(),
            },
            Work::Read,
        ] {
            assert_eq!(letter(&after_error(&gone, &work, 1, 0)), "retry");
        }
    }

    #[test]
    fn only_a_read_is_ever_given_up_and_every_unknown_outcome_is_read_back() {
        for kind in kinds() {
            for work in works() {
                for effect in [Effect::None, Effect::Applied, Effect::Unknown] {
                    for attempts in [0, 1, ATTEMPTS_MAX - 1, ATTEMPTS_MAX, u32::MAX] {
                        let decision = after_error(&error(kind.clone(), effect), &work, attempts, 500);
                        let given_up = matches!(decision, AfterError::GiveUp(_));
                        assert!(!given_up || work == Work::Read, "{kind} {work:?}");
                        if effect != Effect::None {
                            let writes_blindly = matches!(
                                decision,
                                AfterError::RetryAfter { settle: false, .. }
                                    | AfterError::PauseTarget { settle: false, .. }
                            );
                            assert!(!writes_blindly, "{kind} {work:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_account_in_the_way_is_named() {
        let conflict = CallError {
            existing_id: Some("42".to_owned()),
            ..CallError::harmless(ErrorKind::Conflict, "name taken")
        };
        let create = Work::Create {
            attributes: Default::default(),
        };
        assert_eq!(
            after_error(&conflict, &create, 1, 0),
            AfterError::Hold("conflict: name taken; account 42 is in the way".to_owned())
        );
    }

    #[test]
    fn waits_double_up_to_a_quarter_of_an_hour() {
        let longest: Vec<u64> = (1..=12)
            .map(|attempts| back_off_ms(attempts, JITTER_MAX))
            .collect();
        let expected = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900].map(|seconds| seconds * 1_000);
        assert_eq!(longest, expected);
        assert_eq!(back_off_ms(1, 0), 500);
        assert_eq!(back_off_ms(0, 0), 500);
    }

    #[test]
    fn retry_after_nothing_still_backs_off() {
        let error = CallError {
            retry_after_ms: Some(0),
            ..CallError::harmless(ErrorKind::RateLimited, "slow down")
        };
        for attempts in [1, 5, 20] {
            let after = after_error(&error, &Work::Disable, attempts, 0);
            let ms = back_off_ms(attempts, 0);
            assert_eq!(after, AfterError::PauseTarget { ms, settle: false });
        }
    }

    #[test]
    fn retry_after_is_obeyed_up_to_a_day() {
        let asked = |ms| CallError {
            retry_after_ms: Some(ms),
            ..error(ErrorKind::RateLimited, Effect::None)
        };
        let pause = |ms, jitter| after_error(&asked(ms), &Work::Read, 1, jitter);
        assert_eq!(
            pause(30_000, 0),
            AfterError::PauseTarget {
                ms: 30_000,
                settle: false
            }
        );
        assert_eq!(
            pause(30_000, 1_000),
            AfterError::PauseTarget {
                ms: 33_000,
                settle: false
            }
        );
        assert_eq!(
            pause(u64::MAX, 1_000),
            AfterError::PauseTarget {
                ms: RETRY_AFTER_MAX_MS,
                settle: false
            }
        );
    }

    proptest! {
        #[test]
        fn waits_stay_in_bounds(attempts: u32, jitter: u32, asked in prop::option::of(any::<u64>())) {
            let wait = wait_ms(asked, attempts, jitter);
            prop_assert!((1..=RETRY_AFTER_MAX_MS).contains(&wait));
            match asked {
                Some(asked) => prop_assert!(wait >= asked.min(RETRY_AFTER_MAX_MS)),
                None => prop_assert!((BACK_OFF_BASE_MS / 2..=BACK_OFF_MAX_MS).contains(&wait)),
            }
        }
    }
}
