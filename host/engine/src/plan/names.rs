//! Names that are unique in their target: what plans ask for is reserved, and their people are planned again with it.

use jiff::SignedDuration;
use usher_lifecycle::account::AccountState;
use usher_lifecycle::plan::AccountPlan;
use usher_store::{Context, NameRequest};

use super::preview::Thought;
use super::report::PlanProblem;
use crate::engine::Engine;
use crate::error::EngineError;

/// How long a name that somebody gave up, or had until they were erased, is nobody else's: a year, in which mail for the one before still comes.
const BAR: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Names reserved in one transaction: short enough to hold the database for about 20 ms.
const BATCH: usize = 100;

impl Engine {
    /// Reserves the names these plans ask for. Whoever gets one is due for planning from then on; returns a problem for each name that cannot be had.
    pub(super) async fn reserve_names(
        &self,
        thoughts: &[Thought],
        context: &Context,
    ) -> Result<Vec<PlanProblem>, EngineError> {
        let mut wanted: Vec<(&Thought, NameRequest)> = thoughts
            .iter()
            .flat_map(|thought| {
                let requests = thought.plan.wanted_names.iter().cloned();
                requests.map(move |wanted| {
                    let request = NameRequest {
                        identity: thought.row.reference,
                        wanted,
                        bar: BAR,
                    };
                    (thought, request)
                })
            })
            .collect();
        // Names that accounts have already, before a joiner gets one of them.
        wanted.sort_by_key(|(thought, request)| !has_account(thought, request));
        let mut problems = Vec::new();
        for some in wanted.chunks(BATCH) {
            let requests: Vec<NameRequest> = some.iter().map(|(_, request)| request.clone()).collect();
            let answers = self.ports.store.reserve(&requests, context).await?;
            for ((thought, request), answer) in some.iter().zip(answers) {
                if let Err(taken) = answer {
                    problems.push(PlanProblem {
                        identity: thought.row.id,
                        key: thought.key(),
                        path: format!("mappings.{}.{}", request.wanted.slot, request.wanted.attribute),
                        expression: request.wanted.candidates.first().cloned().unwrap_or_default(),
                        message: taken.to_string(),
                    });
                }
            }
        }
        Ok(problems)
    }
}

fn has_account(thought: &Thought, request: &NameRequest) -> bool {
    let is_there = |account: &AccountPlan| {
        account.slot == request.wanted.slot && account.observed_state != AccountState::Absent
    };
    thought.plan.accounts.iter().any(is_there)
}
