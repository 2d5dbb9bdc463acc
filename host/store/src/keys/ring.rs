//! The keys of an opened store, in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use zeroize::Zeroizing;

use super::aead::{Aead, KEY_BYTES, Key, OVERHEAD_BYTES};
use super::{Fingerprint, OperatorKey};
use crate::{Randomness, StoreError};

/// What an identity's key, sealed, takes: the number of its data key, then the key.
pub(crate) const SEALED_KEY_BYTES: usize = 4 + OVERHEAD_BYTES + KEY_BYTES;

/// An identity's key, sealed under a data key.
pub(crate) type SealedKey = [u8; SEALED_KEY_BYTES];

/// The keys of a store: the operator's, and the data keys that it opened. Shared by all who read and write.
pub(crate) struct Keys {
    held: RwLock<Held>,
    pub(crate) randomness: Arc<dyn Randomness>,
}

struct Held {
    operator: OperatorKey,
    ring: Arc<Ring>,
}

/// The data keys at a moment, by number. The newest seals.
#[derive(Default)]
pub(crate) struct Ring {
    data: BTreeMap<i64, Aead>,
}

/// A data key that is not in memory: another host made it since.
#[derive(Debug)]
pub(crate) struct Unknown;

/// Why a sealed key or text does not open.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// The data key is not in memory.
    Unknown,
    /// It was changed, or is somebody else's.
    Damaged,
}

impl Keys {
    pub(crate) fn new(operator: OperatorKey, ring: Ring, randomness: Arc<dyn Randomness>) -> Self {
        let ring = Arc::new(ring);
        Self {
            held: RwLock::new(Held { operator, ring }),
            randomness,
        }
    }

    pub(crate) fn ring(&self) -> Arc<Ring> {
        // Nothing that holds the lock can panic; were it so, what it holds would still be whole.
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner).ring)
    }

    pub(crate) fn operator(&self) -> OperatorKey {
        self.held
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .operator
            .clone()
    }

    pub(crate) fn replace(&self, operator: OperatorKey, ring: Ring) {
        let ring = Arc::new(ring);
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Held { operator, ring };
    }

    /// A new random key.
    pub(crate) fn fresh(&self) -> Key {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        self.randomness.fill(&mut *key);
        key
    }
}

impl Ring {
    pub(crate) fn add(&mut self, number: i64, key: &Key) -> Result<(), StoreError> {
        self.data.insert(number, cipher(key)?);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.data.len()
    }

    /// The number of the key that seals.
    pub(crate) fn newest(&self) -> Result<i64, StoreError> {
        let newest = self.data.last_key_value().map(|(number, _)| *number);
        newest.ok_or_else(|| StoreError::Key("the store has no data key".to_owned()))
    }

    pub(crate) fn get(&self, number: i64) -> Result<&Aead, Unknown> {
        self.data.get(&number).ok_or(Unknown)
    }

    /// Seals an identity's key under the newest data key.
    pub(crate) fn seal_identity(
        &self,
        key: &Key,
        identity: &[u8; 16],
        randomness: &dyn Randomness,
    ) -> Result<SealedKey, StoreError> {
        let number = self.newest()?;
        let short = u32::try_from(number).map_err(|_| sealing("too many data keys"))?;
        let data = self.get(number).map_err(|Unknown| sealing("no data key"))?;
        let mut sealed = Vec::with_capacity(SEALED_KEY_BYTES);
        sealed.extend_from_slice(&short.to_be_bytes());
        data.seal_into(&mut sealed, &[&**key], &identity_purpose(identity), randomness)
            .map_err(|_| sealing("an identity's key"))?;
        sealed.try_into().map_err(|_| sealing("an identity's key"))
    }

    /// Opens an identity's key.
    pub(crate) fn open_identity(&self, sealed: &[u8], identity: &[u8; 16]) -> Result<Key, NotOpened> {
        let (number, sealed) = sealed.split_first_chunk::<4>().ok_or(NotOpened::Damaged)?;
        let number = i64::from(u32::from_be_bytes(*number));
        let data = self.get(number).map_err(|Unknown| NotOpened::Unknown)?;
        data.open_key(sealed, &identity_purpose(identity))
            .map_err(|_| NotOpened::Damaged)
    }
}

