//! Planning: what would be done (a preview, nothing written) and what is to be done (operations put into the queue).

mod budgets;
mod difference;
mod difference_report;
mod due;
mod names;
mod preview;
mod report;
mod shown;

pub use difference_report::{
    AccountDifference, DIFFERENCE_PEOPLE_MAX, Difference, DifferencePage, DifferenceTotal, PersonDifference,
    RoleDifference, StepChange, StepDifference,
};
pub(crate) use due::PlannedDue;
pub(crate) use preview::{Thought, announced_note};
pub use report::{
    PLAN_FILE_BYTES_MAX, PLAN_FORMAT, Plan, PlanDiff, PlanEntry, PlanFileError, PlanHeld, PlanProblem,
    PlanStep, PlanTotal, SavedPlan,
};
pub(crate) use shown::{display_name, entitlement_of, plan_problem, plan_step, shown_diff};
