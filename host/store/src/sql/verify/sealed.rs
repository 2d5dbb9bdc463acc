//! What checkpoints say, checked against each other and against those that were exported.

use std::collections::HashMap;

use super::super::cells::failed;
use super::super::checkpoints::{LAST_CLEAR_WRITER, page};
use super::super::db::{Tx, query};
use super::DOING;
use crate::{Checkpoint, Evidence, StoreError};

/// Checkpoints verified at a time.
const CHECKPOINT_PAGE: u32 = 500;

/// What the checkpoints say of the chains.
pub(super) struct Sealed {
    pub(super) heads: HashMap<(i64, i64), SealedHead>,
    pub(super) checkpoints: u64,
    pub(super) at: Option<jiff::Timestamp>,
}

/// A head that was signed, and by which checkpoint.
pub(super) struct SealedHead {
    pub(super) hash: String,
    pub(super) checkpoint: i64,
    pub(super) seen: bool,
}

impl Sealed {
    /// Reads the checkpoints one after the other: numbers without a gap, each naming the one before, all of them as they were exported.
    pub(super) async fn read(tx: &mut Tx<'_>, evidence: &Evidence) -> Result<Self, StoreError> {
        let mut exported: HashMap<i64, &Checkpoint> = HashMap::new();
        for checkpoint in &evidence.checkpoints {
            let number = checkpoint.content().checkpoint;
            by_the_right_key(checkpoint, evidence)?;
            if exported
                .insert(number, checkpoint)
                .is_some_and(|other| other != checkpoint)
            {
                return Err(corrupt(
                    number,
                    "two different ones with this number were exported",
                ));
            }
        }
        let row = query(LAST_CLEAR_WRITER)
            .fetch_one(&mut *tx)
            .await
            .map_err(failed(DOING))?;
        let last_clear_writer: i64 = row.at(0).map_err(failed(DOING))?;
        let mut sealed = Self {
            heads: HashMap::new(),
            checkpoints: 0,
            at: None,
        };
        let (mut last, mut digest) = (0, String::new());
        loop {
            let page = page(tx, last, CHECKPOINT_PAGE).await?;
            if page.is_empty() {
                break;
            }
            for checkpoint in page {
                let content = checkpoint.content();
                let number = content.checkpoint;
                if number != last + 1 || content.previous != digest {
                    return Err(corrupt(
                        number,
                        "the one before it is missing, or is not the one it names",
                    ));
                }
                by_the_right_key(&checkpoint, evidence)?;
                if content.last_clear_writer != last_clear_writer {
                    return Err(corrupt(
                        number,
                        "a writer is passed off as one of before there were keys, whose rows may be empty",
                    ));
                }
                if exported
                    .remove(&number)
                    .is_some_and(|exported| *exported != checkpoint)
                {
                    return Err(corrupt(number, "it is not the one that was exported"));
                }
                sealed.keep(&checkpoint)?;
                (last, digest) = (number, checkpoint.digest());
            }
        }
        match exported.keys().min() {
            Some(number) => Err(corrupt(
                *number,
                "it was exported, but is not in the store: the end is cut off",
            )),
            None => Ok(sealed),
        }
    }

    fn keep(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let content = checkpoint.content();
        self.checkpoints += 1;
        self.at = Some(content.at);
        for (writer, n, hash) in &content.heads {
            let head = SealedHead {
                hash: hash.clone(),
                checkpoint: content.checkpoint,
                seen: false,
            };
            if self.heads.insert((*writer, *n), head).is_some() {
                return Err(corrupt(
                    content.checkpoint,
                    "it seals a head that was sealed before",
                ));
            }
        }
        Ok(())
    }
}

fn by_the_right_key(checkpoint: &Checkpoint, evidence: &Evidence) -> Result<(), StoreError> {
    let content = checkpoint.content();
    match evidence.public_key {
        Some(key) if key.to_string() != content.key => Err(corrupt(
            content.checkpoint,
            "it is signed by another key than the one that was given",
        )),
        _ => Ok(()),
    }
}

pub(super) fn corrupt(checkpoint: i64, reason: &str) -> StoreError {
    StoreError::Corrupt {
        table: "checkpoint",
        column: "body",
        row: checkpoint,
        reason: reason.to_owned(),
    }
}
