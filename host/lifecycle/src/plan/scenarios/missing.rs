//! An account that a reconcile found gone.

use super::*;
use crate::policy::{MissingReaction, Reactions};

fn gone() -> Company {
    let mut company = Company::at_work();
    let app = slot("app");
    *company.account_mut(&app) = ObservedAccount {
        external_id: Some("7".to_owned()),
        ..ObservedAccount::absent()
    };
    company.missing = vec![app];
    company
}

#[test]
fn a_missing_account_is_made_again_only_where_the_policy_says_so() {
    let mut company = gone();
    assert_eq!(company.day("2026-04-01T08:00:00Z"), NOTHING);
    let plan = company.plan("2026-04-01T08:00:00Z");
    let app = &plan.accounts[0];
    assert_eq!((app.slot.to_string().as_str(), &app.desired), ("app", &None));
    assert!(
        app.notes[0].to_string().contains("the target has it no more"),
        "{:?}",
        app.notes
    );

    let reactions = Reactions {
        missing: MissingReaction::Create,
        ..Reactions::default()
    };
    company.policy.reactions.insert("app".parse().unwrap(), reactions);
    assert_eq!(company.day("2026-04-01T08:00:00Z")[0], "app: create");
}

#[test]
fn whoever_is_not_to_have_it_anyway_is_not_told_that_it_is_missing() {
    let mut company = gone();
    company.records[0]
        .attributes
        .insert("endDate".to_owned(), serde_json::json!("2026-03-31"));
    let plan = company.plan("2026-04-01T08:00:00Z");
    let app = &plan.accounts[0];
    assert!(app.notes.is_empty() && app.steps.is_empty(), "{app:?}");
}
