//! Runs calls: a fresh store and instance for each, under all limits, and an honest account of what a failed one has done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use usher_lifecycle::connector::{CallError, Effect, ErrorKind};
use usher_lifecycle::targets::{Limits, Target};
use wasmtime::component::{InstancePre, ResourceTableError};
use wasmtime::{Error, PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};

use crate::component::Loaded;
use crate::contract::Failure;
use crate::contract::v0_1::{Exports, Guest};
use crate::engine::{Runtime, WASM_STACK_BYTES};
use crate::error::LoadError;
use crate::guest_text::line;
use crate::http::{HttpEgress, HttpHooks};
use crate::journal::{Journal, Refusal};
use crate::limits::{CpuClock, Forbidden, LimitReached, MemoryLimit};
use crate::link::{self, Granted};
use crate::log::GuestLog;
use crate::placeholders::{Placeholders, Settings};
use crate::secrets::Secrets;
use crate::sql::SqlEndpoints;
use crate::state::{RANDOM_BYTES_MAX, RESOURCES_MAX, State};
use crate::turns::{Turn, Turns};

/// Longest wait for a free slot. A call that waits longer is better given back to its queue.
const SLOT_WAIT: Duration = Duration::from_secs(5);
/// Most bytes a guest may hand over in one call or answer: a page of a thousand accounts of 16 KiB.
const HANDOVER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Everything a call of one generation needs.
pub(crate) struct Runner {
    runtime: &'static Runtime,
    pre: InstancePre<State>,
    exports: Exports,
    target: String,
    settings: Settings,
    limits: Limits,
    http: Arc<HttpEgress>,
    sql: Arc<SqlEndpoints>,
    slots: Arc<Semaphore>,
    turns: Turns,
    /// Keeps the code where other targets find it.
    _loaded: Arc<Loaded>,
}

impl Runner {
    /// Binds a component to a target.
    pub(crate) async fn new(
        runtime: &'static Runtime,
        loaded: &Arc<Loaded>,
        target: &Target,
        granted: Granted,
        secrets: Arc<dyn Secrets>,
    ) -> Result<Self, LoadError> {
        let contract =
            |error: Error| LoadError::Contract(crate::guest_text::line_of(&format!("{error:#}"), 600));
        let linker =
            link::link(&loaded.component, granted).map_err(|error| LoadError::Host(format!("{error:#}")))?;
        let pre = linker.instantiate_pre(&loaded.component).map_err(contract)?;
        let exports = Exports::find(&loaded.component, &pre).map_err(contract)?;
        let target_name = target.name.to_string();
        Ok(Self {
            runtime,
            pre,
            exports,
            settings: Settings::new(target, Arc::clone(&secrets)),
            limits: target.limits,
            sql: Arc::new(SqlEndpoints::load(target, &secrets).map_err(LoadError::Configuration)?),
            http: Arc::new(
                HttpEgress::new(target, secrets)
                    .await
                    .map_err(LoadError::Configuration)?,
            ),
            slots: Arc::new(Semaphore::new(target.limits.concurrency.max(1) as usize)),
            turns: Turns::of_this_runtime(),
            target: target_name,
            _loaded: Arc::clone(loaded),
        })
    }

    /// The settings as a call could get them.
    pub(crate) fn example_settings(&self) -> serde_json::Value {
        self.settings.example()
    }

    /// Runs one call. `operation` names it in logs.
    pub(crate) async fn run<'r, T, F, Fut>(&'r self, operation: &'static str, call: F) -> Result<T, CallError>
    where
        F: FnOnce(Guest<'r>) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        self.run_telling(operation, call).await.map(|(answer, _)| answer)
    }

