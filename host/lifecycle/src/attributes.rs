//! Attributes: one JSON object. `null` means absent; arrays are sets unless the schema says otherwise.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Attributes of a person or an account, sorted by name (so that equal attributes have equal text).
pub type Attributes = Map<String, Value>;

/// The first 16 bytes of the SHA-256 of a document: enough to tell two documents apart, half the space in an index.
pub type Digest = [u8; 16];

/// The digest of attributes: equal exactly when their sorted JSON text is.
pub fn digest(attributes: &Attributes) -> Digest {
    let mut hasher = Sha256::new();
    // Writing a map of JSON values into a hasher cannot fail: no I/O, and all keys are strings.
    let _ = serde_json::to_writer(HashWriter(&mut hasher), attributes);
    let full = hasher.finalize();
    let mut short = [0; 16];
    short.copy_from_slice(&full[..16]);
    short
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Takes out the members that are `null`: absent and `null` are the same.
pub fn without_nulls(mut attributes: Attributes) -> Attributes {
    attributes.retain(|_, value| !value.is_null());
    attributes
}
