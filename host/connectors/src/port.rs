//! The port the engine calls connectors through. Two implementors: [`crate::Generation`] (the sandbox) and the
//! engine's simulated target.

use async_trait::async_trait;
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::connector::{
    AccountRecord, AttributeChange, CallError, CheckReport, Entitlement, Find, Holding, Page, WriteContext,
};

/// A connector bound to one target: its settings, grants and limits. Each call runs in a fresh sandbox.
///
/// A returned error always says what the call has done ([`usher_lifecycle::connector::Effect`]); for errors the host makes itself (trap, limit,
/// timeout) the effect is `None` exactly when no request or statement that could write had left.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Tries the connection.
    async fn check(&self) -> Result<CheckReport, CallError>;
    /// Creates an enabled account.
    async fn create(&self, write: &WriteContext, attributes: &Attributes)
    -> Result<AccountRecord, CallError>;
    /// Changes attributes.
    async fn update(
        &self,
        write: &WriteContext,
        id: &str,
        changes: &[AttributeChange],
        desired: &Attributes,
        version: Option<&str>,
    ) -> Result<AccountRecord, CallError>;
    /// Makes sign-in impossible.
    async fn disable(&self, write: &WriteContext, id: &str) -> Result<AccountRecord, CallError>;
    /// Makes it possible again.
    async fn enable(&self, write: &WriteContext, id: &str) -> Result<AccountRecord, CallError>;
    /// Removes the account.
    async fn delete(&self, write: &WriteContext, id: &str) -> Result<(), CallError>;
    /// Reads one account.
    async fn get(&self, id: &str) -> Result<Option<AccountRecord>, CallError>;
    /// Finds accounts; at most 10.
    async fn find(&self, query: &Find) -> Result<Vec<AccountRecord>, CallError>;
    /// Lists accounts.
    async fn list(&self, cursor: Option<&str>, limit: u32) -> Result<Page<AccountRecord>, CallError>;
    /// Lists what can be held.
    async fn entitlements(&self, cursor: Option<&str>, limit: u32) -> Result<Page<Entitlement>, CallError>;
    /// Lists who holds one.
    async fn members(
        &self,
        entitlement: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Holding>, CallError>;
    /// What one account holds.
    async fn held(&self, account: &str) -> Result<Vec<Holding>, CallError>;
    /// Gives an entitlement.
    async fn grant(
        &self,
        write: &WriteContext,
        account: &str,
        entitlement: &str,
        parameters: &serde_json::Value,
    ) -> Result<(), CallError>;
    /// Takes it away.
    async fn revoke(&self, write: &WriteContext, account: &str, entitlement: &str) -> Result<(), CallError>;
}
