//! When a file as a whole is not believed.

use std::collections::HashMap;
use std::fmt::Write as _;

use usher_lifecycle::policy::{BadRows, SourcePolicy};
use usher_store::IndexEntry;

use super::report::Refusal;
use super::scan::Scan;

/// Why the file is refused, if it is. A person may override only what is a matter of belief.
pub(super) fn refusal(
    scan: &Scan,
    source: &SourcePolicy,
    known: &HashMap<String, IndexEntry>,
) -> Option<Refusal> {
    if scan.rows == 0 {
        let reason = "the file has a header but no rows. Nobody is ended by an empty file.".to_owned();
        return Some(Refusal {
            reason,
            may_be_overridden: false,
        });
    }
    let reason = bad_rows(scan, source).or_else(|| shrink(scan, source, known))?;
    Some(Refusal {
        reason,
        may_be_overridden: true,
    })
}

fn bad_rows(scan: &Scan, source: &SourcePolicy) -> Option<String> {
    let (bad, rows) = (scan.set_aside, scan.rows);
    match source.bad_rows {
        BadRows::Refuse if bad > 0 => Some(format!(
            "{bad} of {rows} rows are bad, and the policy says bad-rows = \"refuse\""
        )),
        BadRows::SetAside if bad * 100 > rows * u64::from(source.bad_rows_max_percent) => Some(format!(
            "{bad} of {rows} rows are bad, more than bad-rows-max-percent = {} allows. Correct the file, or accept it by \
             overriding the guards: the bad rows are then set aside",
            source.bad_rows_max_percent
        )),
        BadRows::Refuse | BadRows::SetAside => None,
    }
}

/// Compares the people present (all known whose absence is not confirmed, so that a source that shrinks a little every day is
/// measured against the last confirmed state) with those of them who are still there. Newcomers stand for nobody.
fn shrink(scan: &Scan, source: &SourcePolicy, known: &HashMap<String, IndexEntry>) -> Option<String> {
    let present = known.values().filter(|entry| !entry.absent).count() as u64;
    let missing = scan.missing.len() as u64;
    // Whoever is in a row of which nobody can tell whose it is may be there.
    let gone = missing.saturating_sub(scan.unattributed);
    (gone * 100 > present * u64::from(source.shrink_max_percent)).then(|| {
        let mut reason = format!(
            "{missing} of the {present} people present are not in the file: more than shrink-max-percent = {} allows",
            source.shrink_max_percent
        );
        if scan.unattributed > 0 {
            let _ = write!(
                reason,
                ", even if each bad row that does not tell whose it is ({}) is one of theirs",
                scan.unattributed
            );
        }
        // Some really leave on the day the keys change, so the numbers need not be the same.
        if scan.new * 2 >= missing {
            let _ = write!(
                reason,
                ". New in the same file: {}. Have the keys changed (leading zeros dropped, another column)? Then correct the \
                 file, or these people are ended and made a second time",
                scan.new
            );
        }
        reason.push_str(". If that many people really left, accept it by overriding the guards");
        reason
    })
}
