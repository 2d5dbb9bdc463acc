//! What is empty, against what erasures say they emptied.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::super::audit_rows::ERASED;
use super::super::cells::Cells;
use crate::StoreError;

/// What was erased, against what is said to be erased.
#[derive(Default)]
pub(super) struct Erasures {
    /// Rows of before there were keys that are empty now.
    emptied: HashSet<(i64, i64)>,
    /// Identities without a key.
    destroyed: HashMap<i64, i64>,
    /// Rows that an erasure says it emptied.
    said_emptied: HashSet<(i64, i64)>,
    /// Identities that an erasure is about.
    said_erased: HashSet<i64>,
}

/// What the audit row of an erasure says.
#[derive(Deserialize)]
struct Erasure {
    emptied: Vec<(i64, i64)>,
}

impl Erasures {
    pub(super) fn note(&mut self, cells: &Cells<'_>, place: (i64, i64)) -> Result<(), StoreError> {
        if cells.get::<Option<&[u8]>>("audit.sealed")? == Some(&[]) {
            self.emptied.insert(place);
        }
        let Some(identity) = cells.get::<Option<i64>>("audit.identity")? else {
            return Ok(());
        };
        if cells.get::<Option<i64>>("identity.audit_key")? == Some(0) {
            self.destroyed.entry(identity).or_insert(cells.get("audit.seq")?);
        }
        if cells.get::<&str>("audit.event")? == ERASED {
            let said: Erasure = cells.json("audit.payload")?;
            self.said_emptied.extend(said.emptied);
            self.said_erased.insert(identity);
        }
        Ok(())
    }

    /// Nothing is empty and no key is missing but by an erasure. Returns how many rows were emptied.
    pub(super) fn finish(self) -> Result<u64, StoreError> {
        let unsaid = self
            .destroyed
            .iter()
            .find(|(identity, _)| !self.said_erased.contains(identity));
        if let Some((identity, _)) = unsaid {
            return Err(StoreError::Corrupt {
                table: "identity",
                column: "audit_key",
                row: *identity,
                reason: "its key is destroyed, but it was never erased".to_owned(),
            });
        }
        match self.emptied.difference(&self.said_emptied).next() {
            Some((writer, n)) => Err(StoreError::Corrupt {
                table: "audit",
                column: "sealed",
                row: *n,
                reason: format!("row {n} of writer {writer} is empty, and no erasure says so"),
            }),
            None => Ok(self.emptied.len() as u64),
        }
    }
}
