//! What can go wrong with a call to a simulated target.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use usher_lifecycle::connector::{CallError, Effect, ErrorKind};

use super::world::{SimRandomness, lock};

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call does nothing and fails with this error.
    Error(CallError),
    /// The call takes effect, yet its answer is lost.
    LostAnswer,
    /// The call is lost on its way; nobody can tell.
    LostCall,
    /// The call succeeds after so many milliseconds.
    Slow(u32),
    /// The call takes effect at once; its answer comes after so many milliseconds.
    SlowAnswer(u32),
}

/// Which calls go wrong: those asked for first, then at random.
#[derive(Debug, Default)]
pub struct Faults {
    asked: Mutex<VecDeque<Fault>>,
    asked_of_reads: Mutex<VecDeque<Option<CallError>>>,
    random: Mutex<Option<(Arc<SimRandomness>, u32)>>,
}

impl Faults {
    /// The next write goes wrong like this. Several are taken in order.
    pub fn ask(&self, fault: Fault) {
        lock(&self.asked).push_back(fault);
    }

    /// The next read fails like this, or (`None`) succeeds. Several are taken in order.
    pub fn ask_read(&self, error: Option<CallError>) {
        lock(&self.asked_of_reads).push_back(error);
    }

    /// So many of a thousand calls go wrong; 0 for none.
    pub fn at_random(&self, randomness: &Arc<SimRandomness>, permille: u32) {
        *lock(&self.random) = Some((Arc::clone(randomness), permille));
    }

    /// What goes wrong with this write, if anything.
    pub(super) fn of_write(&self) -> Option<Fault> {
        if let Some(fault) = lock(&self.asked).pop_front() {
            return Some(fault);
        }
        let number = self.strikes()?;
        Some(match number % 8 {
            0 => Fault::LostAnswer,
            1 => Fault::LostCall,
            2 => Fault::Slow(u32::try_from(number % 5_000).unwrap_or(0)),
            other => Fault::Error(random_error(other)),
        })
    }

    /// What goes wrong with this read, if anything.
    pub(super) fn of_read(&self) -> Option<CallError> {
        if let Some(asked) = lock(&self.asked_of_reads).pop_front() {
            return asked;
        }
        self.strikes().map(|number| random_error(3 + number % 5))
    }

    fn strikes(&self) -> Option<u64> {
        let random = lock(&self.random);
        let (randomness, permille) = random.as_ref()?;
        let number = randomness.next();
        (number % 1_000 < u64::from(*permille)).then_some(number / 1_000)
    }
}

/// Errors that pass.
fn random_error(number: u64) -> CallError {
    let kind = match number {
        3 => ErrorKind::Unavailable,
        4 => ErrorKind::RateLimited,
        5 => ErrorKind::Crashed,
        6 => ErrorKind::Busy,
        _ => ErrorKind::Other("hiccup".to_owned()),
    };
    let retry_after_ms = matches!(kind, ErrorKind::RateLimited).then_some(2_000);
    CallError {
        kind,
        effect: Effect::None,
        retry_after_ms,
        existing_id: None,
        message: "simulated".to_owned(),
    }
}
