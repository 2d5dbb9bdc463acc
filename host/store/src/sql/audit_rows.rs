//! Audit rows as they are written and read: chained by hashes, and sealed where they are about an identity.
//!
//! The hash covers what is stored, so the chain is verified without any key, and still holds when a key is destroyed.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use usher_lifecycle::cause::Cause;
use uuid::Uuid;

use super::cells::{Cells, hex};
use crate::keys::aead::{Aead, Key, OVERHEAD_BYTES};
use crate::keys::ring::{Keys, NotOpened, Ring, SealedKey, cipher, sealing};
use crate::{AuditRow, StoreError};

/// A cause with no links, as JSON text.
pub(crate) const NO_CAUSE: &str = "[]";

/// The event of an erasure. Its row is never sealed: it says what became of the others.
pub(crate) const ERASED: &str = "identity.erased";

/// Takes the rows of [`NewRows`], their bytes, and the writer.
pub(super) const INSERT_AUDIT: &str = "
    INSERT INTO audit (writer, n, at_us, actor, event, identity, cause, payload, hash, sealed)
    SELECT $3, CAST(value ->> 0 AS BIGINT), CAST(value ->> 1 AS BIGINT), value ->> 2, value ->> 3,
           CAST(value ->> 4 AS BIGINT), value ->> 5, value ->> 6, substr($2, CAST(value ->> 7 AS INTEGER), 32),
           substr($2, CAST(value ->> 7 AS INTEGER) + 32, CAST(value ->> 8 AS INTEGER))
    FROM json_each($1) ORDER BY key";

/// Takes the keys that [`NewRows`] made.
pub(super) const KEEP_KEYS: &str = "
    UPDATE identity SET audit_key = j.sealed
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, unhex(value ->> 1) AS sealed FROM json_each($1)) AS j
    WHERE identity.id = j.id AND identity.audit_key IS NULL";

/// The identity an audit row is about.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) number: i64,
    pub(crate) id: Uuid,
    pub(crate) key: SubjectKey,
}

/// The key of what the audit says of an identity.
#[derive(Clone, Copy)]
pub(crate) enum SubjectKey {
    /// It was there before there were keys: one is made with its next row.
    NotMade,
    /// Sealed under a data key.
    Sealed(SealedKey),
    /// The identity is erased.
    Destroyed,
}

/// One audit row to write.
pub(crate) struct Entry<'a> {
    pub(crate) event: &'static str,
    pub(crate) subject: Option<Subject>,
    /// A cause as JSON text.
    pub(crate) cause: &'a str,
    pub(crate) payload: Value,
}

/// The end of an audit chain.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) n: i64,
    pub(crate) hash: [u8; 32],
}

/// A row as its statement takes it: one array of the JSON parameter. Its hash, and after it what is sealed, stand in the parameter of bytes: from
/// the place and for the length given last.
#[derive(Serialize)]
pub(super) struct NewRow(
    i64,
    i64,
    String,
    &'static str,
    Option<i64>,
    String,
    String,
    usize,
    Option<usize>,
);

/// The audit rows of one transaction.
pub(super) struct NewRows {
    pub(super) rows: Vec<NewRow>,
    /// Hashes and sealed texts of the rows, one after the other: written in hexadecimal they would be parsed as text twice.
    pub(super) bytes: Vec<u8>,
    pub(super) head: Head,
    /// Identities whose key was made here, with the sealed key in hexadecimal.
    pub(super) made: Vec<(i64, String)>,
    /// Why the rows cannot be written: told at the commit.
    pub(super) fault: Option<Fault>,
    writer: i64,
    keys: Arc<Keys>,
    pub(super) ring: Arc<Ring>,
    /// The identity of the last row, its key ready: rows about one identity mostly follow each other.
    last: Option<(i64, Aead)>,
}

/// Why rows cannot be written.
pub(super) enum Fault {
    /// Another host made a data key that is not in memory.
    UnknownKey,
    Failed(StoreError),
}

/// Who writes a row, and when.
pub(super) struct Stamp<'a> {
    pub(super) actor: &'a str,
    pub(super) at_us: i64,
}

impl NewRows {
    pub(super) fn new(writer: i64, head: Head, keys: &Arc<Keys>) -> Self {
        Self {
            rows: Vec::new(),
            bytes: Vec::new(),
            head,
            made: Vec::new(),
            fault: None,
            writer,
            keys: Arc::clone(keys),
            ring: keys.ring(),
            last: None,
        }
    }

