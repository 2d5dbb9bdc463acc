//! What one call has done to the world, kept by the host: the guest's own account of it is not relied on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use usher_lifecycle::connector::{Effect, ErrorKind};

/// Refusals kept for the error message of one call. One tells what is missing; a guest may cause thousands.
const REFUSALS_MAX: usize = 4;

/// Shared by the store of a call and the requests it started.
#[derive(Debug)]
pub(crate) struct Journal {
    /// When the call must be over.
    pub(crate) deadline: Instant,
    /// Requests and statements the call may still make.
    requests_left: AtomicU32,
    requests_max: u32,
    /// Bytes of HTTP requests and answers the call may still move.
    transfer_left: AtomicU64,
    transfer_kib: u32,
    /// Requests and statements that could change something and have left (or may have).
    writes: AtomicU32,
    /// Those of them that have not been answered.
    unanswered: AtomicU32,
    refusals: Mutex<Vec<Refusal>>,
    /// What went wrong last between the host and a peer.
    trouble: Mutex<Option<String>>,
    /// The first thing the host could not do for the call.
    failure: Mutex<Option<HostFailure>>,
    /// The first limit reached.
    limit: Mutex<Option<String>>,
}

/// Something the sandbox did not let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What was tried.
    pub(crate) what: String,
    /// Lines for the targets document that would grant it, where a grant can.
    pub(crate) grant: Option<String>,
}

impl Refusal {
    /// As one text for people.
    pub(crate) fn explain(&self) -> String {
        match &self.grant {
            Some(grant) => format!("{}; if it should be allowed, add:\n{grant}", self.what),
            None => self.what.clone(),
        }
    }
}

/// What the host could not do for a call, like fetching an access token. Safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostFailure {
    /// Decides what is done next.
    pub(crate) kind: ErrorKind,
    /// What was wrong, and what to do.
    pub(crate) message: String,
    /// When it may be tried again, where a server said so.
    pub(crate) retry_after_ms: Option<u64>,
}

impl HostFailure {
    pub(crate) fn of(kind: ErrorKind, message: String) -> Self {
        Self {
            kind,
            message,
            retry_after_ms: None,
        }
    }
}

impl Journal {
    pub(crate) fn new(deadline: Instant, requests_max: u32, transfer_kib: u32) -> Self {
        Self {
            deadline,
            requests_left: AtomicU32::new(requests_max),
            requests_max,
            transfer_left: AtomicU64::new(u64::from(transfer_kib) * 1024),
            transfer_kib,
            writes: AtomicU32::new(0),
            unanswered: AtomicU32::new(0),
            refusals: Mutex::new(Vec::new()),
            trouble: Mutex::new(None),
            failure: Mutex::new(None),
            limit: Mutex::new(None),
        }
    }

    /// Takes `count` from what the call may do; false, and noted, when there is not that much left.
    pub(crate) fn take_requests(&self, count: u32) -> bool {
        let taken = self
            .requests_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(count)
            });
        if taken.is_err() {
            self.limit_reached(format!("requests = {}", self.requests_max));
        }
        taken.is_ok()
    }

    /// Takes bytes from what the call may move; false, and noted, when there are not that many left.
    pub(crate) fn take_transfer(&self, bytes: usize) -> bool {
        let taken = self
            .transfer_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes as u64)
            });
        if taken.is_err() {
            self.limit_reached(format!("transfer-kib = {}", self.transfer_kib));
        }
        taken.is_ok()
    }

    /// Something that can change the target is about to leave.
    pub(crate) fn write_leaves(&self) {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.unanswered.fetch_add(1, Ordering::SeqCst);
    }

    /// The target has answered one write counted before: the guest can tell what it did.
    pub(crate) fn write_answered(&self) {
        self.unanswered.fetch_sub(1, Ordering::SeqCst);
    }

    /// The target has answered that it refused one write counted before as answered: it changed nothing.
    pub(crate) fn write_refused(&self) {
        self.writes.fetch_sub(1, Ordering::SeqCst);
    }

    /// The answer to a write counted as answered did not reach the guest whole: it cannot tell what the write did.
    pub(crate) fn answer_withheld(&self) {
        self.unanswered.fetch_add(1, Ordering::SeqCst);
    }

    /// A write has left and no answer to it has come: nobody can tell what it did, whatever the guest says.
    pub(crate) fn has_unanswered_write(&self) -> bool {
        self.unanswered.load(Ordering::SeqCst) > 0
    }

    /// It is certain that one write counted before changed nothing: no connection was made, or it was rolled back.
    pub(crate) fn write_came_to_nothing(&self) {
        self.writes.fetch_sub(1, Ordering::SeqCst);
        self.unanswered.fetch_sub(1, Ordering::SeqCst);
    }

    /// What the call has done, as far as the host knows.
    pub(crate) fn effect(&self) -> Effect {
        if self.writes.load(Ordering::SeqCst) == 0 {
            Effect::None
        } else {
            Effect::Unknown
        }
    }

    /// Notes what was refused.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        tracing::warn!(what = %refusal.what, "the sandbox refused");
        let mut refusals = lock(&self.refusals);
        if refusals.len() < REFUSALS_MAX && !refusals.contains(&refusal) {
            refusals.push(refusal);
        }
    }

    /// The first thing refused, if anything was.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        lock(&self.refusals).first().cloned()
    }

    /// Notes what went wrong on the network. A guest is told a code; the operator is told this.
    pub(crate) fn trouble(&self, what: String) {
        *lock(&self.trouble) = Some(what);
    }

    /// What went wrong last on the network, if anything did.
    pub(crate) fn last_trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// Notes what the host could not do; the first counts.
    pub(crate) fn host_failed(&self, failure: HostFailure) {
        tracing::warn!(kind = %failure.kind, what = %failure.message, "the host could not do its part");
        lock(&self.failure).get_or_insert(failure);
    }

    /// What the host could not do, if there was something.
    pub(crate) fn host_failure(&self) -> Option<HostFailure> {
        lock(&self.failure).clone()
    }

    /// Notes a limit that was reached; the first one counts.
    pub(crate) fn limit_reached(&self, limit: String) {
        lock(&self.limit).get_or_insert(limit);
    }

    /// The limit that was reached, if any was.
    pub(crate) fn limit(&self) -> Option<String> {
        lock(&self.limit).clone()
    }
}

/// Nothing panics while holding these, and what they hold is valid at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effect_is_none_only_while_no_write_can_have_arrived() {
        let journal = Journal::new(Instant::now(), 1, 1);
        assert_eq!(journal.effect(), Effect::None);
        journal.write_leaves();
        journal.write_leaves();
        journal.write_came_to_nothing();
        assert_eq!(journal.effect(), Effect::Unknown);
        journal.write_came_to_nothing();
        assert_eq!(journal.effect(), Effect::None);
    }

    #[test]
    fn requests_run_out_and_that_is_remembered() {
        let journal = Journal::new(Instant::now(), 2, 1);
        assert!(journal.take_requests(2));
        assert!(!journal.take_requests(1));
        assert_eq!(journal.limit().unwrap(), "requests = 2");
    }

    #[test]
    fn bytes_run_out_and_that_is_remembered() {
        let journal = Journal::new(Instant::now(), 2, 1);
        assert!(journal.take_transfer(1_000) && journal.take_transfer(24));
        assert!(!journal.take_transfer(1));
        assert_eq!(journal.limit().unwrap(), "transfer-kib = 1");
    }
}
