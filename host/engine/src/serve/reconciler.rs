//! The reconciler: compares targets whose time has come, one after the other, while this host has that duty.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use usher_lifecycle::name::TargetName;
use usher_store::{Duty, StoreError};

use super::Serving;
use crate::error::EngineError;
use crate::observer::Seen;
use crate::ports::Clock;
use crate::progress::NoProgress;
use crate::reconcile::{ReconcileReport, ReconcileRequest};
use crate::run::ends;

/// The duty is renewed when a third of the lease is over: two renewals may fail before somebody else begins.
const RENEWALS_PER_LEASE: u32 = 3;

/// Reconciles until asked to stop.
pub(super) async fn reconcile(serving: Serving) -> Result<(), EngineError> {
    let clock = serving.engine.ports.clock.clone();
    let request = &serving.request;
    while !request.stop.is_requested() {
        let next = match round(&serving).await {
            Ok(next) => next,
            Err(EngineError::Store(error)) if ends(&error) => return Err(error.into()),
            // The planner meets it too, and tells. Here it only means to look again later.
            Err(_) => None,
        };
        // A new document is noticed by looking now and then: what is reconciled by the hour need not be called.
        tokio::select! {
            () = request.stop.requested() => {}
            () = until(&*clock, next) => {}
            () = tokio::time::sleep(Duration::from_millis(request.poll_ms)) => {}
        }
    }
    Ok(())
}

/// Until then; for ever when nothing is due.
async fn until(clock: &dyn Clock, next: Option<Timestamp>) {
    match next {
        Some(next) => clock.sleep_until(next).await,
        None => std::future::pending().await,
    }
}

/// Does what is due; returns when something is due next.
async fn round(serving: &Serving) -> Result<Option<Timestamp>, EngineError> {
    let (engine, store) = (&serving.engine, &serving.engine.ports.store);
    // What another host accepted before it went away.
    engine.settle_reconciles(&NoProgress).await?;
    let (due, next) = engine.reconciles_due().await?;
    if due.is_empty() || !store.take_duty(Duty::Reconciling).await? {
        return Ok(next);
    }
    let resting = store.resting(engine.ports.clock.now()).await?;
    for target in due {
        if serving.request.stop.is_requested() {
            break;
        }
        if resting.iter().any(|rest| rest.target == target) {
            continue;
        }
        let began = Instant::now();
        let Some(result) = one(serving, target.clone()).await else {
            break;
        };
        match result {
            Ok(report) => serving.observer.saw(Seen::Reconciled {
                target,
                listed: report.listed,
                drifted: report.drifted,
                refused: report.refused.map(|refusal| refusal.reason),
                took: began.elapsed(),
            }),
            Err(EngineError::NotActive(_)) => return Ok(None),
            Err(error @ EngineError::Store(_)) => return Err(error),
            Err(error) => serving.observer.saw(Seen::NotReconciled {
                target,
                message: error.to_string(),
            }),
        }
    }
    Ok(next)
}

/// One target; `None` when asked to stop: what is not accepted then never takes effect. The duty is kept meanwhile.
async fn one(serving: &Serving, target: TargetName) -> Option<Result<ReconcileReport, EngineError>> {
    let request = ReconcileRequest {
        target,
        actor: serving.request.actor.clone(),
        override_guards: false,
        by_person: false,
    };
    // Each goes on while another waits: a renewal asks for the store's writer, which the reconcile may hold or be next in line for.
    tokio::select! {
        result = serving.engine.reconcile(request, &NoProgress) => Some(result),
        () = serving.request.stop.requested() => None,
        lost = keep_duty(serving) => Some(Err(lost)),
    }
}

/// Renews the duty until that fails, or somebody else has it: then what was begun here is theirs to do again.
async fn keep_duty(serving: &Serving) -> EngineError {
    let store = &serving.engine.ports.store;
    loop {
        renewal(store.lease()).await;
        match store.take_duty(Duty::Reconciling).await {
            Ok(true) => {}
            Ok(false) => {
                let why = "another host has taken over reconciling; it lists the target again".to_owned();
                return EngineError::Store(StoreError::Stale(why));
            }
            Err(error) => return error.into(),
        }
    }
}

/// When the duty is to be renewed; never where nobody else can take it.
async fn renewal(lease: Option<Duration>) {
    match lease {
        Some(lease) => tokio::time::sleep(lease / RENEWALS_PER_LEASE).await,
        None => std::future::pending().await,
    }
}
