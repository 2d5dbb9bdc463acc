//! Checkpoints: the heads of the audit chains at a moment, signed, each naming the one before it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::PublicKey;
use crate::keys::signing::unhex;
use crate::sql::cells::hex;

/// Longest line of an exported checkpoint that is read, in bytes: about a hundred thousand chains.
pub const CHECKPOINT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A signed checkpoint. One line of JSON holds it whole: keep that off the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// What is signed, letter for letter: see [`CheckpointBody`].
    pub body: String,
    /// The Ed25519 signature of the body, in hexadecimal.
    pub signature: String,
    #[serde(skip)]
    content: CheckpointBody,
}

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointBody {
    /// Its number, from 1 without a gap.
    pub checkpoint: i64,
    /// When it was made.
    pub at: Timestamp,
    /// The digest of the checkpoint before it, in hexadecimal; empty for the first.
    pub previous: String,
    /// The public key that signed it, in hexadecimal.
    pub key: String,
    /// The last writer of before schema version 3, whose rows may have been emptied by an erasure; 0 when there is none. It never changes, so
    /// nobody can later pass a newer writer off as one of them.
    pub last_clear_writer: i64,
    /// The chains that grew since the checkpoint before: writer, number of its last row, hash of that row in hexadecimal.
    pub heads: Vec<(i64, i64, String)>,
}

/// Most characters told of an error: it may repeat what is in the file.
const ERROR_CHARS_MAX: usize = 200;

/// The beginning of an error, on one line.
fn short(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let mut short: String = text.chars().take(ERROR_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    body: String,
    signature: String,
}

impl Checkpoint {
    /// Puts a checkpoint together and checks its signature with the key it names.
    pub(crate) fn checked(body: String, signature: String) -> Result<Self, String> {
        let content: CheckpointBody = serde_json::from_str(&body)
            .map_err(|error| format!("its body cannot be read: {}", short(&error)))?;
        let key: PublicKey = content.key.parse()?;
        let bytes = unhex(&signature).ok_or("its signature is not hexadecimal")?;
        if !key.signed(&body, &bytes) {
            return Err("its signature does not fit what it says".to_owned());
        }
        Ok(Self {
            body,
            signature,
            content,
        })
    }

    /// Reads an exported line. The error says what is wrong with it.
    pub fn parse(line: &str) -> Result<Self, String> {
        if line.len() > CHECKPOINT_BYTES_MAX {
            return Err(format!("it is longer than {CHECKPOINT_BYTES_MAX} bytes"));
        }
        let line: Line = serde_json::from_str(line)
            .map_err(|error| format!("it is not an exported checkpoint: {}", short(&error)))?;
        Self::checked(line.body, line.signature)
    }

    /// As it is exported: one line of JSON, without the line break.
    pub fn to_line(&self) -> String {
        // Two texts: nothing that JSON could refuse.
        serde_json::json!({ "body": self.body, "signature": self.signature }).to_string()
    }

    /// What it says.
    pub fn content(&self) -> &CheckpointBody {
        &self.content
    }

    /// By which the next one names it.
    pub(crate) fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.body.as_bytes());
        hasher.update(self.signature.as_bytes());
        hex(&hasher.finalize())
    }
}