/// A key made ready for use.
pub(crate) fn cipher(key: &Key) -> Result<Aead, StoreError> {
    Aead::new(key).map_err(|_| sealing("a key"))
}

/// Seals a data key under the operator's.
pub(crate) fn seal_data_key(
    operator: &OperatorKey,
    number: i64,
    key: &Key,
    randomness: &dyn Randomness,
) -> Result<Vec<u8>, StoreError> {
    let mut sealed = Vec::new();
    cipher(&operator.0)?
        .seal_into(&mut sealed, &[&**key], &data_purpose(number), randomness)
        .map_err(|_| sealing("the data key"))?;
    Ok(sealed)
}

/// Opens a data key.
pub(crate) fn open_data_key(
    operator: &OperatorKey,
    number: i64,
    under: Fingerprint,
    sealed: &[u8],
) -> Result<Key, StoreError> {
    let given = operator.fingerprint();
    if given != under {
        return Err(StoreError::Key(format!(
            "the store is sealed under the key {under}, but the key given is {given}; give the right one. Nothing was changed"
        )));
    }
    let opened = cipher(&operator.0)?.open_key(sealed, &data_purpose(number));
    opened.map_err(|_| StoreError::Corrupt {
        table: "data_key",
        column: "sealed",
        row: number,
        reason: "it does not open under the key it names".to_owned(),
    })
}

/// An error of sealing; none of them can happen with texts of a sane length.
pub(crate) fn sealing(what: &str) -> StoreError {
    StoreError::Unavailable {
        doing: "encrypting",
        message: what.to_owned(),
    }
}

fn data_purpose(number: i64) -> Vec<u8> {
    [b"usher data key".as_slice(), &number.to_be_bytes()].concat()
}

fn identity_purpose(identity: &[u8; 16]) -> [u8; 34] {
    let mut purpose = [0; 34];
    purpose[..18].copy_from_slice(b"usher identity key");
    purpose[18..].copy_from_slice(identity);
    purpose
}

/// Numbers that differ from each other, for tests.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Counted(std::sync::atomic::AtomicU64);

#[cfg(test)]
impl Randomness for Counted {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer.chunks_mut(8) {
            let next = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mixed = next.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            byte.copy_from_slice(&mixed[..byte.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_key_opens_for_its_identity_under_its_data_key() {
        let random = Counted::default();
        let mut ring = Ring::default();
        ring.add(1, &Zeroizing::new([1; 32])).unwrap();
        let key = Zeroizing::new([9; 32]);
        let sealed = ring.seal_identity(&key, &[5; 16], &random).unwrap();
        assert_eq!(ring.open_identity(&sealed, &[5; 16]).unwrap(), key);
        assert!(matches!(
            ring.open_identity(&sealed, &[6; 16]),
            Err(NotOpened::Damaged)
        ));
        let mut other = Ring::default();
        other.add(2, &Zeroizing::new([1; 32])).unwrap();
        assert!(matches!(
            other.open_identity(&sealed, &[5; 16]),
            Err(NotOpened::Unknown)
        ));
        assert!(matches!(
            ring.open_identity(&[0, 0], &[5; 16]),
            Err(NotOpened::Damaged)
        ));
        ring.add(2, &Zeroizing::new([2; 32])).unwrap();
        assert_eq!(ring.open_identity(&sealed, &[5; 16]).unwrap(), key);
        assert_eq!(ring.newest().unwrap(), 2);
    }

    #[test]
    fn the_wrong_key_is_told_by_both_names() {
        let random = Counted::default();
        let (right, wrong) = (OperatorKey::from_bytes([1; 32]), OperatorKey::from_bytes([2; 32]));
        let sealed = seal_data_key(&right, 1, &Zeroizing::new([3; 32]), &random).unwrap();
        let refused = open_data_key(&wrong, 1, right.fingerprint(), &sealed).unwrap_err();
        let StoreError::Key(message) = refused else {
            panic!("{refused}")
        };
        assert!(message.contains(&right.fingerprint().to_string()), "{message}");
        assert!(message.contains(&wrong.fingerprint().to_string()), "{message}");
        // Sealed as another number: a swapped row.
        let swapped = open_data_key(&right, 2, right.fingerprint(), &sealed);
        assert!(matches!(swapped, Err(StoreError::Corrupt { .. })));
    }
}
