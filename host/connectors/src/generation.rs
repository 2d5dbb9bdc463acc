//! One component bound to one target: what calls go to.

use async_trait::async_trait;
use serde_json::Value;
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::connector::{
    AccountRecord, AttributeChange, CallError, CheckReport, CheckStep, Descriptor, Entitlement, ErrorKind,
    Find, Holding, Page, WriteContext,
};

use crate::journal::Journal;
use crate::port::Connector;
use crate::runner::Runner;
use crate::schema::Schema;
use crate::secret_check::SecretCheck;

/// A loaded connector with a target's settings, grants and limits. Cheap to share; each call runs in a sandbox of its own.
pub struct Generation {
    pub(crate) runner: Runner,
    pub(crate) digest: String,
    pub(crate) descriptor: Descriptor,
    pub(crate) account_schema: Schema,
    pub(crate) secret_check: SecretCheck,
}

impl Generation {
    /// What the connector is under the target's settings.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// JSON Schema of the target's accounts.
    pub fn account_schema(&self) -> &Value {
        self.account_schema.document()
    }

    /// SHA-256 of the component, lower-case hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Refuses attributes the connector has said it cannot take, before anything is called.
    fn check_attributes(&self, attributes: &Attributes) -> Result<(), CallError> {
        let violations = self.account_schema.violations(&Value::Object(attributes.clone()));
        if violations.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the attributes do not satisfy the account schema: {}",
            violations.join("; ")
        );
        Err(CallError::harmless(ErrorKind::InvalidRequest, message))
    }
}

/// Why something failed, as far as the host knows. Guests are told little of it; who runs a check needs it all.
fn met_by_the_host(journal: &Journal) -> Vec<CheckStep> {
    let met = [
        (
            "the host's own part",
            journal.host_failure().map(|failure| failure.message),
        ),
        (
            "stay within the grants",
            journal.refusal().map(|refusal| refusal.explain()),
        ),
        (
            "stay within the limits",
            journal.limit().map(|limit| format!("stopped at {limit}")),
        ),
        ("the network, as the host met it", journal.last_trouble()),
    ];
    let failed = met.into_iter().filter_map(|(name, detail)| Some((name, detail?)));
    failed
        .map(|(name, detail)| CheckStep {
            name: name.to_owned(),
            ok: false,
            detail,
        })
        .collect()
}

#[async_trait]
impl Connector for Generation {
    async fn check(&self) -> Result<CheckReport, CallError> {
        let mut steps = self.secret_check.steps().await;
        if steps.iter().any(|step| !step.ok) {
            // The connector could only say that something does not work.
            return Ok(CheckReport {
                steps,
                permissions: Vec::new(),
            });
        }
        let checked = self.runner.run_telling("check", |guest| guest.check()).await?;
        let (mut report, journal) = checked;
        if report.steps.iter().any(|step| !step.ok) {
            report.steps.extend(met_by_the_host(&journal));
        }
        if !report.steps.is_empty() {
            steps.append(&mut report.steps);
            report.steps = steps;
        }
        Ok(report)
    }

    async fn create(
        &self,
        write: &WriteContext,
        attributes: &Attributes,
    ) -> Result<AccountRecord, CallError> {
        self.check_attributes(attributes)?;
        self.runner
            .run("create", |guest| guest.create(write, attributes))
            .await
    }

    async fn update(
        &self,
        write: &WriteContext,
        id: &str,
        changes: &[AttributeChange],
        desired: &Attributes,
        version: Option<&str>,
    ) -> Result<AccountRecord, CallError> {
        self.check_attributes(desired)?;
        self.runner
            .run("update", |guest| {
                guest.update(write, id, changes, desired, version)
            })
            .await
    }

    async fn disable(&self, write: &WriteContext, id: &str) -> Result<AccountRecord, CallError> {
        self.runner.run("disable", |guest| guest.disable(write, id)).await
    }

    async fn enable(&self, write: &WriteContext, id: &str) -> Result<AccountRecord, CallError> {
        self.runner.run("enable", |guest| guest.enable(write, id)).await
    }

    async fn delete(&self, write: &WriteContext, id: &str) -> Result<(), CallError> {
        self.runner.run("delete", |guest| guest.delete(write, id)).await
    }

    async fn get(&self, id: &str) -> Result<Option<AccountRecord>, CallError> {
        self.runner.run("get", |guest| guest.get(id)).await
    }

    async fn find(&self, query: &Find) -> Result<Vec<AccountRecord>, CallError> {
        self.runner.run("find", |guest| guest.find(query)).await
    }

    async fn list(&self, cursor: Option<&str>, limit: u32) -> Result<Page<AccountRecord>, CallError> {
        self.runner.run("list", |guest| guest.list(cursor, limit)).await
    }

    async fn entitlements(&self, cursor: Option<&str>, limit: u32) -> Result<Page<Entitlement>, CallError> {
        self.runner
            .run("entitlements", |guest| guest.entitlements(cursor, limit))
            .await
    }

    async fn members(
        &self,
        entitlement: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Holding>, CallError> {
        self.runner
            .run("members", |guest| guest.members(entitlement, cursor, limit))
            .await
    }

    async fn held(&self, account: &str) -> Result<Vec<Holding>, CallError> {
        self.runner.run("held", |guest| guest.held(account)).await
    }

    async fn grant(
        &self,
        write: &WriteContext,
        account: &str,
        entitlement: &str,
        parameters: &Value,
    ) -> Result<(), CallError> {
        self.runner
            .run("grant", |guest| {
                guest.grant(write, account, entitlement, parameters)
            })
            .await
    }

    async fn revoke(&self, write: &WriteContext, account: &str, entitlement: &str) -> Result<(), CallError> {
        self.runner
            .run("revoke", |guest| guest.revoke(write, account, entitlement))
            .await
    }
}
