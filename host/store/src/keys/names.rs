//! Digests of names: HMAC-SHA-256.

use ring::hmac;

use super::aead::Key;

/// A key without which nobody can tell whether a digest is that of a name.
pub(crate) struct NameKey(hmac::Key);

impl NameKey {
    pub(crate) fn new(key: &Key) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &**key))
    }

    pub(crate) fn digest(&self, name: &str) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hmac::sign(&self.0, name.as_bytes()).as_ref());
        bytes
    }
}
