//! The active documents: checked and activated here, read from the store and compiled once per version.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use serde_json::Value;
use usher_lifecycle::cause::Actor;
use usher_lifecycle::connector::Creation;
use usher_lifecycle::document::{DocumentError, DocumentErrors};
use usher_lifecycle::name::TargetName;
use usher_lifecycle::plan::{Planner, TargetFacts};
use usher_lifecycle::policy::{self, Policy};
use usher_lifecycle::schema::AccountSchema;
use usher_lifecycle::targets::{self, Target, Targets};
use usher_store::DocumentKind;

mod proposed;

pub(crate) use proposed::Prepared;
pub use proposed::Proposed;

use crate::engine::Engine;
use crate::error::{EngineError, TargetError};
use crate::ports::ResolvedTarget;

/// The policy in force.
pub(crate) struct ActivePolicy {
    pub(crate) version: i64,
    pub(crate) policy: Arc<Policy>,
    /// What planning under it has learned of its rules. Locked for a page of people, never over an await.
    planner: Mutex<Planner>,
}

impl ActivePolicy {
    pub(crate) fn new(version: i64, policy: Policy) -> Self {
        let policy = Arc::new(policy);
        Self {
            version,
            planner: Mutex::new(Planner::new(Arc::clone(&policy))),
            policy,
        }
    }

    pub(crate) fn planner(&self) -> MutexGuard<'_, Planner> {
        // What it remembers is right even if somebody else's thought ended in the middle: entries are whole.
        self.planner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The targets in force; none when no document is active (version 0).
#[derive(Clone, Default)]
pub(crate) struct ActiveTargets {
    pub(crate) version: i64,
    pub(crate) targets: Targets,
    pub(crate) resolved: BTreeMap<TargetName, ResolvedTarget>,
    /// What planning must know of each.
    pub(crate) facts: BTreeMap<TargetName, TargetFacts>,
    /// The version of the policy that the pilots are compiled against.
    piloted_under: i64,
}

/// The documents last compiled. A new version replaces them.
#[derive(Default)]
pub(crate) struct Active {
    policy: Mutex<Option<Arc<ActivePolicy>>>,
    targets: Mutex<Option<Arc<ActiveTargets>>>,
}

impl ActiveTargets {
    /// The same with its pilots ready to be asked. They are about people, so the policy says what they may read: each version compiles them anew.
    fn piloted(&self, policy: &ActivePolicy) -> Result<Self, EngineError> {
        let pilots = self
            .targets
            .pilots(&policy.policy, "targets", false)
            .map_err(|errors| unreadable("targets", self.version, &errors))?;
        let mut piloted = self.clone();
        piloted.piloted_under = policy.version;
        for (target, pilot) in pilots {
            if let Some(facts) = piloted.facts.get_mut(&target) {
                facts.pilot = Some(pilot);
            }
        }
        Ok(piloted)
    }
}

impl Engine {
    /// Checks a policy: its own mistakes, and those against the active targets document and the account schemas of its targets, if there
    /// is one. Activates nothing.
    ///
    /// # Errors
    /// Every mistake found, or the store fails.
    pub async fn check_policy(&self, file: &str, text: &str) -> Result<Policy, EngineError> {
        let policy = policy::parse_strictly(file, text)?;
        let mut errors = self.environment_errors(file, text, &policy);
        // Without their pilots, which are compiled against this policy: an active one that cannot be read any more is to be replaced.
        let active = self.targets_alone().await?;
        if active.version > 0
            && let Err(more) = policy::check_against(&policy, file, &active.targets)
        {
            errors.extend(more.0);
        }
        let schemas = active
            .facts
            .iter()
            .map(|(name, facts)| (name.clone(), facts.schema.clone()))
            .collect();
        if let Err(more) = policy::check_schemas(&policy, file, &schemas) {
            errors.extend(more.0);
        }
        if let Err(more) = active.targets.pilots(
            &policy,
            &format!("active targets, version {}", active.version),
            false,
        ) {
            errors.extend(more.0);
        }
        if errors.is_empty() {
            return Ok(policy);
        }
        errors.sort_by_key(|error| (error.line, error.column));
        Err(DocumentErrors(errors).into())
    }

    /// Makes a policy the active one. Returns its version; the same text again returns the version it has.
    ///
    /// # Errors
    /// As [`Engine::check_policy`]; nothing is activated then.
    pub async fn activate_policy(&self, file: &str, text: &str, actor: Actor) -> Result<i64, EngineError> {
        let proposed = Proposed {
            kind: DocumentKind::Policy,
            file,
            text,
        };
        self.activate(&proposed, None, actor).await
    }

