//! Operations as the scenarios write them: `update app department "Sales" → "HR"`.

use serde_json::Value;
use usher_lifecycle::operation::Work;
use usher_lifecycle::plan::{AccountPlan, AttributeDiff, IdentityPlan};

/// One operation of a plan.
pub(crate) struct Shown {
    pub(crate) text: String,
    pub(crate) cause: String,
    pub(crate) priority: String,
}

/// Every operation, in order.
pub(crate) fn operations(plan: &IdentityPlan) -> Vec<Shown> {
    let mut all = Vec::new();
    for account in &plan.accounts {
        for step in &account.steps {
            all.push(Shown {
                text: operation(account, &step.work),
                cause: step.cause.to_string(),
                priority: plain(&serde_json::to_value(step.priority).unwrap()),
            });
        }
    }
    all
}

fn operation(account: &AccountPlan, work: &Work) -> String {
    let slot = &account.slot;
    let verb = work.verb();
    match work {
        Work::Create { .. } | Work::Disable | Work::Enable | Work::Delete | Work::Read => {
            format!("{verb} {slot}")
        }
        Work::Update { .. } => {
            let changes: Vec<String> = account.diff.iter().map(change).collect();
            format!("{verb} {slot} {}", changes.join(", "))
        }
        Work::Grant {
            entitlement,
            parameters: Value::Null,
        }
        | Work::Revoke { entitlement } => {
            format!("{verb} {slot} {entitlement}")
        }
        Work::Grant {
            entitlement,
            parameters,
        } => format!("{verb} {slot} {entitlement} {parameters}"),
    }
}

fn change(diff: &AttributeDiff) -> String {
    let show = |value: &Value| {
        if value.is_null() {
            "nothing".to_owned()
        } else {
            value.to_string()
        }
    };
    format!("{} {} → {}", diff.name, show(&diff.from), show(&diff.to))
}

/// A text without its quotes.
pub(crate) fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// Lines under each other, for people.
pub(crate) fn listed(lines: &[String]) -> String {
    if lines.is_empty() {
        return " nothing".to_owned();
    }
    lines.iter().map(|line| format!("\n        {line}")).collect()
}
