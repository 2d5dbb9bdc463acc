//! What was found in the audit, and what was verified.

use std::path::Path;

use usher_store::{AuditPage, CheckpointBody, Verified};

use super::escape::safe;
use super::ink::Ink;
use super::table::count;
use super::timeline;

/// Rows that were looked for, newest first.
pub(crate) fn found(page: &AuditPage, ink: &Ink) -> String {
    if page.rows.is_empty() {
        return "nothing was found\n".to_owned();
    }
    let mut text = timeline::audit(&page.rows, ink);
    if let Some(next) = page.next {
        text.push_str(&format!("… earlier ones: --before {next}\n"));
    }
    text
}

/// The audit is whole.
pub(crate) fn verified(verified: &Verified, ink: &Ink) -> String {
    let mut text = format!(
        "The audit is whole: {} and {} verified\n",
        count(verified.rows, "row", "rows"),
        count(verified.checkpoints, "checkpoint", "checkpoints")
    );
    if verified.emptied > 0 {
        text.push_str(&format!(
            "{} of before there were keys emptied by an erasure\n",
            count(verified.emptied, "row is", "rows are")
        ));
    }
    match (verified.sealed_at, verified.exported) {
        (None, _) => text.push_str("No checkpoint was made yet; make one with `usher audit checkpoint --out FILE`\n"),
        (Some(at), 0) => text.push_str(&format!(
            "The newest checkpoint is of {}; what it proves against whoever can write the store, --against FILE shows\n",
            ink.time(at)
        )),
        (Some(_), exported) => text.push_str(&format!(
            "{} found again as exported\n",
            count(exported, "checkpoint was", "checkpoints were")
        )),
    }
    text
}

/// A checkpoint that was appended to a file.
pub(crate) fn checkpoint(content: &CheckpointBody, path: &Path) -> String {
    format!(
        "Checkpoint {} is in {}: keep it where this machine cannot change it\nSigned with the key {}\n",
        content.checkpoint,
        safe(&path.display().to_string()),
        safe(&content.key)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_audit_says_how_far_it_is_sealed() {
        let mut whole = Verified {
            rows: 1_204,
            emptied: 0,
            checkpoints: 0,
            exported: 0,
            sealed_at: None,
        };
        insta::assert_snapshot!(verified(&whole, &Ink::plain()));
        whole.checkpoints = 3;
        whole.sealed_at = Some("2026-03-02T08:00:00Z".parse().unwrap());
        insta::assert_snapshot!(verified(&whole, &Ink::plain()));
        (whole.exported, whole.emptied) = (3, 2);
        insta::assert_snapshot!(verified(&whole, &Ink::plain()));
    }
}