    /// Checks a targets document: its own mistakes, those against the active policy, and every target's connector under the target's
    /// settings. Activates nothing; returns what each target resolves to.
    ///
    /// # Errors
    /// As [`Engine::activate_targets`].
    pub async fn check_targets(
        &self,
        file: &str,
        text: &str,
    ) -> Result<BTreeMap<TargetName, ResolvedTarget>, EngineError> {
        let targets = targets::parse_strictly(file, text)?;
        let Some(active) = self.policy_if_readable().await? else {
            let resolved = self.resolve(&targets).await?;
            targets::check_protected(&targets, file, &schemas(&resolved))?;
            return Ok(resolved);
        };
        let named = format!("active policy, version {}", active.version);
        policy::check_against(&active.policy, &named, &targets)?;
        targets.pilots(&active.policy, file, true)?;
        let resolved = self.resolve(&targets).await?;
        let schemas = schemas(&resolved);
        policy::check_schemas(&active.policy, &named, &schemas)?;
        targets::check_protected(&targets, file, &schemas)?;
        Ok(resolved)
    }

    /// Makes a targets document the active one: loads every target's connector, which describes itself under the target's settings.
    ///
    /// # Errors
    /// Mistakes in the document, targets whose connector cannot be had, an active policy that asks for what is no longer there.
    /// Nothing is activated then.
    pub async fn activate_targets(&self, file: &str, text: &str, actor: Actor) -> Result<i64, EngineError> {
        let proposed = Proposed {
            kind: DocumentKind::Targets,
            file,
            text,
        };
        self.activate(&proposed, None, actor).await
    }

    async fn resolve(&self, targets: &Targets) -> Result<BTreeMap<TargetName, ResolvedTarget>, EngineError> {
        let resolve = |target: Target| async move {
            let failed = |reason| TargetError {
                target: target.name.clone(),
                reason,
            };
            let resolved = self.ports.connectors.resolve(&target).await.map_err(failed)?;
            AccountSchema::parse(&resolved.account_schema).map_err(|error| failed(error.to_string()))?;
            Ok((target.name.clone(), resolved))
        };
        let results = join_all(targets.targets.values().cloned().map(resolve)).await;
        let (mut good, mut bad) = (BTreeMap::new(), Vec::new());
        for result in results {
            match result {
                Ok((name, resolved)) => drop(good.insert(name, resolved)),
                Err(error) => bad.push(error),
            }
        }
        if bad.is_empty() {
            Ok(good)
        } else {
            Err(EngineError::Targets(bad))
        }
    }

    /// The active policy.
    pub(crate) async fn policy(&self) -> Result<Arc<ActivePolicy>, EngineError> {
        self.policy_if_any().await?.ok_or_else(|| {
            EngineError::NotActive(
                "no policy is active: activate one with `usher policy activate FILE`".to_owned(),
            )
        })
    }

    pub(crate) async fn policy_if_any(&self) -> Result<Option<Arc<ActivePolicy>>, EngineError> {
        let Some(document) = self.ports.store.document(DocumentKind::Policy).await? else {
            return Ok(None);
        };
        let mut kept = self.active.policy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(active) = kept.as_ref().filter(|active| active.version == document.version) {
            return Ok(Some(Arc::clone(active)));
        }
        let active = Arc::new(compile_policy(document.version, &document.text)?);
        *kept = Some(Arc::clone(&active));
        Ok(Some(active))
    }

    /// The active policy; none also when it cannot be read any more: what is to replace it, or comes before that, is not measured by it.
    async fn policy_if_readable(&self) -> Result<Option<Arc<ActivePolicy>>, EngineError> {
        match self.policy_if_any().await {
            Err(EngineError::Unreadable { .. }) => Ok(None),
            result => result,
        }
    }

