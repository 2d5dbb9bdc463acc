//! Why something was set about a person: sealed under their key, opened for planning and for people.

use std::sync::Arc;

use uuid::Uuid;

use super::audit_rows::damaged_key;
use super::cells::Cells;
use super::db::Tx;
use super::keys::ring_with;
use super::write::{Subject, Write};
use crate::StoreError;
use crate::keys::aead::Aead;
use crate::keys::ring::{Keys, NotOpened, Ring, cipher, sealing};

/// What planning goes on with in place of a reason that does not open.
const UNREADABLE: &str = "(cannot be read)";

/// Which of the words about one fact.
#[derive(Clone, Copy)]
pub(super) enum Which {
    /// Why it was set.
    Added,
    /// Why it was ended.
    Ended,
}

impl Which {
    const fn column(self) -> &'static str {
        match self {
            Self::Added => "personal_fact.words",
            Self::Ended => "personal_fact.ended_words",
        }
    }

    /// Words open only for the fact, and as the words, for which they were sealed.
    fn purpose(self, fact: Uuid) -> Vec<u8> {
        let which = match self {
            Self::Added => [0],
            Self::Ended => [1],
        };
        [b"usher personal fact".as_slice(), fact.as_bytes(), &which].concat()
    }
}

impl Write<'_> {
    /// Seals words about an identity. One of before there were keys gets its key with the commit.
    pub(super) async fn seal_words(
        &mut self,
        subject: &Subject,
        fact: Uuid,
        which: Which,
        words: &str,
    ) -> Result<Vec<u8>, StoreError> {
        let keys = Arc::clone(&self.keys);
        let fault = match self.rows.cipher_of(subject) {
            Ok(Some(cipher)) => {
                let (parts, purpose) = ([words.as_bytes()], which.purpose(fact));
                let mut sealed = Vec::new();
                cipher
                    .seal_into(&mut sealed, &parts, &purpose, &*keys.randomness)
                    .map_err(|_| sealing("a reason"))?;
                return Ok(sealed);
            }
            Ok(None) => return Err(StoreError::Stale("who is erased has no facts".to_owned())),
            Err(fault) => fault,
        };
        // It says what is wrong, and takes in a data key that another host made.
        self.rows.fault = Some(fault);
        self.keep_keys().await?;
        Err(sealing("a reason"))
    }
}

/// Opens words; those about one identity mostly follow each other.
pub(super) struct Words<'k> {
    keys: &'k Keys,
    ring: Arc<Ring>,
    last: Option<(i64, Aead)>,
}

impl<'k> Words<'k> {
    pub(super) fn new(keys: &'k Keys) -> Self {
        Self {
            keys,
            ring: keys.ring(),
            last: None,
        }
    }

    /// The words of a row, from columns named `personal_fact.…`, `identity.id`, `identity.public_id` and `identity.audit_key`.
    pub(super) async fn open(
        &mut self,
        tx: &mut Tx<'_>,
        cells: &Cells<'_>,
        which: Which,
    ) -> Result<String, StoreError> {
        let number: i64 = cells.get("identity.id")?;
        if self.last.as_ref().is_none_or(|(last, _)| *last != number) {
            self.last = Some((number, self.key_of(tx, cells, number).await?));
        }
        let damaged = || cells.corrupt(which.column(), "it does not open under its identity's key");
        let Some((_, cipher)) = &self.last else {
            return Err(damaged());
        };
        let purpose = which.purpose(cells.uuid("personal_fact.public_id")?);
        let plain = cipher
            .open(cells.get(which.column())?, &purpose)
            .map_err(|_| damaged())?;
        let text = std::str::from_utf8(&plain).map_err(|_| damaged())?;
        Ok(text.to_owned())
    }

    /// Why it was set. Damaged words, and those under a damaged key, do not change what was set: only people who read them are told.
    pub(super) async fn open_for_planning(
        &mut self,
        tx: &mut Tx<'_>,
        cells: &Cells<'_>,
    ) -> Result<String, StoreError> {
        match self.open(tx, cells, Which::Added).await {
            Err(StoreError::Corrupt {
                table: "identity" | "personal_fact",
                ..
            }) => Ok(UNREADABLE.to_owned()),
            result => result,
        }
    }

    async fn key_of(&mut self, tx: &mut Tx<'_>, cells: &Cells<'_>, number: i64) -> Result<Aead, StoreError> {
        let key: &[u8] = cells.get("identity.audit_key")?;
        let id = cells.uuid("identity.public_id")?;
        let opened = match self.ring.open_identity(key, id.as_bytes()) {
            Err(NotOpened::Unknown) => {
                // Another host made a data key since. The key begins with its number.
                let data_key = key
                    .first_chunk::<4>()
                    .map_or(0, |first| u32::from_be_bytes(*first));
                self.ring = ring_with(tx, self.keys, i64::from(data_key)).await?;
                self.ring.open_identity(key, id.as_bytes())
            }
            opened => opened,
        };
        let key = opened.map_err(|error| match error {
            NotOpened::Unknown => cells.corrupt(
                "identity.audit_key",
                "it is sealed under a data key that is not there",
            ),
            NotOpened::Damaged => damaged_key(number),
        })?;
        cipher(&key)
    }
}
