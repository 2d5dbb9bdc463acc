//! Walks through a list page by page. The cursor is the guest's, so the walk is the host's: it ends.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use usher_lifecycle::connector::{AccountRecord, CallError, Entitlement, ErrorKind, Holding, Page};

use crate::port::Connector;

/// Items asked for in one page: what the contract's answers are sized for.
const PAGE_ITEMS: u32 = 500;
/// Most pages of one listing. With full pages ten million items; a guest that answers with small ones must end too.
const PAGES_MAX: usize = 20_000;
/// Most items of one listing: ten times the accounts of the largest target known.
const ITEMS_MAX: usize = 5_000_000;
/// Empty pages in a row that are believed: filters on the target's side leave some.
const EMPTY_PAGES_MAX: usize = 50;

/// Something that has an id of its own in a list.
pub trait Listed {
    /// What tells it from the others in its list.
    fn id(&self) -> &str;
}

impl Listed for AccountRecord {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Listed for Entitlement {
    fn id(&self) -> &str {
        &self.id
    }
}

/// In the list of an entitlement's members.
impl Listed for Holding {
    fn id(&self) -> &str {
        &self.account_id
    }
}

/// One walk through a list.
#[derive(Debug, Default)]
pub struct Listing {
    /// Where the next page begins.
    cursor: Option<String>,
    ended: bool,
    pages: usize,
    items: usize,
    empty_in_a_row: usize,
    duplicates: usize,
    /// Hashes, not texts: a million ids of a kilobyte each would be the guest's to fill. The keys are random, so that a guest
    /// cannot choose ids that collide.
    hasher: RandomState,
    cursors_seen: HashSet<u64>,
    ids_seen: HashSet<u64>,
}

impl Listing {
    /// At the first page.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next page of accounts; `None` at the end.
    pub async fn accounts(
        &mut self,
        connector: &dyn Connector,
    ) -> Result<Option<Vec<AccountRecord>>, CallError> {
        if self.ended {
            return Ok(None);
        }
        let page = connector.list(self.cursor.as_deref(), PAGE_ITEMS).await?;
        self.take(page).map(Some)
    }

    /// The next page of entitlements; `None` at the end.
    pub async fn entitlements(
        &mut self,
        connector: &dyn Connector,
    ) -> Result<Option<Vec<Entitlement>>, CallError> {
        if self.ended {
            return Ok(None);
        }
        let page = connector.entitlements(self.cursor.as_deref(), PAGE_ITEMS).await?;
        self.take(page).map(Some)
    }

    /// The next page of who holds one entitlement; `None` at the end.
    pub async fn members(
        &mut self,
        connector: &dyn Connector,
        entitlement: &str,
    ) -> Result<Option<Vec<Holding>>, CallError> {
        if self.ended {
            return Ok(None);
        }
        let cursor = self.cursor.as_deref();
        let page = connector.members(entitlement, cursor, PAGE_ITEMS).await?;
        self.take(page).map(Some)
    }

    /// How many items came again. Of those in one page the last one is kept; one that comes again in a later page is to replace the
    /// earlier one.
    pub fn duplicates(&self) -> usize {
        self.duplicates
    }

    /// Takes a page in: what is new or newer of it.
    fn take<T: Listed>(&mut self, page: Page<T>) -> Result<Vec<T>, CallError> {
        self.pages += 1;
        self.items = self.items.saturating_add(page.items.len());
        self.empty_in_a_row = match page.items.is_empty() {
            true => self.empty_in_a_row + 1,
            false => 0,
        };
        let limits = [
            (
                self.pages > PAGES_MAX,
                format!("{PAGES_MAX} pages in one listing"),
            ),
            (
                self.items > ITEMS_MAX,
                format!("{ITEMS_MAX} items in one listing"),
            ),
            (
                self.empty_in_a_row > EMPTY_PAGES_MAX,
                format!("{EMPTY_PAGES_MAX} empty pages in a row"),
            ),
        ];
        if let Some((_, limit)) = limits.into_iter().find(|(reached, _)| *reached) {
            let message = format!("the listing was stopped at {limit}");
            return Err(CallError::harmless(ErrorKind::LimitExceeded(limit), message));
        }
        match page.next {
            None => self.ended = true,
            Some(cursor) => {
                if !self.cursors_seen.insert(self.hasher.hash_one(&cursor)) {
                    return Err(CallError::harmless(
                        ErrorKind::Crashed,
                        format!(
                            "the connector answered with a cursor it had answered before, on page {}",
                            self.pages
                        ),
                    ));
                }
                self.cursor = Some(cursor);
            }
        }
        Ok(self.once(page.items))
    }

    /// Each id once: the last.
    fn once<T: Listed>(&mut self, items: Vec<T>) -> Vec<T> {
        let last: HashMap<&str, usize> = items
            .iter()
            .enumerate()
            .map(|(turn, item)| (item.id(), turn))
            .collect();
        let keep: Vec<bool> = items
            .iter()
            .enumerate()
            .map(|(turn, item)| last.get(item.id()) == Some(&turn))
            .collect();
        for item in &items {
            if !self.ids_seen.insert(self.hasher.hash_one(item.id())) {
                self.duplicates += 1;
            }
        }
        let kept = items.into_iter().zip(keep).filter(|(_, keep)| *keep);
        kept.map(|(item, _)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn page(accounts: &[(&str, i32)], next: Option<&str>) -> Page<Holding> {
        let items = accounts.iter().map(|(account, turn)| Holding {
            account_id: (*account).to_owned(),
            entitlement_id: "staff".to_owned(),
            parameters: Value::from(*turn),
        });
        Page {
            items: items.collect(),
            next: next.map(str::to_owned),
        }
    }

    fn turns(kept: &[Holding]) -> Vec<i64> {
        kept.iter().filter_map(|one| one.parameters.as_i64()).collect()
    }

    #[test]
    fn duplicates_are_kept_once_and_counted() {
        let mut listing = Listing::new();
        let kept = listing.take(page(&[("a", 0), ("b", 1), ("a", 2)], Some("1")));
        assert_eq!((turns(&kept.unwrap()), listing.duplicates()), (vec![1, 2], 1));
        let kept = listing.take(page(&[("b", 3), ("c", 4)], None));
        assert_eq!((turns(&kept.unwrap()), listing.duplicates()), (vec![3, 4], 2));
        assert!(listing.ended);
    }

    #[test]
    fn a_cursor_comes_once() {
        let mut listing = Listing::new();
        listing.take(page(&[("a", 0)], Some("1"))).unwrap();
        listing.take(page(&[("b", 0)], Some("2"))).unwrap();
        let error = listing.take(page(&[("c", 0)], Some("1"))).unwrap_err();
        assert!(
            error
                .message
                .contains("a cursor it had answered before, on page 3")
        );
    }

    #[test]
    fn a_listing_ends() {
        let mut listing = Listing::new();
        let error = (0..).find_map(|n| listing.take(page(&[], Some(&n.to_string()))).err());
        assert!(error.unwrap().message.contains("50 empty pages in a row"));
        let mut listing = Listing::new();
        let error = (0..).find_map(|n| listing.take(page(&[("a", 0)], Some(&n.to_string()))).err());
        assert!(error.unwrap().message.contains("20000 pages"));
    }
}