    /// The same; with an answer comes what the host met meanwhile, which the guest does not know well enough to tell.
    pub(crate) async fn run_telling<'r, T, F, Fut>(
        &'r self,
        operation: &'static str,
        call: F,
    ) -> Result<(T, Arc<Journal>), CallError>
    where
        F: FnOnce(Guest<'r>) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let _slots = self.slots().await?;
        let wall = Duration::from_millis(u64::from(self.limits.wall_ms));
        let deadline = Instant::now() + wall;
        let journal = Arc::new(Journal::new(
            deadline,
            self.limits.requests,
            self.limits.transfer_kib,
        ));
        let (cpu, turn) = (CpuClock::new(), self.turns.turn());
        let calling = cpu.measure(turn.within(async {
            let guest = self.guest(operation, &journal, &cpu, &turn).await?;
            call(guest).await
        }));
        match tokio::time::timeout_at(deadline.into(), calling).await {
            Ok(Ok(answer)) => Ok((answer, journal)),
            Ok(Err(failure)) => Err(self.failed(operation, failure, &journal)),
            Err(_) => {
                let message = format!("the call took longer than wall-ms = {}", self.limits.wall_ms);
                Err(host_error(ErrorKind::Timeout, message, &journal))
            }
        }
    }

    /// A slot of this target, then one of the process.
    async fn slots(&self) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), CallError> {
        let both = async {
            let own = Arc::clone(&self.slots).acquire_owned().await;
            (own, Arc::clone(&self.runtime.calls).acquire_owned().await)
        };
        match tokio::time::timeout(SLOT_WAIT, both).await {
            Ok((Ok(own), Ok(process))) => Ok((own, process)),
            // The semaphores are never closed; if one were, there would be no slot either.
            Ok(_) | Err(_) => Err(busy()),
        }
    }

    /// A fresh instance under all limits.
    async fn guest(
        &self,
        operation: &'static str,
        journal: &Arc<Journal>,
        cpu: &CpuClock,
        turn: &Turn,
    ) -> Result<Guest<'_>, Error> {
        let (settings, placeholders) = self.settings.for_call();
        let mut store = Store::new(&self.runtime.engine, self.state(operation, journal, placeholders));
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(HANDOVER_BYTES_MAX);
        store.set_max_component_handles(RESOURCES_MAX);
        let (cpu, cpu_ms, turn) = (cpu.clone(), self.limits.cpu_ms, turn.clone());
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if cpu.spent() > Duration::from_millis(u64::from(cpu_ms)) {
                return Err(Error::new(LimitReached(format!("cpu-ms = {cpu_ms}"))));
            }
            // Others run meanwhile; without this a computing guest would hold its thread for all of its time.
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(turn.clone().next())))
        });
        let instance = self.pre.instantiate_async(&mut store).await?;
        Ok(Guest::new(
            &self.exports,
            store,
            instance,
            &settings,
            self.limits.wall_ms,
        ))
    }

    fn state(&self, operation: &'static str, journal: &Arc<Journal>, placeholders: Placeholders) -> State {
        State::new(
            HttpHooks {
                egress: Arc::clone(&self.http),
                journal: Arc::clone(journal),
                placeholders,
            },
            Arc::clone(&self.sql),
            GuestLog::new(self.target.clone(), operation),
            Arc::clone(journal),
            MemoryLimit::new(self.limits.memory_mib),
        )
    }

    fn failed(&self, operation: &'static str, failure: Failure, journal: &Journal) -> CallError {
        let error = match failure {
            Failure::Guest(error) => with_host_facts(error, journal),
            Failure::Nonsense(why) => host_error(
                ErrorKind::Crashed,
                format!("the connector answered {}", line(&why)),
                journal,
            ),
            Failure::Ended(error) => {
                let (kind, message) = sort(&error, journal);
                if kind == ErrorKind::Busy {
                    return busy();
                }
                // The whole back trace is for the connector's author.
                tracing::debug!(target: "usher::connector", target = self.target, operation, "{}", line(&format!("{error:?}")));
                host_error(kind, message, journal)
            }
        };
        tracing::debug!(target: "usher::connector", target = self.target, operation, kind = %error.kind, "call failed");
        error
    }
}

fn busy() -> CallError {
    CallError::harmless(
        ErrorKind::Busy,
        "no slot of the sandbox became free; nothing was called",
    )
}

/// An error the host makes: its effect is what the host saw leave, whatever the guest may think.
fn host_error(kind: ErrorKind, message: String, journal: &Journal) -> CallError {
    CallError {
        kind,
        effect: journal.effect(),
        retry_after_ms: None,
        existing_id: None,
        message,
    }
}

/// Why a guest ended without an answer.
fn sort(error: &Error, journal: &Journal) -> (ErrorKind, String) {
    let limit = |name: &str| {
        (
            ErrorKind::LimitExceeded(name.to_owned()),
            format!("the connector was stopped at {name}"),
        )
    };
    if error.is::<PoolConcurrencyLimitError>() {
        return (ErrorKind::Busy, String::new());
    }
    if let Some(reached) = error.downcast_ref::<LimitReached>() {
        return limit(&reached.0);
    }
    if let Some(forbidden) = error.downcast_ref::<Forbidden>() {
        return (ErrorKind::Denied(forbidden.0.clone()), forbidden.to_string());
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::StackOverflow) {
        return limit(&format!("{WASM_STACK_BYTES} bytes of stack"));
    }
    let cause = error.root_cause().to_string();
    // The guest's own table of handles is as large as the host's, and may fill first.
    let is_full = matches!(error.downcast_ref(), Some(ResourceTableError::Full));
    if is_full || cause.contains("store handle limit exceeded") {
        return limit(&format!("{RESOURCES_MAX} handles"));
    }
    // The types of these errors are not public; tests hold their texts.
    if cause.contains("requested len") && cause.contains("exceeds limit") {
        return limit(&format!("{RANDOM_BYTES_MAX} random bytes at once"));
    }
    if cause.contains("fuel allocated for hostcalls has been exhausted") {
        return limit(&format!("{HANDOVER_BYTES_MAX} bytes handed over at once"));
    }
    // A guest that traps because it was refused something crashed for that reason.
    if let Some(failure) = journal.host_failure() {
        return (
            failure.kind,
            format!("the connector crashed after the host failed: {}", failure.message),
        );
    }
    if let Some(reached) = journal.limit() {
        return limit(&reached);
    }
    if let Some(refusal) = journal.refusal() {
        return (
            denied(&refusal),
            format!(
                "the connector crashed after the sandbox refused: {}",
                refusal.explain()
            ),
        );
    }
    let crashed = format!("the connector crashed: {}", line(&cause));
    let message = match journal.last_trouble() {
        Some(trouble) => format!("{crashed}; before that the host met: {trouble}"),
        None => crashed,
    };
    (ErrorKind::Crashed, message)
}

