//! Sealing: AES-256-GCM with a random nonce in front. What is sealed opens only under the same key and for the same purpose.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use zeroize::{Zeroize as _, Zeroizing};

use crate::Randomness;

/// Bytes of every key.
pub(crate) const KEY_BYTES: usize = 32;
/// What sealing adds: the nonce before, the tag behind.
pub(crate) const OVERHEAD_BYTES: usize = NONCE_LEN + 16;

/// A key in memory.
pub(crate) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// A key ready for use. With random nonces one key is good for about four thousand million messages; the most any key seals here is one per
/// identity, or one per audit row of one identity.
pub(crate) struct Aead(LessSafeKey);

/// What is sealed was changed, is of another purpose, or is under another key.
#[derive(Debug)]
pub(crate) struct Closed;

impl Aead {
    pub(crate) fn new(key: &[u8; KEY_BYTES]) -> Result<Self, Unspecified> {
        UnboundKey::new(&AES_256_GCM, key).map(|key| Self(LessSafeKey::new(key)))
    }

    /// Appends the sealed text, given in parts, to `out`. `purpose` is not stored: whoever opens it says the same. The error cannot happen below 64 GiB.
    pub(crate) fn seal_into(
        &self,
        out: &mut Vec<u8>,
        plain: &[&[u8]],
        purpose: &[u8],
        randomness: &dyn Randomness,
    ) -> Result<(), Unspecified> {
        let mut nonce = [0; NONCE_LEN];
        randomness.fill(&mut nonce);
        out.extend_from_slice(&nonce);
        let start = out.len();
        for part in plain {
            out.extend_from_slice(part);
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(purpose), &mut out[start..]);
        match sealed {
            Ok(tag) => {
                out.extend_from_slice(tag.as_ref());
                Ok(())
            }
            Err(error) => {
                out[start..].zeroize();
                Err(error)
            }
        }
    }

    /// What was sealed for this purpose.
    pub(crate) fn open(&self, sealed: &[u8], purpose: &[u8]) -> Result<Zeroizing<Vec<u8>>, Closed> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Closed)?;
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place(nonce, Aad::from(purpose), &mut text);
        let length = opened.map_err(|_| Closed)?.len();
        text.truncate(length);
        Ok(text)
    }

    /// A key that was sealed for this purpose.
    pub(crate) fn open_key(&self, sealed: &[u8], purpose: &[u8]) -> Result<Key, Closed> {
        let plain = self.open(sealed, purpose)?;
        let key: &[u8; KEY_BYTES] = plain.as_slice().try_into().map_err(|_| Closed)?;
        Ok(Zeroizing::new(*key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::ring::Counted;

    proptest! {
        #[test]
        fn what_is_sealed_comes_back_and_nothing_else_does(
            key: [u8; 32], plain: Vec<u8>, purpose: Vec<u8>, place: prop::sample::Index, flip in 1..=255_u8
        ) {
            let aead = Aead::new(&key).unwrap();
            let mut sealed = Vec::new();
            aead.seal_into(&mut sealed, &[&plain[..plain.len() / 2], &plain[plain.len() / 2..]], &purpose, &Counted::default()).unwrap();
            prop_assert_eq!(sealed.len(), plain.len() + OVERHEAD_BYTES);
            prop_assert_eq!(&*aead.open(&sealed, &purpose).unwrap(), &plain);
            let mut other = purpose.clone();
            other.push(0);
            prop_assert!(aead.open(&sealed, &other).is_err());
            let mut other = key;
            other[place.index(32)] ^= flip;
            prop_assert!(Aead::new(&other).unwrap().open(&sealed, &purpose).is_err());
            let place = place.index(sealed.len());
            sealed[place] ^= flip;
            prop_assert!(aead.open(&sealed, &purpose).is_err());
            prop_assert!(aead.open(&sealed[..place], &purpose).is_err());
        }
    }
}
