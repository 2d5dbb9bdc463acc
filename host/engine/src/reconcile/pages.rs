//! The walk through a target's accounts: what each page changes is staged.

use jiff::Timestamp;
use usher_connectors::{Connector, Listing};
use usher_lifecycle::account::AccountState;
use usher_lifecycle::connector::{AccountRecord, CallError, Entitlement};
use usher_lifecycle::correlation::Matcher;
use usher_lifecycle::drift::learned;
use usher_lifecycle::situation::{Owner, Presence, Ruled, Situation, situation};
use usher_store::{
    AccountChange, AccountRef, Known, KnownKind, KnownOwner, Matched, ReconcileRef, Sighting, StagedAccount,
};

use super::Subject;
use super::guard::{Refusal, refusal};
use super::patience::wait_ms;
use super::people::People;
use super::report::ReconcileReport;
use super::seen::Seen;
use crate::engine::Ports;
use crate::error::EngineError;
use crate::ports::Point;
use crate::progress::{Phase, Progress};
use crate::run::later;

/// A walk through the accounts of one target.
pub(super) struct Walk<'a> {
    pub(super) ports: &'a Ports,
    pub(super) subject: &'a Subject,
    pub(super) connector: &'a dyn Connector,
    pub(super) matcher: &'a Matcher<'a>,
    pub(super) people: &'a People,
    pub(super) number: ReconcileRef,
    pub(super) began_at: Timestamp,
    /// Linked accounts that are there.
    pub(super) seen: Seen,
    /// Those found before.
    pub(super) seen_found: Seen,
    /// Of both those that were counted before the walk began.
    pub(super) still: (Seen, Seen),
    pub(super) report: &'a mut ReconcileReport,
    pub(super) progress: &'a dyn Progress,
}

