//! A simulated target: accounts in memory, a journal of every write that took effect, faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::SignedDuration;
use serde_json::{Value, json};
use usher_connectors::Connector;
use usher_lifecycle::account::{AccountState, Entitlements};
use usher_lifecycle::attributes::{Attributes, without_nulls};
use usher_lifecycle::connector::{
    AccountRecord, AttributeChange, CallError, Capabilities, CheckReport, Creation, Descriptor, Effect,
    Entitlement, ErrorKind, Find, Holding, Page, WriteContext,
};

use super::clock::SimClock;
use super::faults::{Fault, Faults};
use super::world::lock;
use crate::ports::{Clock, ResolvedTarget};

/// An account in a simulated target.
#[derive(Clone, Debug, PartialEq)]
pub struct SimAccount {
    /// Its attributes.
    pub attributes: Attributes,
    /// Whether it can be used.
    pub enabled: bool,
    /// What it holds.
    pub entitlements: Entitlements,
    /// The intent id it was created under, where the target keeps it.
    pub marker: Option<String>,
    version: u32,
}

/// A write that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimCall {
    /// `create`, `update` …
    pub verb: &'static str,
    /// On which account.
    pub id: String,
    /// Under which intent.
    pub intent: String,
}

/// How often a target is called.
#[derive(Debug, Default)]
struct Rate {
    /// Calls it answers in a second, if there is a limit; those beyond are refused.
    per_second: Option<u32>,
    second: i64,
    answered: u32,
    calls: u64,
    at_once: u32,
    most_at_once: u32,
    /// Each write answers after so many milliseconds.
    delay_ms: Option<u32>,
}

/// How its accounts are listed.
#[derive(Debug, Default)]
struct Listed {
    /// So many in a page; all in one when not said.
    page_items: Option<usize>,
    /// Not in the list, though they are there.
    hidden: std::collections::BTreeSet<String>,
}

/// A simulated target. Accounts are unique by `username`.
pub struct SimTarget {
    clock: Arc<SimClock>,
    creation: Creation,
    capabilities: Capabilities,
    /// Stores `mail` in lower case, whatever is written.
    normalizes: bool,
    accounts: Mutex<BTreeMap<String, SimAccount>>,
    journal: Mutex<Vec<SimCall>>,
    listing: Mutex<Listed>,
    rate: Mutex<Rate>,
    /// What goes wrong.
    pub faults: Faults,
}

/// Everything a target can do.
const ALL: Capabilities = Capabilities {
    disable: true,
    delete: true,
    entitlements: true,
};

/// A call that is under way.
struct UnderWay<'a>(&'a SimTarget);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(&self.0.rate).at_once -= 1;
    }
}

impl SimTarget {
    /// A target that can do everything and recognises creations like this.
    pub fn new(clock: &Arc<SimClock>, creation: Creation) -> Arc<Self> {
        Arc::new(Self::with(clock, creation, ALL, false))
    }

    /// A target that stores `mail` otherwise than it was written.
    pub fn normalizing(clock: &Arc<SimClock>, creation: Creation) -> Arc<Self> {
        Arc::new(Self::with(clock, creation, ALL, true))
    }

    fn with(clock: &Arc<SimClock>, creation: Creation, capabilities: Capabilities, normalizes: bool) -> Self {
        Self {
            clock: Arc::clone(clock),
            creation,
            capabilities,
            normalizes,
            accounts: Mutex::default(),
            journal: Mutex::default(),
            listing: Mutex::default(),
            rate: Mutex::default(),
            faults: Faults::default(),
        }
    }

    /// All accounts by id.
    pub fn accounts(&self) -> BTreeMap<String, SimAccount> {
        lock(&self.accounts).clone()
    }

    /// From now on it answers so many calls in a second; those beyond are refused without a word about when to come again.
    pub fn limit_rate(&self, calls_per_second: u32) {
        lock(&self.rate).per_second = Some(calls_per_second);
    }

    /// How often it was called, refused calls included.
    pub fn calls(&self) -> u64 {
        lock(&self.rate).calls
    }

    /// From now on each write answers after so many milliseconds.
    pub fn delay_answers(&self, ms: u32) {
        lock(&self.rate).delay_ms = Some(ms);
    }

    /// The most calls that were under way at once.
    pub fn most_at_once(&self) -> u32 {
        lock(&self.rate).most_at_once
    }

