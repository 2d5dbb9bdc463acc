//! Carrying out: claims operations, calls connectors, records outcomes.

mod apply;
mod coordinator;
mod report;
mod settle;
mod stop;
mod tally;
mod target;
mod worker;

pub use report::{
    ApplyReport, ApplyRequest, ApplyTotal, Left, PausedTarget, RETRY_REASONS_LISTED_MAX, Recovered,
    RetryReason, TROUBLES_LISTED_MAX, Trouble, TroubleState,
};
pub use stop::{Stop, Stopper};
pub(crate) use worker::later;
