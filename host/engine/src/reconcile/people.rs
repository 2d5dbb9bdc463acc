//! Whose accounts may be: the identities, by what the rules compare.

use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::correlation::{Index, IndexBuilder, Match, Matcher};
use usher_lifecycle::expr::Scope;
use usher_lifecycle::policy::Policy;
use usher_lifecycle::state::IdentityState;
use usher_store::{IdentityRef, KnownPerson, Matched, MatchedIdentity};

use super::ReconcileReport;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::progress::{Phase, Progress};

/// Identities read at once: a few MiB.
const PAGE: u32 = 2_000;

/// Everybody, ready to be asked. Memory: 16 bytes for each identity and 20 for each value compared.
pub(super) struct People {
    index: Index,
    /// Number and facts version of each, in the order of their places in the index.
    people: Vec<(IdentityRef, i64)>,
}

impl Engine {
    /// Reads everybody; nobody where there are no rules.
    pub(super) async fn people(
        &self,
        matcher: &Matcher<'_>,
        policy: &Policy,
        report: &mut ReconcileReport,
        progress: &dyn Progress,
    ) -> Result<People, EngineError> {
        let mut builder = IndexBuilder::default();
        let mut people = Vec::new();
        let mut after = None;
        while !matcher.is_empty() {
            let page = self.ports.store.known_people(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.identity);
            for person in page {
                let attributes = self.attributes(&person, policy);
                if attributes.is_empty() {
                    continue;
                }
                let Ok(place) = u32::try_from(people.len()) else {
                    break;
                };
                people.push((person.identity, person.facts_version));
                let state = person.state.unwrap_or(IdentityState::Staged);
                let mut problems = Vec::new();
                builder.add(
                    place,
                    matcher.identity_keys(&Scope::new(&attributes, state), &mut problems),
                );
                for problem in problems {
                    report.problem(problem.to_string());
                }
            }
            progress.at(Phase::Knowing, people.len() as u64, 0);
        }
        Ok(People {
            index: builder.finish(),
            people,
        })
    }

    fn attributes(&self, person: &KnownPerson, policy: &Policy) -> Attributes {
        // Which contract runs matters only where there are several records.
        let employment = (person.records.len() > 1)
            .then(|| policy.employment(&person.records, &self.ports.zones).ok())
            .flatten();
        policy.merge(&person.records, employment.as_ref(), self.ports.clock.now())
    }
}

impl People {
    /// Whose this account is.
    pub(super) fn owner_of(&self, matcher: &Matcher<'_>, account: &Attributes) -> Matched {
        if self.people.is_empty() {
            return Matched::default();
        }
        let (certain, candidates) = match self.index.find(matcher, account) {
            Match::Nobody => (false, Vec::new()),
            Match::One(one) => (true, vec![one]),
            Match::Several(several) => (false, several),
        };
        let known = candidates.into_iter().filter_map(|one| {
            let (identity, facts_version) = *self.people.get(usize::try_from(one.identity).ok()?)?;
            Some(MatchedIdentity {
                identity,
                facts_version,
                kind: one.kind,
                weight: one.weight,
                rule: one.rule,
            })
        });
        Matched {
            certain,
            candidates: known.collect(),
        }
    }
}
