//! How everything is. Reads totals, never all people.

use std::collections::{BTreeMap, BTreeSet};

use usher_lifecycle::name::TargetName;
use usher_lifecycle::operation::OperationState;
use usher_store::{DocumentKind, OperationFilter, OperationRow};

use super::model::{DocumentVersion, HeldView, StatusView, TargetStatus};
use crate::documents::ActiveTargets;
use crate::engine::Engine;
use crate::error::EngineError;

/// Held operations listed; all are counted.
const HELD_LISTED: u32 = 50;
/// Imports listed.
const IMPORTS_LISTED: u32 = 10;

impl Engine {
    /// How everything is.
    ///
    /// # Errors
    /// The store fails.
    pub async fn status(&self) -> Result<StatusView, EngineError> {
        let store = &self.ports.store;
        let active = self.targets().await?;
        let filter = OperationFilter {
            states: vec![OperationState::Held],
            limit: HELD_LISTED,
            without_budgets: true,
            ..OperationFilter::default()
        };
        let held = store.operations(&filter).await?;
        let identities = store.identity_totals().await?.into_iter().map(|(state, total)| {
            (
                state.map_or_else(|| "new".to_owned(), |state| state.to_string()),
                total,
            )
        });
        Ok(StatusView {
            at: self.ports.clock.now(),
            identities: identities.collect(),
            targets: self.target_statuses(&active).await?,
            revoking: self.unfinished_stops().await?,
            held: held.into_iter().map(held_view).collect(),
            held_causes: store.held_causes(HELD_LISTED).await?,
            imports: store.snapshots(IMPORTS_LISTED).await?,
            policy: self.version_of(DocumentKind::Policy).await?,
            targets_document: self.version_of(DocumentKind::Targets).await?,
            next_due: store.next_due().await?,
            next_change: store.next_change().await?,
        })
    }

    async fn version_of(&self, kind: DocumentKind) -> Result<Option<DocumentVersion>, EngineError> {
        let document = self.ports.store.document(kind).await?;
        Ok(document.map(|document| DocumentVersion {
            version: document.version,
            activated_at: document.activated_at,
        }))
    }

    /// Targets of the document, and those that still have accounts or operations.
    async fn target_statuses(&self, active: &ActiveTargets) -> Result<Vec<TargetStatus>, EngineError> {
        let accounts = self.ports.store.account_totals().await?;
        let operations = self.ports.store.operation_totals().await?;
        let names: BTreeSet<&TargetName> = active
            .facts
            .keys()
            .chain(accounts.iter().map(|(name, _, _)| name))
            .chain(operations.iter().map(|total| &total.target))
            .collect();
        let status = |name: &TargetName| {
            let resolved = active.resolved.get(name);
            let of_target = operations.iter().filter(|total| total.target == *name);
            let in_target = accounts.iter().filter(|(target, _, _)| target == name);
            TargetStatus {
                name: name.clone(),
                connector: resolved
                    .map(|resolved| format!("{} {}", resolved.descriptor.name, resolved.descriptor.version))
                    .unwrap_or_default(),
                digest: resolved
                    .map(|resolved| resolved.digest.clone())
                    .unwrap_or_default(),
                apply: active.facts.get(name).map(|facts| facts.apply),
                accounts: in_target
                    .map(|(_, state, total)| (*state, *total))
                    .collect::<BTreeMap<_, _>>(),
                operations: of_target
                    .map(|total| (total.state, total.operations))
                    .collect::<BTreeMap<_, _>>(),
            }
        };
        Ok(names.into_iter().map(status).collect())
    }
}

fn held_view(row: OperationRow) -> HeldView {
    HeldView {
        operation: row.id,
        key: row.key,
        slot: row.slot,
        verb: row.work.verb().to_owned(),
        reason: row.message.unwrap_or_default(),
    }
}
