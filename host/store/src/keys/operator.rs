//! The operator's key: kept outside the store, named by its fingerprint.

use std::fmt;

use ring::hmac;
use zeroize::Zeroizing;

use super::aead::{KEY_BYTES, Key};
use crate::Randomness;
use crate::sql::cells::hex;

/// What a fingerprint is made for; another use of the key can never give the same bytes.
const FINGERPRINT_OF: &[u8] = b"usher operator key fingerprint";

/// What the key of the native-code cache is made for.
const NATIVE_CODE_OF: &[u8] = b"usher native code cache";

/// The key that opens the store. It cannot be printed, compared or serialised by accident, and is wiped when it is dropped.
#[derive(Clone)]
pub struct OperatorKey(pub(super) Key);

/// The name of a key: says which one is meant, and nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(crate) [u8; 16]);

impl OperatorKey {
    /// A new one.
    pub fn generate(randomness: &dyn Randomness) -> Self {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        randomness.fill(&mut *key);
        Self(key)
    }

    /// Takes the bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads 32 bytes written as 64 hexadecimal digits or as base64, in either alphabet, with or without padding. White space around it is
    /// left out. The error never repeats what was read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let bytes = match text.len() {
            64 => from_digits(text, 4, |byte| char::from(byte).to_digit(16)),
            43 | 44 => from_digits(text.strip_suffix('=').unwrap_or(text), 6, base64_digit),
            _ => None,
        };
        bytes.map(Self).ok_or_else(|| {
            "it is not a key: 32 bytes as 64 hexadecimal digits or as base64 (`usher key new` makes one)"
                .to_owned()
        })
    }

    /// As it is kept in a file: 64 hexadecimal digits.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(hex(&*self.0))
    }

    /// A key that tells native code this host compiled from any other. It follows from this one, and nothing about this one follows from it. A new operator's key
    /// costs one compilation of each connector.
    pub fn native_code_key(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*self.0), NATIVE_CODE_OF);
        let mut derived = Zeroizing::new([0; KEY_BYTES]);
        derived.copy_from_slice(mac.as_ref());
        derived
    }

    /// Its name.
    pub fn fingerprint(&self) -> Fingerprint {
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*self.0), FINGERPRINT_OF);
        let mut short = [0; 16];
        short.copy_from_slice(&mac.as_ref()[..16]);
        Fingerprint(short)
    }
}

/// Digits of some bits each, most significant first, as exactly one key. Bits left over at the end must be zero.
fn from_digits(text: &str, bits: u32, digit: impl Fn(u8) -> Option<u32>) -> Option<Key> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let (mut filled, mut pending, mut held) = (0, 0_u32, 0);
    for byte in text.bytes() {
        pending = (pending << bits) | digit(byte)?;
        held += bits;
        if held >= 8 {
            held -= 8;
            *key.get_mut(filled)? = u8::try_from((pending >> held) & 0xff).ok()?;
            filled += 1;
        }
        pending &= (1 << held) - 1;
    }
    (filled == KEY_BYTES && pending == 0).then_some(key)
}

fn base64_digit(byte: u8) -> Option<u32> {
    let digit = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(digit.into())
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorKey({})", self.fingerprint())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv8=";

    #[test]
    fn the_key_of_native_code_follows_from_this_one_and_is_another() {
        let (one, other) = (OperatorKey::from_bytes([1; 32]), OperatorKey::from_bytes([2; 32]));
        assert_eq!(
            one.native_code_key(),
            OperatorKey::from_bytes([1; 32]).native_code_key()
        );
        assert_ne!(one.native_code_key(), other.native_code_key());
        assert_ne!(*one.native_code_key(), [1; 32]);
        assert_ne!(one.native_code_key()[..16], one.fingerprint().0);
    }

    #[test]
    fn every_way_of_writing_a_key_is_the_same_key() {
        let key = OperatorKey::parse(HEX).unwrap();
        assert_eq!(*key.to_text(), HEX);
        let without_padding = BASE64.trim_end_matches('=');
        let url = BASE64.replace('/', "_");
        for text in [
            BASE64,
            without_padding,
            &url,
            &HEX.to_uppercase(),
            &format!(" {HEX}\n"),
        ] {
            assert_eq!(
                OperatorKey::parse(text).unwrap().fingerprint(),
                key.fingerprint(),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let (odd, long) = (&HEX[1..], format!("{HEX}00"));
        let not_hex = HEX.replace('f', "g");
        // 43 digits hold 258 bits: the last two must be zero.
        let more = "A".repeat(42) + "B";
        for text in ["", "hunter2", odd, &long, &not_hex, &more, &"é".repeat(32)] {
            let error = OperatorKey::parse(text).unwrap_err();
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_key_does_not_show_in_debug_output() {
        let key = OperatorKey::parse(HEX).unwrap();
        assert_eq!(format!("{key:?}"), format!("OperatorKey({})", key.fingerprint()));
        assert!(!HEX.contains(&key.fingerprint().to_string()));
        let other = OperatorKey::from_bytes([7; 32]);
        assert_ne!(key.fingerprint(), other.fingerprint());
    }
}
