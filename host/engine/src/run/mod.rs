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
    ApplyReport, ApplyRequest, ApplyTotal, Left, PausedTarget, Recovered, TROUBLES_LISTED_MAX, Trouble,
    TroubleState,
};
pub use stop::{Stop, Stopper};