impl Walk<'_> {
    /// Lists and stages everything.
    pub(super) async fn list(&mut self) -> Result<(), EngineError> {
        if self.subject.facts.capabilities.entitlements {
            self.list_holdings().await?;
        }
        let mut listing = Listing::new();
        let mut duplicates = 0;
        let mut tries = 0;
        loop {
            let page = match listing.accounts(self.connector).await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(error) => {
                    self.wait(&error, &mut tries).await?;
                    continue;
                }
            };
            tries = 0;
            self.report.listed += page.len() as u64;
            let again = listing.duplicates() > duplicates;
            duplicates = listing.duplicates();
            self.take(page, again).await?;
            self.ports.probes.reached(Point::PageStaged);
            self.progress.at(Phase::Listing, self.report.listed, 0);
        }
        self.report.duplicates = duplicates as u64;
        // One that was listed twice is one account.
        self.report.listed = self.report.listed.saturating_sub(self.report.duplicates);
        Ok(())
    }

    /// Who holds what: by entitlement, which is a few lists, not by account, which would be as many calls as there are accounts.
    async fn list_holdings(&mut self) -> Result<(), EngineError> {
        let mut listing = Listing::new();
        let mut tries = 0;
        loop {
            match listing.entitlements(self.connector).await {
                Ok(Some(page)) => {
                    tries = 0;
                    for entitlement in page {
                        self.list_members(&entitlement).await?;
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) => self.wait(&error, &mut tries).await?,
            }
        }
    }

    async fn list_members(&mut self, entitlement: &Entitlement) -> Result<(), EngineError> {
        if entitlement.id.contains('\0') {
            self.report
                .problem("an entitlement has a NUL character in its id: left out".to_owned());
            return Ok(());
        }
        let mut listing = Listing::new();
        let mut tries = 0;
        loop {
            match listing.members(self.connector, &entitlement.id).await {
                Ok(Some(page)) => {
                    tries = 0;
                    let holdings: Vec<_> = page
                        .into_iter()
                        .filter(|holding| !holding.account_id.contains('\0'))
                        .map(|holding| (holding.account_id, entitlement.id.clone(), holding.parameters))
                        .collect();
                    self.ports.store.stage_holdings(self.number, &holdings).await?;
                }
                Ok(None) => return Ok(()),
                Err(error) => self.wait(&error, &mut tries).await?,
            }
        }
    }

    /// Waits before the same page is asked for again; the error when that is of no use.
    async fn wait(&self, error: &CallError, tries: &mut u32) -> Result<(), EngineError> {
        *tries += 1;
        let ms = wait_ms(error, *tries).ok_or_else(|| self.subject.failed(error))?;
        let clock = &self.ports.clock;
        clock.sleep_until(later(clock.now(), ms)).await;
        Ok(())
    }

    /// Takes in accounts. `again`: some of them were listed before.
    pub(super) async fn take(&mut self, page: Vec<AccountRecord>, again: bool) -> Result<(), EngineError> {
        let (records, sightings) = self.sightings(page).await?;
        let store = &self.ports.store;
        let known = store
            .known_accounts(&self.subject.name, &sightings, self.began_at)
            .await?;
        let changed: Vec<AccountRef> = known
            .iter()
            .filter_map(|known| known.owner.as_ref().filter(|owner| !owner.same))
            .map(|owner| owner.account)
            .collect();
        let before = store.accounts_in_full(&changed).await?;
        let ids: Vec<String> = if again {
            sightings.iter().map(|one| one.external_id.clone()).collect()
        } else {
            Vec::new()
        };
        let mut staged = Vec::new();
        for ((sighting, known), record) in sightings.into_iter().zip(known).zip(&records) {
            if let Some(found) = known.found {
                self.seen_found.insert(found.number);
                if found.counted {
                    self.still.1.insert(found.number);
                }
            }
            if let Some(owner) = &known.owner {
                self.seen.insert(owner.account.0);
                if owner.counted {
                    self.still.0.insert(owner.account.0);
                }
                if let Some(before) = before.get(&owner.account).filter(|_| !owner.same) {
                    let held = sighting.entitlements.as_ref();
                    let matters = |name: &str| self.subject.matters.contains(name);
                    let learned = learned(before, record, held, &self.subject.facts.schema, matters);
                    staged.push(StagedAccount {
                        external_id: sighting.external_id.clone(),
                        change: AccountChange::Update {
                            account: owner.account,
                            observed: Box::new(learned.observed),
                            drift: learned.drift,
                            plan_again: learned.plan_again,
                        },
                    });
                }
            }
            staged.extend(found_change(sighting, &known));
        }
        store.stage_accounts(self.number, &ids, &staged).await?;
        Ok(())
    }

    /// Accounts with what they hold and whose they are; those whose id cannot be kept are left out.
    async fn sightings(
        &mut self,
        page: Vec<AccountRecord>,
    ) -> Result<(Vec<AccountRecord>, Vec<Sighting>), EngineError> {
        let mut records = page;
        let many = records.len();
        records.retain(|record| !record.id.is_empty() && !record.id.contains('\0'));
        if records.len() < many {
            self.report
                .problem("an account has an id that is empty or holds a NUL character: left out".to_owned());
        }
        let mut held = if self.subject.facts.capabilities.entitlements {
            let ids: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
            Some(self.ports.store.staged_holdings(self.number, &ids).await?)
        } else {
            None
        };
        let sightings = records.iter().map(|record| Sighting {
            external_id: record.id.clone(),
            state: match record.state {
                // It is in the list.
                AccountState::Absent | AccountState::Unknown => AccountState::Unknown,
                AccountState::Enabled => AccountState::Enabled,
                AccountState::Disabled => AccountState::Disabled,
            },
            attributes: record.attributes.clone(),
            entitlements: held
                .as_mut()
                .map(|held| held.remove(&record.id).unwrap_or_default()),
            version: record.version.clone().filter(|version| !version.contains('\0')),
            matched: self.owner_of(record),
        });
        let sightings = sightings.collect();
        Ok((records, sightings))
    }

    /// Whose an account is by the rules; a protected one is nobody's, so that no rule touches it.
    fn owner_of(&self, record: &AccountRecord) -> Matched {
        let protection = &self.subject.facts.protection;
        match protection.of(&record.id, &record.attributes) {
            Some(_) => Matched::default(),
            None => self.people.owner_of(self.matcher, &record.attributes),
        }
    }

    /// Why the list is not believed, if so.
    pub(super) async fn refusal(&self) -> Result<Option<Refusal>, EngineError> {
        let store = &self.ports.store;
        let name = &self.subject.name;
        let linked = store.known_count(name, KnownKind::Linked, self.began_at).await?;
        let found = store.known_count(name, KnownKind::Found, self.began_at).await?;
        let (still_linked, still_found) = (self.still.0.len(), self.still.1.len());
        let percent = self.subject.target.reconcile.shrink_max_percent;
        // Accounts of strangers do not make up for those of people.
        let of_people = refusal(linked, still_linked, percent);
        Ok(of_people.or_else(|| refusal(linked + found, still_linked + still_found, percent)))
    }
}

/// What is to be kept of an account beside its link.
fn found_change(sighting: Sighting, known: &Known) -> Option<StagedAccount> {
    let ruled = ruled(&sighting.matched, known.owner.as_ref());
    let owner = match known.owner {
        Some(_) => Owner::Somebody,
        None => Owner::Nobody,
    };
    let account = known.owner.as_ref().map(|owner| owner.account);
    let told = match situation(Presence::There, owner, ruled) {
        None | Some(Situation::Linked | Situation::Missing) => false,
        Some(Situation::Unlinked | Situation::Unmatched | Situation::Ambiguous | Situation::Disputed) => true,
    };
    let external_id = sighting.external_id.clone();
    let change = match (told, known.found) {
        (false, None) => return None,
        (false, Some(_)) => AccountChange::Forget,
        (true, Some(found)) if found.same && found.owner == account => return None,
        (true, _) => AccountChange::Found {
            sighting: Box::new(sighting),
            owner: account,
        },
    };
    Some(StagedAccount { external_id, change })
}

/// What the rules say of an account. Whether that identity has another account is seen when all of them are known.
fn ruled(matched: &Matched, owner: Option<&KnownOwner>) -> Ruled {
    match (matched.certain, matched.candidates.as_slice()) {
        (_, []) => Ruled::Nobody,
        (true, [one]) if owner.is_some_and(|owner| owner.identity == one.identity) => Ruled::Owner,
        (true, [_]) => Ruled::Other,
        (true, [_, _, ..]) | (false, _) => Ruled::Several,
    }
}
