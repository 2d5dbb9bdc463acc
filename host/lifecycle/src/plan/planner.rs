//! Planning many people under one policy.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;

use super::{IdentityPlan, PlanInput, TargetFacts, plan_with};
use crate::expr::Tables;
use crate::name::TargetName;
use crate::policy::Policy;

/// Plans one person after the other under one version of the policy, and remembers what its rules and mappings gave for which values: the second
/// person with the same department costs no evaluation. What it remembers is bounded (see [`Tables`]) and changes no plan. Made once per
/// version of the policy and kept by whoever plans many people.
#[derive(Debug)]
pub struct Planner {
    policy: Arc<Policy>,
    tables: RefCell<Tables>,
}

impl Planner {
    /// A planner that remembers nothing yet.
    pub fn new(policy: Arc<Policy>) -> Self {
        Self {
            tables: RefCell::new(policy.tables()),
            policy,
        }
    }

    /// As [`plan_identity`](super::plan_identity).
    pub fn plan(
        &mut self,
        input: &PlanInput<'_>,
        targets: &BTreeMap<TargetName, TargetFacts>,
        zones: &TimeZoneDatabase,
        now: Timestamp,
    ) -> IdentityPlan {
        plan_with(input, &self.policy, Some(&self.tables), targets, zones, now)
    }
}
