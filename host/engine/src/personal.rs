//! Facts that people set about one person: roles by hand or by request, holds, exceptions from separations of duties.
//!
//! Only facts change here; what follows from them is the next plan's, as with every other fact.

use serde::Serialize;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::name::SourceName;
use usher_lifecycle::policy::Policy;
use usher_store::{FactId, NewFact};

use crate::engine::Engine;
use crate::error::EngineError;

/// What was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FactSet {
    /// Its id, by which it can be ended.
    pub id: FactId,
    /// About whom.
    pub identity: IdentityId,
}

/// One record of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordKey {
    /// The source.
    pub source: SourceName,
    /// Its own key of the record.
    pub key: String,
}

/// Whose a record is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordJoined {
    /// Whose.
    pub identity: IdentityId,
    /// Which.
    pub record: RecordKey,
}

impl Engine {
    /// Sets a fact about a person, given by public id or by the key of any source record.
    ///
    /// # Errors
    /// There is no such person; the active policy has no such role or separation; the store refuses it and says why.
    pub async fn set_fact(
        &self,
        key: &str,
        fact: &NewFact,
        reason: &str,
        actor: Actor,
    ) -> Result<FactSet, EngineError> {
        self.check_named(fact).await?;
        let identity = self.ports.store.identity(key).await?.id;
        let context = self.context(actor);
        let id = self
            .ports
            .store
            .add_fact(identity, fact, reason, &context)
            .await?;
        Ok(FactSet { id, identity })
    }

    /// Ends a fact that somebody set.
    ///
    /// # Errors
    /// There is no such fact, or it was ended before.
    pub async fn end_fact(&self, id: FactId, reason: &str, actor: Actor) -> Result<FactSet, EngineError> {
        let context = self.context(actor);
        let identity = self.ports.store.end_fact(id, reason, &context).await?;
        Ok(FactSet { id, identity })
    }

    /// Moves a source record to the person it belongs to, because a person says so: where no `join` of the policy tells, or it tells wrong.
    ///
    /// # Errors
    /// There is no such person or record; they have it already; or whoever has it would be left with accounts and without a record.
    pub async fn join_record(
        &self,
        key: &str,
        record: &RecordKey,
        reason: &str,
        actor: Actor,
    ) -> Result<RecordJoined, EngineError> {
        let identity = self.ports.store.identity(key).await?.id;
        let context = self.context(actor);
        let store = &self.ports.store;
        store
            .move_record(&record.source, &record.key, identity, reason, &context)
            .await?;
        Ok(RecordJoined {
            identity,
            record: record.clone(),
        })
    }

    /// A mistyped role would give nothing, and nobody would be told. A hold names nothing: it can be set whatever has become of the policy.
    async fn check_named(&self, fact: &NewFact) -> Result<(), EngineError> {
        let (what, name, names): (_, _, fn(&Policy) -> Vec<&str>) = match fact {
            NewFact::Hold { .. } => return Ok(()),
            NewFact::Assignment { role, .. } => ("role", role, |policy| {
                policy.roles.iter().map(|role| role.name.as_str()).collect()
            }),
            NewFact::Exception { separation, .. } => ("separation", separation, |policy| {
                let all = policy.separations.iter();
                all.map(|separation| separation.name.as_str()).collect()
            }),
        };
        let active = self.policy().await?;
        let known = names(&active.policy);
        if known.contains(&name.as_str()) {
            return Ok(());
        }
        let have = if known.is_empty() {
            "it has none".to_owned()
        } else {
            format!("it has {}", known.join(", "))
        };
        Err(EngineError::NotFound(format!(
            "the active policy has no {what} `{name}`; {have}"
        )))
    }
}