    /// The active targets; none when no document is active.
    pub(crate) async fn targets(&self) -> Result<Arc<ActiveTargets>, EngineError> {
        let mut active = self.targets_alone().await?;
        if !active.targets.pilots.is_empty()
            && let Some(policy) = self.policy_if_any().await?
            && policy.version != active.piloted_under
        {
            active = Arc::new(active.piloted(&policy)?);
            *self.active.targets.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&active));
        }
        Ok(active)
    }

    /// The active targets with the pilots of whichever policy asked last, or with none.
    async fn targets_alone(&self) -> Result<Arc<ActiveTargets>, EngineError> {
        let Some(document) = self.ports.store.document(DocumentKind::Targets).await? else {
            return Ok(Arc::default());
        };
        let kept = || self.active.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept()
            .as_ref()
            .filter(|active| active.version == document.version)
            .cloned();
        let active = match known {
            Some(active) => return Ok(active),
            None => Arc::new(compile_targets(
                document.version,
                &document.text,
                document.resolved,
            )?),
        };
        *kept() = Some(Arc::clone(&active));
        Ok(active)
    }

    /// What a policy asks of this program that the document alone cannot tell: time zones and encodings.
    fn environment_errors(&self, file: &str, text: &str, policy: &Policy) -> Vec<DocumentError> {
        let mut errors = Vec::new();
        let mut wrong = |table: &str, key: &str, message: String| {
            let path = if table.is_empty() {
                key.to_owned()
            } else {
                format!("{table}.{key}")
            };
            let line = line_of(text, table, key);
            let column = usize::from(line > 0);
            errors.push(DocumentError {
                file: file.to_owned(),
                line,
                column,
                path,
                expression: None,
                message,
            });
        };
        if self.ports.zones.get(&policy.zone).is_err() {
            let message = format!(
                "there is no time zone `{}`: write an IANA name such as Europe/Berlin",
                policy.zone
            );
            wrong("", "zone", message);
        }
        for source in &policy.sources {
            if encoding_rs::Encoding::for_label(source.encoding.trim().as_bytes()).is_none() {
                let message = format!(
                    "there is no encoding `{}`: write utf-8, windows-1252, utf-16le …",
                    source.encoding
                );
                wrong(&format!("sources.{}", source.name), "encoding", message);
            }
        }
        errors
    }
}

fn schemas(resolved: &BTreeMap<TargetName, ResolvedTarget>) -> BTreeMap<TargetName, AccountSchema> {
    let schema = |(name, target): (&TargetName, &ResolvedTarget)| {
        let schema = AccountSchema::parse(&target.account_schema).ok()?;
        Some((name.clone(), schema))
    };
    resolved.iter().filter_map(schema).collect()
}

/// The attributes by which a target recognises accounts.
fn recognised_by(creation: &Creation) -> Vec<String> {
    match creation {
        Creation::UniqueKey(names) => names.clone(),
        Creation::ClientId(name) => vec![name.clone()],
        Creation::Marker | Creation::None => Vec::new(),
    }
}

fn compile_policy(version: i64, text: &str) -> Result<ActivePolicy, EngineError> {
    let policy = policy::parse("policy", text).map_err(|errors| unreadable("policy", version, &errors))?;
    Ok(ActivePolicy::new(version, policy))
}

fn compile_targets(version: i64, text: &str, resolved: Value) -> Result<ActiveTargets, EngineError> {
    let unreadable = |reason: &dyn std::fmt::Display| unreadable("targets", version, reason);
    let targets = targets::parse("targets", text).map_err(|errors| unreadable(&errors))?;
    let resolved: BTreeMap<TargetName, ResolvedTarget> =
        serde_json::from_value(resolved).map_err(|error| unreadable(&error))?;
    let mut facts = BTreeMap::new();
    for (name, target) in &targets.targets {
        let known = resolved
            .get(name)
            .ok_or_else(|| unreadable(&format!("target {name} was not resolved")))?;
        let schema = AccountSchema::parse(&known.account_schema).map_err(|error| unreadable(&error))?;
        let capabilities = known.descriptor.capabilities;
        facts.insert(
            name.clone(),
            TargetFacts {
                capabilities,
                schema,
                apply: target.apply,
                depends_on: target.depends_on.clone(),
                pilot: None,
                protection: target.protection(&recognised_by(&known.descriptor.creation)),
            },
        );
    }
    Ok(ActiveTargets {
        version,
        targets,
        resolved,
        facts,
        piloted_under: 0,
    })
}

fn unreadable(kind: &'static str, version: i64, reason: &dyn std::fmt::Display) -> EngineError {
    EngineError::Unreadable {
        kind,
        version,
        reason: reason.to_string(),
    }
}

/// The line of `key = …` in a table of a TOML text; 0 when it is not written as such a line.
fn line_of(text: &str, table: &str, key: &str) -> usize {
    let mut inside = table.is_empty();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            inside = header.split(']').next().is_some_and(|name| name.trim() == table);
        } else if inside
            && line
                .strip_prefix(key)
                .is_some_and(|rest| rest.trim_start().starts_with('='))
        {
            return at + 1;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::line_of;

    #[test]
    fn a_key_is_found_in_its_table_only() {
        let text = "zone = 'x'\n[sources.hr]\nencoding = 'a'\nzones = 1\n[sources.b]\n  encoding= 'c'\n";
        assert_eq!(line_of(text, "", "zone"), 1);
        assert_eq!(line_of(text, "sources.b", "encoding"), 6);
        assert_eq!(line_of(text, "sources.hr", "zone"), 0);
    }
}
