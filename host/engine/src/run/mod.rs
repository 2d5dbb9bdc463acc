//! Carrying out: claims operations, calls connectors, records outcomes.

mod apply;
mod attempt;
mod cuts;
mod events;
mod hand;
mod mend;
mod once;
mod record;
mod report;
mod rests;
mod revoke;
mod settle;
mod share;
mod stop;
mod tally;
mod target;
mod watch;
mod worker;

pub(crate) use cuts::IN_FLIGHT_WAIT_MS;
pub(crate) use hand::{Hand, Which};
pub(crate) use once::{Failing, ends};
pub use report::{
    ApplyReport, ApplyRequest, ApplyTotal, Left, PausedTarget, RETRY_REASONS_LISTED_MAX, Recovered,
    RetryReason, TROUBLES_LISTED_MAX, Trouble, TroubleState,
};
pub use revoke::{RevokeRequest, Revoked};
pub use stop::{Stop, Stopper};
pub(crate) use worker::later;
