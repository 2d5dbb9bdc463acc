//! The calls of a guest of this version: domain types in, domain types out.

use serde_json::Value;
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::connector::{
    AccountRecord, AttributeChange, CallError, CheckReport, Descriptor, Entitlement, ErrorKind, Find,
    Holding, Page, WriteContext,
};
use wasmtime::Store;
use wasmtime::component::Instance;

use super::wit::exports::usher::connector as exported;
use super::wit::usher::connector::types;
use super::{Exports, convert};
use crate::contract::Failure;
use crate::schema::Schema;
use crate::state::State;

/// A fresh instance about to serve one call. Dropping it ends it.
pub(crate) struct Guest<'g> {
    exports: &'g Exports,
    store: Store<State>,
    instance: Instance,
    call: types::Call,
}

/// What the guest answered, in this version's types.
type Answer<T> = Result<T, types::CallError>;

/// Takes a guest's answer apart and checks what it holds.
fn checked<G, T>(answer: Answer<G>, convert: impl FnOnce(G) -> Result<T, String>) -> Result<T, Failure> {
    let answer = answer.map_err(|error| Failure::Guest(convert::error(error)))?;
    convert(answer).map_err(Failure::Nonsense)
}

/// What a guest says of itself, or why that cannot be used: the loader tells its author, in words of its own.
type Described<T> = Result<T, String>;

fn described<G, T>(
    answer: Answer<G>,
    convert: impl FnOnce(G) -> Described<T>,
) -> Result<Described<T>, Failure> {
    checked(answer, |answer| Ok(convert(answer)))
}

impl<'g> Guest<'g> {
    pub(crate) fn new(
        exports: &'g Exports,
        store: Store<State>,
        instance: Instance,
        settings: &str,
        deadline_ms: u32,
    ) -> Self {
        Self {
            exports,
            store,
            instance,
            call: types::Call {
                settings: settings.to_owned(),
                deadline_ms,
            },
        }
    }

    fn connector(&mut self) -> Result<exported::connector::Guest, Failure> {
        Ok(self.exports.connector.load(&mut self.store, &self.instance)?)
    }

    fn accounts(&mut self) -> Result<exported::accounts::Guest, Failure> {
        Ok(self.exports.accounts.load(&mut self.store, &self.instance)?)
    }

    fn entitlement_calls(&mut self) -> Result<exported::entitlements::Guest, Failure> {
        match &self.exports.entitlements {
            Some(indices) => Ok(indices.load(&mut self.store, &self.instance)?),
            None => Err(Failure::Guest(CallError::harmless(
                ErrorKind::Unsupported,
                "the connector does not export `entitlements`",
            ))),
        }
    }

    /// Checks the types of everything exported, also of what is not called now, and asks for the descriptor.
    pub(crate) async fn describe(
        mut self,
        with_settings: bool,
    ) -> Result<Described<(Descriptor, Schema)>, Failure> {
        self.accounts()?;
        let entitlements = self.exports.has_entitlements();
        if entitlements {
            self.entitlement_calls()?;
        }
        let settings = with_settings.then(|| self.call.settings.clone());
        let answer = self
            .connector()?
            .call_describe(&mut self.store, settings.as_ref())
            .await?;
        described(answer, |answer| convert::descriptor(answer, entitlements))
    }

    pub(crate) async fn schema(mut self) -> Result<Described<Schema>, Failure> {
        let answer = self.accounts()?.call_schema(&mut self.store, &self.call).await?;
        described(answer, |text| Schema::parse(&text))
    }

    pub(crate) async fn check(mut self) -> Result<CheckReport, Failure> {
        let answer = self.connector()?.call_check(&mut self.store, &self.call).await?;
        checked(answer, |report| Ok(convert::check_report(report)))
    }

    pub(crate) async fn create(
        mut self,
        write: &WriteContext,
        attributes: &Attributes,
    ) -> Result<AccountRecord, Failure> {
        let (write, attributes) = (convert::write_to_guest(write), convert::json(attributes));
        let answer = self
            .accounts()?
            .call_create(&mut self.store, &self.call, &write, &attributes)
            .await?;
        checked(answer, convert::account)
    }

