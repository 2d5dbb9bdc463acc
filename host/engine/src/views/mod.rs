//! What people ask: who is this person, why this account, how is everything.

mod identity;
mod model;
mod status;
mod stops;
mod why;

pub use model::{
    AccountView, DocumentVersion, HeldView, IdentityView, OperationView, RecordView, RoleView, StatusView,
    TargetStatus, TimelineEntry, WhyRole, WhyView,
};
pub(crate) use stops::hold_in_force;
pub use stops::{LIVES_ON, StopAccount, StopHold, StopProgress, StopView};
