//! Keys, each sealed under the one before it:
//!
//! ```text
//! operator's key (outside the store) ─▶ data key ─▶ secrets
//!                                               ├─▶ the signing key of checkpoints
//!                                               ├─▶ the key of digests of names
//!                                               └─▶ each identity's own key ─▶ what the audit says of that identity
//! ```
//!
//! Changing the operator's key seals one data key anew; erasing an identity destroys its key, and nothing else. The only user of `ring`.

pub(crate) mod aead;
mod changes;
pub(crate) mod names;
mod operator;
pub(crate) mod ring;
pub(crate) mod signing;

pub use changes::{KeyChanges, KeyStatus, Resealed};
pub use operator::{Fingerprint, OperatorKey};
pub use signing::PublicKey;