    fn under_way(&self) -> UnderWay<'_> {
        let mut rate = lock(&self.rate);
        rate.at_once += 1;
        rate.most_at_once = rate.most_at_once.max(rate.at_once);
        UnderWay(self)
    }

    fn called(&self) -> Result<(), CallError> {
        let second = self.clock.now().as_second();
        let mut rate = lock(&self.rate);
        rate.calls += 1;
        if rate.second != second {
            (rate.second, rate.answered) = (second, 0);
        }
        if rate.per_second.is_some_and(|most| rate.answered >= most) {
            return Err(CallError::harmless(ErrorKind::RateLimited, "too many calls"));
        }
        rate.answered += 1;
        Ok(())
    }

    /// Every write that took effect, in order.
    pub fn journal(&self) -> Vec<SimCall> {
        lock(&self.journal).clone()
    }

    /// An account that was there before us, under its username.
    pub fn put(&self, attributes: Attributes) {
        let id = username(&attributes);
        let account = SimAccount {
            attributes,
            enabled: true,
            entitlements: Entitlements::new(),
            marker: None,
            version: 1,
        };
        lock(&self.accounts).insert(id, account);
    }

    /// Somebody takes an account away behind our back.
    pub fn remove(&self, id: &str) {
        lock(&self.accounts).remove(id);
    }

    /// Somebody changes an account behind our back.
    pub fn edit(&self, id: &str, change: impl FnOnce(&mut SimAccount)) {
        if let Some(account) = lock(&self.accounts).get_mut(id) {
            change(account);
            account.version += 1;
        }
    }

    /// From now on it lists so many accounts in a page.
    pub fn list_in_pages(&self, items: usize) {
        lock(&self.listing).page_items = Some(items.max(1));
    }

    /// From now on it leaves an account out of its list.
    pub fn hide(&self, id: &str) {
        lock(&self.listing).hidden.insert(id.to_owned());
    }

    /// What activating a targets document works out.
    pub(super) fn resolved(&self) -> ResolvedTarget {
        ResolvedTarget {
            digest: "0".repeat(64),
            descriptor: Descriptor {
                name: "sim".to_owned(),
                version: "1.0.0".to_owned(),
                docs_url: None,
                settings_schema: json!({}),
                capabilities: self.capabilities,
                creation: self.creation.clone(),
            },
            account_schema: json!({ "type": "object", "properties": {
                "username": { "type": "string" },
                "mail": { "type": "string" },
                "name": { "type": "string" },
                "projects": { "type": "array" },
                "pin": { "type": "string", "x-usher-secret": true },
            }, "required": ["username"] }),
        }
    }

    /// Does a write with whatever goes wrong with it.
    async fn write<T: Send>(
        &self,
        deed: impl FnOnce() -> Result<T, CallError> + Send,
    ) -> Result<T, CallError> {
        let _under_way = self.under_way();
        let busy = self.clock.busy();
        // Others get their turn, as they would while a request is on its way.
        tokio::task::yield_now().await;
        self.called()?;
        let delay_ms = lock(&self.rate).delay_ms;
        match self.faults.of_write().or(delay_ms.map(Fault::SlowAnswer)) {
            None => deed(),
            Some(Fault::Error(error)) => Err(error),
            Some(Fault::LostCall) => Err(unknown("the call was lost")),
            Some(Fault::LostAnswer) => {
                // An error of the deed is an answer too, and just as lost.
                let _ = deed();
                Err(unknown("the answer was lost"))
            }
            Some(Fault::Slow(ms)) => {
                drop(busy);
                self.sleep(ms).await;
                deed()
            }
            Some(Fault::SlowAnswer(ms)) => {
                drop(busy);
                let answer = deed();
                self.sleep(ms).await;
                answer
            }
        }
    }

    async fn sleep(&self, ms: u32) {
        let now = self.clock.now();
        let until = now.saturating_add(SignedDuration::from_millis(i64::from(ms)));
        self.clock.sleep_until(until.unwrap_or(now)).await;
    }

    async fn read<T>(&self, deed: impl FnOnce() -> T + Send) -> Result<T, CallError> {
        let _under_way = self.under_way();
        let _busy = self.clock.busy();
        tokio::task::yield_now().await;
        self.called()?;
        match self.faults.of_read() {
            None => Ok(deed()),
            Some(error) => Err(error),
        }
    }

    fn change(
        &self,
        verb: &'static str,
        id: &str,
        write: &WriteContext,
        change: impl FnOnce(&mut SimAccount),
    ) -> Result<AccountRecord, CallError> {
        let mut accounts = lock(&self.accounts);
        let Some(account) = accounts.get_mut(id) else {
            return Err(CallError::harmless(
                ErrorKind::NotFound,
                format!("no account {id}"),
            ));
        };
        change(account);
        if self.normalizes
            && let Some(Value::String(mail)) = account.attributes.get_mut("mail")
        {
            *mail = mail.to_lowercase();
        }
        account.version += 1;
        let record = record(id, account);
        lock(&self.journal).push(SimCall {
            verb,
            id: id.to_owned(),
            intent: write.intent_id.clone(),
        });
        Ok(record)
    }

    fn create_now(&self, write: &WriteContext, attributes: &Attributes) -> Result<AccountRecord, CallError> {
        let id = username(attributes);
        if lock(&self.accounts).contains_key(&id) {
            let mut error = CallError::harmless(ErrorKind::Conflict, format!("there is an account {id}"));
            error.existing_id = Some(id);
            return Err(error);
        }
        let marker = (self.creation == Creation::Marker).then(|| write.intent_id.clone());
        let attributes = without_nulls(attributes.clone());
        let account = SimAccount {
            attributes,
            enabled: true,
            entitlements: Entitlements::new(),
            marker,
            version: 0,
        };
        lock(&self.accounts).insert(id.clone(), account);
        self.change("create", &id, write, |_| {})
    }
}