    pub(crate) async fn update(
        mut self,
        write: &WriteContext,
        id: &str,
        changes: &[AttributeChange],
        desired: &Attributes,
        version: Option<&str>,
    ) -> Result<AccountRecord, Failure> {
        let (write, update) = (
            convert::write_to_guest(write),
            convert::update_to_guest(changes, desired, version),
        );
        let answer = self
            .accounts()?
            .call_update(&mut self.store, &self.call, &write, id, &update)
            .await?;
        checked(answer, |account| convert::same_account(account, id))
    }

    pub(crate) async fn disable(mut self, write: &WriteContext, id: &str) -> Result<AccountRecord, Failure> {
        let write = convert::write_to_guest(write);
        let answer = self
            .accounts()?
            .call_disable(&mut self.store, &self.call, &write, id)
            .await?;
        checked(answer, |account| convert::same_account(account, id))
    }

    pub(crate) async fn enable(mut self, write: &WriteContext, id: &str) -> Result<AccountRecord, Failure> {
        let write = convert::write_to_guest(write);
        let answer = self
            .accounts()?
            .call_enable(&mut self.store, &self.call, &write, id)
            .await?;
        checked(answer, |account| convert::same_account(account, id))
    }

    pub(crate) async fn delete(mut self, write: &WriteContext, id: &str) -> Result<(), Failure> {
        let write = convert::write_to_guest(write);
        let answer = self
            .accounts()?
            .call_delete(&mut self.store, &self.call, &write, id)
            .await?;
        checked(answer, Ok)
    }

    pub(crate) async fn get(mut self, id: &str) -> Result<Option<AccountRecord>, Failure> {
        let answer = self.accounts()?.call_get(&mut self.store, &self.call, id).await?;
        checked(answer, |account| {
            account
                .map(|account| convert::same_account(account, id))
                .transpose()
        })
    }

    pub(crate) async fn find(mut self, query: &Find) -> Result<Vec<AccountRecord>, Failure> {
        let query = convert::find_to_guest(query);
        let answer = self
            .accounts()?
            .call_find(&mut self.store, &self.call, &query)
            .await?;
        checked(answer, convert::found)
    }

    pub(crate) async fn list(
        mut self,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<AccountRecord>, Failure> {
        let answer = self
            .accounts()?
            .call_list(&mut self.store, &self.call, cursor, limit)
            .await?;
        checked(answer, |page| convert::accounts(page, limit))
    }

    pub(crate) async fn entitlements(
        mut self,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Entitlement>, Failure> {
        let answer = self
            .entitlement_calls()?
            .call_list(&mut self.store, &self.call, cursor, limit)
            .await?;
        checked(answer, |page| convert::entitlements(page, limit))
    }

    pub(crate) async fn members(
        mut self,
        entitlement: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Holding>, Failure> {
        let calls = self.entitlement_calls()?;
        let answer = calls
            .call_members(&mut self.store, &self.call, entitlement, cursor, limit)
            .await?;
        checked(answer, |page| convert::members(page, limit, entitlement))
    }

    pub(crate) async fn held(mut self, account: &str) -> Result<Vec<Holding>, Failure> {
        let answer = self
            .entitlement_calls()?
            .call_held(&mut self.store, &self.call, account)
            .await?;
        checked(answer, |holdings| convert::held(holdings, account))
    }

    pub(crate) async fn grant(
        mut self,
        write: &WriteContext,
        account: &str,
        entitlement: &str,
        parameters: &Value,
    ) -> Result<(), Failure> {
        let (write, parameters) = (
            convert::write_to_guest(write),
            convert::parameters_to_guest(parameters),
        );
        let calls = self.entitlement_calls()?;
        let answer = calls
            .call_grant(
                &mut self.store,
                &self.call,
                &write,
                account,
                entitlement,
                parameters.as_ref(),
            )
            .await?;
        checked(answer, Ok)
    }

    pub(crate) async fn revoke(
        mut self,
        write: &WriteContext,
        account: &str,
        entitlement: &str,
    ) -> Result<(), Failure> {
        let write = convert::write_to_guest(write);
        let answer = self
            .entitlement_calls()?
            .call_revoke(&mut self.store, &self.call, &write, account, entitlement)
            .await?;
        checked(answer, Ok)
    }
}
