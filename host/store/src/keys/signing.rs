//! Signing checkpoints: Ed25519.

use std::fmt;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::aead::Key;
use super::ring::sealing;
use crate::StoreError;
use crate::sql::cells::hex;

/// The public half: whoever has it can check a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub(crate) [u8; 32]);

/// A key that signs.
pub(crate) struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    pub(crate) fn new(seed: &Key) -> Result<Self, StoreError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&**seed);
        pair.map(Self).map_err(|_| sealing("the signing key"))
    }

    pub(crate) fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    pub(crate) fn sign(&self, text: &str) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.0.sign(text.as_bytes()).as_ref());
        bytes
    }
}

impl PublicKey {
    /// Whether this key signed the text.
    pub(crate) fn signed(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(text.as_bytes(), signature)
            .is_ok()
    }
}

impl std::str::FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = unhex(text).and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| "it is not a public key: 64 hexadecimal digits".to_owned())
    }
}

/// Bytes from hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    let bytes = digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]));
    bytes.collect::<Result<_, _>>().ok()
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signer_signs() {
        let key = SigningKey::new(&Key::new([3; 32])).unwrap();
        let signature = key.sign("a head");
        assert!(key.public().signed("a head", &signature));
        assert!(!key.public().signed("another head", &signature));
        let other = SigningKey::new(&Key::new([4; 32])).unwrap();
        assert!(!other.public().signed("a head", &signature));
        let read: PublicKey = key.public().to_string().parse().unwrap();
        assert_eq!(read, key.public());
        assert!("00".parse::<PublicKey>().is_err() && "é".repeat(32).parse::<PublicKey>().is_err());
    }
}