fn username(attributes: &Attributes) -> String {
    attributes
        .get("username")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn unknown(message: &str) -> CallError {
    CallError {
        kind: ErrorKind::Timeout,
        effect: Effect::Unknown,
        retry_after_ms: None,
        existing_id: None,
        message: message.to_owned(),
    }
}

fn record(id: &str, account: &SimAccount) -> AccountRecord {
    AccountRecord {
        id: id.to_owned(),
        // A secret cannot be read back.
        attributes: account
            .attributes
            .clone()
            .into_iter()
            .filter(|(name, _)| name != "pin")
            .collect(),
        state: if account.enabled {
            AccountState::Enabled
        } else {
            AccountState::Disabled
        },
        version: Some(account.version.to_string()),
        marker: account.marker.clone(),
    }
}

fn apply(attributes: &mut Attributes, change: &AttributeChange) {
    match change {
        AttributeChange::Replace { name, value } if value.is_null() => drop(attributes.remove(name)),
        AttributeChange::Replace { name, value } => drop(attributes.insert(name.clone(), value.clone())),
        AttributeChange::Members { name, add, remove } => {
            let mut members = match attributes.remove(name) {
                Some(Value::Array(members)) => members,
                _ => Vec::new(),
            };
            members.retain(|member| !remove.contains(member));
            members.extend(
                add.iter()
                    .filter(|member| !members.contains(member))
                    .cloned()
                    .collect::<Vec<_>>(),
            );
            attributes.insert(name.clone(), Value::Array(members));
        }
    }
}

#[async_trait]
impl Connector for SimTarget {
    async fn check(&self) -> Result<CheckReport, CallError> {
        Ok(CheckReport {
            steps: Vec::new(),
            permissions: Vec::new(),
        })
    }

    async fn create(
        &self,
        write: &WriteContext,
        attributes: &Attributes,
    ) -> Result<AccountRecord, CallError> {
        self.write(|| self.create_now(write, attributes)).await
    }

    async fn update(
        &self,
        write: &WriteContext,
        id: &str,
        changes: &[AttributeChange],
        _desired: &Attributes,
        version: Option<&str>,
    ) -> Result<AccountRecord, CallError> {
        self.write(|| {
            let current = lock(&self.accounts)
                .get(id)
                .map(|account| account.version.to_string());
            if let (Some(current), Some(expected)) = (current, version)
                && current != expected
            {
                return Err(CallError::harmless(ErrorKind::VersionConflict, "it has changed"));
            }
            self.change("update", id, write, |account| {
                changes
                    .iter()
                    .for_each(|change| apply(&mut account.attributes, change));
            })
        })
        .await
    }

    async fn disable(&self, write: &WriteContext, id: &str) -> Result<AccountRecord, CallError> {
        self.write(|| self.change("disable", id, write, |account| account.enabled = false))
            .await
    }

    async fn enable(&self, write: &WriteContext, id: &str) -> Result<AccountRecord, CallError> {
        self.write(|| self.change("enable", id, write, |account| account.enabled = true))
            .await
    }

    async fn delete(&self, write: &WriteContext, id: &str) -> Result<(), CallError> {
        self.write(|| {
            if lock(&self.accounts).remove(id).is_some() {
                let intent = write.intent_id.clone();
                lock(&self.journal).push(SimCall {
                    verb: "delete",
                    id: id.to_owned(),
                    intent,
                });
            }
            Ok(())
        })
        .await
    }

    async fn get(&self, id: &str) -> Result<Option<AccountRecord>, CallError> {
        self.read(|| lock(&self.accounts).get(id).map(|account| record(id, account)))
            .await
    }

    async fn find(&self, query: &Find) -> Result<Vec<AccountRecord>, CallError> {
        self.read(|| {
            let accounts = lock(&self.accounts);
            let matches = |account: &SimAccount| match query {
                Find::Marker(marker) => account.marker.as_ref() == Some(marker),
                Find::Unique(wanted) => wanted
                    .iter()
                    .all(|(name, value)| account.attributes.get(name) == Some(value)),
            };
            accounts
                .iter()
                .filter(|(_, account)| matches(account))
                .map(|(id, account)| record(id, account))
                .collect()
        })
        .await
    }

    async fn list(&self, cursor: Option<&str>, _limit: u32) -> Result<Page<AccountRecord>, CallError> {
        self.read(|| {
            let (accounts, listing) = (lock(&self.accounts), lock(&self.listing));
            let mut rest = accounts
                .iter()
                .filter(|(id, _)| cursor.is_none_or(|cursor| id.as_str() > cursor))
                .filter(|(id, _)| !listing.hidden.contains(*id));
            let items: Vec<AccountRecord> = rest
                .by_ref()
                .take(listing.page_items.unwrap_or(usize::MAX))
                .map(|(id, account)| record(id, account))
                .collect();
            let last = items.last().map(|record| record.id.clone());
            Page {
                next: rest.next().and(last),
                items,
            }
        })
        .await
    }

    async fn entitlements(&self, _cursor: Option<&str>, _limit: u32) -> Result<Page<Entitlement>, CallError> {
        self.read(|| {
            let accounts = lock(&self.accounts);
            let ids: std::collections::BTreeSet<&String> = accounts
                .values()
                .flat_map(|account| account.entitlements.keys())
                .collect();
            let items = ids.into_iter().map(|id| Entitlement {
                id: id.clone(),
                kind: "group".to_owned(),
                name: id.clone(),
            });
            Page {
                items: items.collect(),
                next: None,
            }
        })
        .await
    }

    async fn members(
        &self,
        entitlement: &str,
        _cursor: Option<&str>,
        _limit: u32,
    ) -> Result<Page<Holding>, CallError> {
        self.read(|| {
            let accounts = lock(&self.accounts);
            let held = accounts.iter().filter_map(|(id, account)| {
                let parameters = account.entitlements.get(entitlement)?.clone();
                Some(Holding {
                    account_id: id.clone(),
                    entitlement_id: entitlement.to_owned(),
                    parameters,
                })
            });
            Page {
                items: held.collect(),
                next: None,
            }
        })
        .await
    }

    async fn held(&self, account: &str) -> Result<Vec<Holding>, CallError> {
        self.read(|| {
            let accounts = lock(&self.accounts);
            let held = accounts
                .get(account)
                .map(|account| account.entitlements.clone())
                .unwrap_or_default();
            let holding = |(entitlement_id, parameters)| Holding {
                account_id: account.to_owned(),
                entitlement_id,
                parameters,
            };
            held.into_iter().map(holding).collect()
        })
        .await
    }

    async fn grant(
        &self,
        write: &WriteContext,
        account: &str,
        entitlement: &str,
        parameters: &Value,
    ) -> Result<(), CallError> {
        let give = |account: &mut SimAccount| {
            drop(
                account
                    .entitlements
                    .insert(entitlement.to_owned(), parameters.clone()),
            )
        };
        self.write(|| self.change("grant", account, write, give).map(drop))
            .await
    }

    async fn revoke(&self, write: &WriteContext, account: &str, entitlement: &str) -> Result<(), CallError> {
        let take = |account: &mut SimAccount| drop(account.entitlements.remove(entitlement));
        self.write(|| self.change("revoke", account, write, take).map(drop))
            .await
    }
}