fn denied(refusal: &Refusal) -> ErrorKind {
    ErrorKind::Denied(refusal.grant.as_ref().unwrap_or(&refusal.what).clone())
}

/// Adds what the host knows to a guest's own error: guests see refusals only as a vague network error.
///
/// What the guest says of the effect is believed as far as it can know: it has seen the target's answers. "Nothing was done" is not
/// believed while a write has left and no answer to it has come. And where it says that "the network failed" while the host itself
/// refused or stopped it, the kind becomes the host's.
fn with_host_facts(mut error: CallError, journal: &Journal) -> CallError {
    if error.effect == Effect::None && journal.has_unanswered_write() {
        error.effect = Effect::Unknown;
    }
    let vague = matches!(
        error.kind,
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Other(_)
    );
    if let Some(failure) = journal.host_failure() {
        error.message = format!("{}; the host failed: {}", error.message, failure.message);
        if vague {
            error.kind = failure.kind;
            error.retry_after_ms = failure.retry_after_ms.or(error.retry_after_ms);
        }
    } else if let Some(refusal) = journal.refusal() {
        error.message = format!("{}; the sandbox refused: {}", error.message, refusal.explain());
        if vague {
            error.kind = denied(&refusal);
        }
    } else if let Some(limit) = journal.limit() {
        error.message = format!("{}; the sandbox stopped it at {limit}", error.message);
        if vague {
            error.kind = ErrorKind::LimitExceeded(limit);
        }
    } else if let Some(trouble) = journal.last_trouble().filter(|_| vague) {
        error.message = format!("{}; what the host met: {trouble}", error.message);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        Journal::new(Instant::now(), 10, 1)
    }

    #[test]
    fn a_vague_error_of_the_guest_becomes_the_refusal_behind_it() {
        let journal = journal();
        journal.refuse(Refusal {
            what: "HTTP GET x is not granted".to_owned(),
            grant: Some("[[grant]]".to_owned()),
        });
        let vague = with_host_facts(
            CallError::harmless(ErrorKind::Unavailable, "NetworkError"),
            &journal,
        );
        assert_eq!(vague.kind, ErrorKind::Denied("[[grant]]".to_owned()));
        assert_eq!(
            vague.message,
            "NetworkError; the sandbox refused: HTTP GET x is not granted; if it should be allowed, add:\n[[grant]]"
        );
        let precise = with_host_facts(CallError::harmless(ErrorKind::Conflict, "taken"), &journal);
        assert_eq!(precise.kind, ErrorKind::Conflict);
    }

    #[test]
    fn what_the_network_did_is_told_where_the_guest_is_vague() {
        let journal = journal();
        journal.trouble("TLS with `a`: its certificate has expired".to_owned());
        let vague = CallError::harmless(ErrorKind::Unavailable, "TlsCertificateError");
        assert_eq!(
            with_host_facts(vague, &journal).message,
            "TlsCertificateError; what the host met: TLS with `a`: its certificate has expired"
        );
        let precise = CallError::harmless(ErrorKind::Conflict, "taken");
        assert_eq!(with_host_facts(precise, &journal).message, "taken");
    }

    #[test]
    fn nothing_done_is_not_believed_while_a_write_is_unanswered() {
        let journal = journal();
        let claim = || with_host_facts(CallError::harmless(ErrorKind::Unavailable, "lost"), &journal).effect;
        assert_eq!(claim(), Effect::None);
        journal.write_leaves();
        assert_eq!(claim(), Effect::Unknown);
        journal.write_answered();
        assert_eq!(claim(), Effect::None);
    }

    #[test]
    fn errors_of_the_host_tell_what_left() {
        let journal = journal();
        assert_eq!(
            host_error(ErrorKind::Timeout, String::new(), &journal).effect,
            Effect::None
        );
        journal.write_leaves();
        assert_eq!(
            host_error(ErrorKind::Timeout, String::new(), &journal).effect,
            Effect::Unknown
        );
    }
}
