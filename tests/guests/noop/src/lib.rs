//! A connector that does nothing and says that it worked. Creations are recognised by marker, and none is ever found.

#![allow(
    unsafe_code,
    reason = "generated: the canonical ABI of components is raw memory"
)]

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
    wit_bindgen::generate!({ path: "../../../wit", world: "everything", generate_all });
    use super::Noop;
    export!(Noop);
}

use bindings::exports::usher::connector::{accounts, connector, entitlements};
use bindings::usher::connector::types::{
    Account, AccountPage, AccountStatus, AccountUpdate, Call, CallError, CheckReport, Creation, Descriptor,
    FindQuery, Write,
};
use entitlements::{EntitlementPage, Holding, HoldingPage};

struct Noop;

fn account(id: String, attributes: String, status: AccountStatus) -> Account {
    Account {
        id,
        attributes,
        status,
        version: None,
        marker: None,
    }
}

impl connector::Guest for Noop {
    fn describe(_settings: Option<String>) -> Result<Descriptor, CallError> {
        Ok(Descriptor {
            name: "noop".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            docs_url: None,
            settings_schema: r#"{"type":"object","additionalProperties":false}"#.to_owned(),
            capabilities: vec!["disable".to_owned(), "delete".to_owned()],
            creation: Creation::Marker,
        })
    }

    fn check(_call: Call) -> Result<CheckReport, CallError> {
        Ok(CheckReport {
            steps: vec![],
            permissions: vec![],
        })
    }
}

impl accounts::Guest for Noop {
    fn schema(_call: Call) -> Result<String, CallError> {
        Ok(r#"{"type":"object","properties":{"userName":{"type":"string"},"displayName":{"type":"string"},"email":{"type":"string"},"department":{"type":"string"}}}"#.to_owned())
    }

    fn create(_call: Call, write: Write, attributes: String) -> Result<Account, CallError> {
        let marker = Some(write.intent_id.clone());
        Ok(Account {
            marker,
            ..account(write.intent_id, attributes, AccountStatus::Enabled)
        })
    }

    fn update(_call: Call, _write: Write, id: String, update: AccountUpdate) -> Result<Account, CallError> {
        Ok(account(id, update.desired, AccountStatus::Enabled))
    }

    fn disable(_call: Call, _write: Write, id: String) -> Result<Account, CallError> {
        Ok(account(id, "{}".to_owned(), AccountStatus::Disabled))
    }

    fn enable(_call: Call, _write: Write, id: String) -> Result<Account, CallError> {
        Ok(account(id, "{}".to_owned(), AccountStatus::Enabled))
    }

    fn delete(_call: Call, _write: Write, _id: String) -> Result<(), CallError> {
        Ok(())
    }

    fn get(_call: Call, _id: String) -> Result<Option<Account>, CallError> {
        Ok(None)
    }

    fn find(_call: Call, _query: FindQuery) -> Result<Vec<Account>, CallError> {
        Ok(vec![])
    }

    fn list(_call: Call, _cursor: Option<String>, _limit: u32) -> Result<AccountPage, CallError> {
        Ok(AccountPage {
            accounts: vec![],
            next: None,
        })
    }
}

impl entitlements::Guest for Noop {
    fn list(_call: Call, _cursor: Option<String>, _limit: u32) -> Result<EntitlementPage, CallError> {
        Ok(EntitlementPage {
            entitlements: vec![],
            next: None,
        })
    }

    fn members(
        _call: Call,
        _entitlement: String,
        _cursor: Option<String>,
        _limit: u32,
    ) -> Result<HoldingPage, CallError> {
        Ok(HoldingPage {
            holdings: vec![],
            next: None,
        })
    }

    fn held(_call: Call, _account: String) -> Result<Vec<Holding>, CallError> {
        Ok(vec![])
    }

    fn grant(
        _: Call,
        _: Write,
        _account: String,
        _entitlement: String,
        _parameters: Option<String>,
    ) -> Result<(), CallError> {
        Ok(())
    }

    fn revoke(_: Call, _: Write, _account: String, _entitlement: String) -> Result<(), CallError> {
        Ok(())
    }
}