    /// A subject that is made in this transaction, with a key of its own.
    pub(super) fn new_subject(&mut self, number: i64, id: Uuid) -> Result<(Subject, SealedKey), StoreError> {
        let key = self.keys.fresh();
        let sealed = self
            .ring
            .seal_identity(&key, id.as_bytes(), &*self.keys.randomness)?;
        self.last = Some((number, cipher(&key)?));
        let key = SubjectKey::Sealed(sealed);
        Ok((Subject { number, id, key }, sealed))
    }

    pub(super) fn add(&mut self, entry: &Entry<'_>, stamp: &Stamp<'_>) {
        let payload = entry.payload.to_string();
        let n = self.head.n + 1;
        let sealed = match entry.subject {
            None => None,
            Some(subject) => self
                .seal(&subject, n, entry.cause, &payload)
                .unwrap_or_else(|fault| {
                    self.fault.get_or_insert(fault);
                    None
                }),
        };
        let (cause, payload) = match &sealed {
            Some(_) => (String::new(), String::new()),
            None => (entry.cause.to_owned(), payload),
        };
        let hash = row_hash(
            &self.head.hash,
            &Hashed {
                seq: None,
                writer: self.writer,
                n,
                at_us: stamp.at_us,
                actor: stamp.actor,
                event: entry.event,
                identity: entry.subject.map(|subject| subject.id),
                cause: &cause,
                payload: &payload,
                sealed: sealed.as_deref(),
            },
        );
        self.head = Head { n, hash };
        // Both databases count from 1.
        let from = self.bytes.len() + 1;
        self.bytes.extend_from_slice(&hash);
        self.bytes
            .extend_from_slice(sealed.as_deref().unwrap_or_default());
        self.rows.push(NewRow(
            n,
            stamp.at_us,
            stamp.actor.to_owned(),
            entry.event,
            entry.subject.map(|subject| subject.number),
            cause,
            payload,
            from,
            sealed.map(|sealed| sealed.len()),
        ));
    }

    /// `None` for a row that is not sealed: what is said of an erased identity is no personal data any more.
    fn seal(
        &mut self,
        subject: &Subject,
        n: i64,
        cause: &str,
        payload: &str,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let (writer, keys) = (self.writer, Arc::clone(&self.keys));
        let Some(cipher) = self.cipher_of(subject)? else {
            return Ok(None);
        };
        let length = u32::try_from(cause.len()).map_err(|_| Fault::Failed(sealing("a cause")))?;
        let parts = [&length.to_be_bytes(), cause.as_bytes(), payload.as_bytes()];
        let mut sealed = Vec::with_capacity(4 + cause.len() + payload.len() + OVERHEAD_BYTES);
        cipher
            .seal_into(&mut sealed, &parts, &row_purpose(writer, n), &*keys.randomness)
            .map_err(|_| Fault::Failed(sealing("an audit row")))?;
        Ok(Some(sealed))
    }

    /// What seals the words about an identity; `None` when it is erased.
    pub(super) fn cipher_of(&mut self, subject: &Subject) -> Result<Option<&Aead>, Fault> {
        if self.last.as_ref().is_none_or(|last| last.0 != subject.number) {
            let key = match &subject.key {
                SubjectKey::Sealed(sealed) => self.opened(subject, sealed)?,
                SubjectKey::NotMade => self.made_for(subject)?,
                SubjectKey::Destroyed => return Ok(None),
            };
            self.last = Some((subject.number, cipher(&key).map_err(Fault::Failed)?));
        }
        Ok(self.last.as_ref().map(|(_, cipher)| cipher))
    }

    fn opened(&self, subject: &Subject, sealed: &SealedKey) -> Result<Key, Fault> {
        self.ring
            .open_identity(sealed, subject.id.as_bytes())
            .map_err(|error| match error {
                NotOpened::Unknown => Fault::UnknownKey,
                NotOpened::Damaged => Fault::Failed(damaged_key(subject.number)),
            })
    }

    /// A key for an identity that has none yet; the same one for all its rows of this transaction would need it to be looked up, so each of
    /// its rows must follow the other or find the key made before.
    fn made_for(&mut self, subject: &Subject) -> Result<Key, Fault> {
        let before = self.made.iter().find(|(number, _)| *number == subject.number);
        if let Some((_, sealed)) = before {
            let sealed = crate::keys::signing::unhex(sealed).unwrap_or_default();
            return self
                .ring
                .open_identity(&sealed, subject.id.as_bytes())
                .map_err(|_| Fault::Failed(damaged_key(subject.number)));
        }
        let key = self.keys.fresh();
        let sealed = self
            .ring
            .seal_identity(&key, subject.id.as_bytes(), &*self.keys.randomness)
            .map_err(Fault::Failed)?;
        self.made.push((subject.number, hex(&sealed)));
        Ok(key)
    }
}

