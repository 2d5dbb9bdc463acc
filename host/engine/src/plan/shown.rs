//! Steps, differences and people as they are shown.

use serde_json::Value;
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::expr::ExpressionError;
use usher_lifecycle::operation::Work;
use usher_lifecycle::plan::{AttributeDiff, Step};

use super::preview::Thought;
use super::report::{PlanDiff, PlanProblem, PlanStep};

/// A step for people.
pub(crate) fn plan_step(step: &Step) -> PlanStep {
    PlanStep {
        verb: step.work.verb().to_owned(),
        entitlement: entitlement_of(&step.work),
        priority: step.priority,
        cause: step.cause.links().to_vec(),
    }
}

/// What is granted or revoked.
pub(crate) fn entitlement_of(work: &Work) -> Option<String> {
    match work {
        Work::Grant { entitlement, .. } | Work::Revoke { entitlement } => Some(entitlement.clone()),
        Work::Create { .. }
        | Work::Update { .. }
        | Work::Disable
        | Work::Enable
        | Work::Delete
        | Work::Read => None,
    }
}

/// A difference for people; `null` is absent.
pub(crate) fn shown_diff(diff: &AttributeDiff) -> PlanDiff {
    let present = |value: &Value| (!value.is_null()).then(|| value.clone());
    PlanDiff {
        name: diff.name.clone(),
        from: present(&diff.from),
        to: present(&diff.to),
    }
}

/// A problem with whose it is.
pub(crate) fn plan_problem(thought: &Thought, error: &ExpressionError) -> PlanProblem {
    PlanProblem {
        identity: thought.row.id,
        key: thought.key(),
        path: error.path.clone(),
        expression: error.expression.clone(),
        message: error.message.clone(),
    }
}

/// What people call a person: the usual attributes, if there are any.
pub(crate) fn display_name(attributes: &Attributes) -> Option<String> {
    let text = |name: &str| {
        attributes
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    if let Some(whole) = text("displayName").or_else(|| text("name")) {
        return Some(whole.to_owned());
    }
    match (text("givenName"), text("familyName")) {
        (Some(given), Some(family)) => Some(format!("{given} {family}")),
        (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
        (None, None) => None,
    }
}