pub(super) fn damaged_key(identity: i64) -> StoreError {
    StoreError::Corrupt {
        table: "identity",
        column: "audit_key",
        row: identity,
        reason: "it does not open under the data key it names".to_owned(),
    }
}

/// Reads rows: opens what is sealed.
pub(super) struct Opener {
    ring: Arc<Ring>,
    last: Option<(i64, Aead)>,
}

/// Why a row was not read.
pub(super) enum NotRead {
    /// Look for new data keys, then try again.
    UnknownKey,
    Failed(StoreError),
}

impl From<StoreError> for NotRead {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Opener {
    pub(super) fn new(ring: Arc<Ring>) -> Self {
        Self { ring, last: None }
    }

    /// A row from columns named `audit.…`, with `identity.public_id` and `identity.audit_key`.
    pub(super) fn row(&mut self, cells: &Cells<'_>) -> Result<AuditRow, NotRead> {
        let (cause, payload) = self.content(cells)?;
        Ok(AuditRow {
            seq: cells.get("audit.seq")?,
            at: cells.time("audit.at_us")?,
            actor: cells.json("audit.actor")?,
            event: cells.get("audit.event")?,
            cause,
            payload,
        })
    }

    /// Cause and payload.
    pub(super) fn content(&mut self, cells: &Cells<'_>) -> Result<(Cause, Value), NotRead> {
        let Some(sealed) = cells.get::<Option<&[u8]>>("audit.sealed")? else {
            return Ok((cells.json("audit.cause")?, cells.json("audit.payload")?));
        };
        let key: Option<&[u8]> = cells.get("identity.audit_key")?;
        // A row of before there were keys that was emptied, or a key that was destroyed.
        if sealed.is_empty() || key == Some(&[]) {
            return Ok((
                serde_json::from_str(NO_CAUSE).unwrap_or_default(),
                json!({ "erased": true }),
            ));
        }
        let number: i64 = cells.get("audit.identity")?;
        if self.last.as_ref().is_none_or(|(last, _)| *last != number) {
            let key = key.ok_or_else(|| cells.corrupt("identity.audit_key", "there is none"))?;
            let id = cells.uuid("identity.public_id")?;
            let key = self
                .ring
                .open_identity(key, id.as_bytes())
                .map_err(|error| match error {
                    NotOpened::Unknown => NotRead::UnknownKey,
                    NotOpened::Damaged => NotRead::Failed(damaged_key(number)),
                })?;
            self.last = Some((number, cipher(&key)?));
        }
        let damaged = || cells.corrupt("audit.sealed", "it does not open under its identity's key");
        let Some((_, cipher)) = &self.last else {
            return Err(damaged().into());
        };
        let purpose = row_purpose(cells.get("audit.writer")?, cells.get("audit.n")?);
        let plain = cipher.open(sealed, &purpose).map_err(|_| damaged())?;
        let (length, texts) = plain.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| damaged())?;
        let (cause, payload) = texts.split_at_checked(length).ok_or_else(damaged)?;
        let cause = serde_json::from_slice(cause).map_err(|_| damaged())?;
        let payload = serde_json::from_slice(payload).map_err(|_| damaged())?;
        Ok((cause, payload))
    }
}

/// A sealed text opens only in the row it was written for.
fn row_purpose(writer: i64, n: i64) -> [u8; 31] {
    let mut purpose = [0; 31];
    purpose[..15].copy_from_slice(b"usher audit row");
    purpose[15..23].copy_from_slice(&writer.to_be_bytes());
    purpose[23..].copy_from_slice(&n.to_be_bytes());
    purpose
}

/// The content of an audit row that its hash covers.
pub(crate) struct Hashed<'a> {
    /// Only rows of before schema version 3 cover it; it is the database's own since several write at once.
    pub(crate) seq: Option<i64>,
    pub(crate) writer: i64,
    pub(crate) n: i64,
    pub(crate) at_us: i64,
    pub(crate) actor: &'a str,
    pub(crate) event: &'a str,
    pub(crate) identity: Option<Uuid>,
    pub(crate) cause: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) sealed: Option<&'a [u8]>,
}

/// SHA-256 over the hash before it and every field; texts carry their length, so that no two rows read the same.
pub(crate) fn row_hash(previous: &[u8; 32], row: &Hashed<'_>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    for number in row.seq.into_iter().chain([row.writer, row.n, row.at_us]) {
        hasher.update(number.to_be_bytes());
    }
    match row.identity {
        Some(id) => {
            hasher.update([1]);
            hasher.update(id.as_bytes());
        }
        None => hasher.update([0]),
    }
    let texts = [row.actor, row.event, row.cause, row.payload].map(str::as_bytes);
    for text in texts.into_iter().chain(row.sealed) {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    }
    hasher.finalize().into()
}
