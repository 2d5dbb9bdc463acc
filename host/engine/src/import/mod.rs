//! Imports: a file becomes facts, all of it or nothing.
//!
//! A file is read twice. The first reading checks and compares every row and writes nothing; guards then decide whether the file is
//! believed. The second reading visits only the rows that change something, stages them in bounded chunks, and one small commit
//! makes the import take effect. What is unchanged costs a digest and nothing else.
//!
//! A bad row is set aside: the person in it stays as they were, and is not missing; absences before it are not in a row with later
//! ones. A file with the same bytes as the source's last accepted one is not one more snapshot in which somebody was missing. Nor is
//! a file with bad rows of whom nobody can tell whose they are.

mod cells;
mod guards;
mod record;
mod report;
mod rows;
mod scan;
mod text;

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use usher_lifecycle::ids::SnapshotId;
use usher_lifecycle::policy::SourcePolicy;
use usher_store::{Change, Context, IndexEntry, NewSnapshot, SnapshotState, StagedRecord};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::ports::Point;
use crate::progress::{Phase, Progress};
use record::{Places, Read, Reader};
use rows::Rows;
use scan::Scan;
use text::Text;

pub use report::{ImportReport, ImportRequest, PROBLEMS_LISTED_MAX, Refusal, RowProblem};
pub use text::FILE_BYTES_MAX;

/// Records staged in one transaction: what the store allows at most.
const STAGE_CHUNK: usize = 2_000;
/// Staged rows made facts in one transaction: short enough to hold the database for about 20 ms.
pub(crate) const ABSORB_CHUNK: u32 = 500;
/// How many of the latest imports of all sources are looked through for the last one of this source.
const SNAPSHOTS_LOOKED_AT: u32 = 500;

impl Engine {
    /// Imports a file: all of it or nothing. A file that is refused is remembered with the reason and reported as refused, not as
    /// an error: look at [`ImportReport::refused`].
    ///
    /// # Errors
    /// No policy is active, it does not know the source, or the store fails.
    pub async fn import(
        &self,
        request: ImportRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<ImportReport, EngineError> {
        let policy = self.policy().await?;
        let source = policy.policy.source(request.source).ok_or_else(|| {
            let known: Vec<_> = policy
                .policy
                .sources
                .iter()
                .map(|source| source.name.as_str())
                .collect();
            EngineError::NotFound(format!(
                "the policy has no source `{}`; it has: {}",
                request.source,
                known.join(", ")
            ))
        })?;
        // What was accepted before must be facts before anything is compared with them.
        self.absorb_all(0, progress).await?;
        let context = self.context(request.actor.clone());
        let known = self.ports.store.source_index(request.source).await?;
        let mut snapshot = NewSnapshot {
            source: request.source.clone(),
            origin: request.origin.to_owned(),
            file_digest: Sha256::digest(request.bytes).into(),
            rows: 0,
        };

        let total = request.bytes.len() as u64;
        let text = match text::decode(request.bytes, &source.encoding) {
            Ok(text) => text,
            Err(reason) => {
                return self
                    .refuse(snapshot, Scan::default(), fatal(reason), &context)
                    .await;
            }
        };
        let scanned = scan::scan(&text, source, &self.ports.zones, &known, &mut |at| {
            progress.at(Phase::Reading, at, total);
        });
        let scan = match scanned {
            Ok(scan) => scan,
            Err(reason) => {
                return self
                    .refuse(snapshot, Scan::default(), fatal(reason), &context)
                    .await;
            }
        };
        progress.at(Phase::Reading, total, total);
        snapshot.rows = scan.rows;
        if let Some(refusal) = guards::refusal(&scan, source, &known)
            && !(refusal.may_be_overridden && request.override_guards)
        {
            return self.refuse(snapshot, scan, refusal, &context).await;
        }

        let not_counted = self.absence_not_counted(&scan, &snapshot).await?;
        let missing = if not_counted.is_some() {
            Vec::new()
        } else {
            missing(&scan, source, &known)
        };
        let mut report = report(&snapshot, &scan, SnapshotId::new(uuid::Uuid::nil()));
        report.absence_not_counted = not_counted;
        report.confirmed_missing = missing.iter().filter(|(_, confirmed)| *confirmed).count() as u64;
        let staged = (scan.offsets.len() + scan.aside_again.len() + missing.len()) as u64;
        report.snapshot = self
            .stage(snapshot, &text, source, &scan, missing, &context, progress)
            .await?;
        self.absorb_all(staged, progress).await?;
        Ok(report)
    }

    /// Stages what changes and accepts it.
    #[expect(
        clippy::too_many_arguments,
        reason = "one step of an import, split off for length only"
    )]
    async fn stage(
        &self,
        snapshot: NewSnapshot,
        text: &Text<'_>,
        source: &SourcePolicy,
        scan: &Scan,
        missing: Vec<(String, bool)>,
        context: &Context,
        progress: &dyn Progress,
    ) -> Result<SnapshotId, EngineError> {
        let store = &self.ports.store;
        let id = store.begin_snapshot(snapshot, context).await?;
        let total = (scan.offsets.len() + scan.aside_again.len() + missing.len()) as u64;
        let aside_again = scan.aside_again.iter().map(|key| StagedRecord {
            key: key.clone(),
            change: Change::Present,
        });
        let gone = missing.into_iter().map(|(key, confirmed)| StagedRecord {
            key,
            change: Change::Missing { confirmed },
        });
        let mut changes = changed(text, source, &self.ports.zones, &scan.offsets)
            .chain(aside_again)
            .chain(gone);
        let mut done = 0;
        loop {
            let chunk: Vec<StagedRecord> = changes.by_ref().take(STAGE_CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            store.stage(id, &chunk).await?;
            self.ports.probes.reached(Point::Staged);
            done += chunk.len() as u64;
            progress.at(Phase::Staging, done, total);
        }
        store.accept(id, context).await?;
        self.ports.probes.reached(Point::Accepted);
        Ok(id)
    }

    /// Makes facts of everything accepted. `staged` rows are known to wait, 0 when that is not known. Returns how many rows were seen to
    /// become facts (the last chunk of an unknown number is not seen).
    pub(crate) async fn absorb_all(&self, staged: u64, progress: &dyn Progress) -> Result<u64, EngineError> {
        let mut total = staged;
        loop {
            let left = self.ports.store.absorb(ABSORB_CHUNK).await?;
            total = total.max(if left > 0 {
                left + u64::from(ABSORB_CHUNK)
            } else {
                0
            });
            if total > 0 {
                self.ports.probes.reached(Point::Absorbed);
            }
            progress.at(Phase::Absorbing, total - left, total);
            if left == 0 {
                return Ok(total);
            }
        }
    }

    /// Why absence does not count in this file, if it does not.
    async fn absence_not_counted(
        &self,
        scan: &Scan,
        snapshot: &NewSnapshot,
    ) -> Result<Option<String>, EngineError> {
        if scan.missing.is_empty() {
            return Ok(None);
        }
        if scan.unattributed > 0 {
            return Ok(Some(format!(
                "{} bad rows do not tell whose they are: each of the missing may be in one of them",
                scan.unattributed
            )));
        }
        let latest = self.ports.store.snapshots(SNAPSHOTS_LOOKED_AT).await?;
        let last = latest.iter().find(|last| {
            last.source == snapshot.source
                && matches!(last.state, SnapshotState::Accepted | SnapshotState::Absorbed)
        });
        let same = last.is_some_and(|last| last.file_digest == snapshot.file_digest);
        Ok(same.then(|| "this is the same file as the last one: it is not one more snapshot".to_owned()))
    }

    async fn refuse(
        &self,
        snapshot: NewSnapshot,
        scan: Scan,
        refusal: Refusal,
        context: &Context,
    ) -> Result<ImportReport, EngineError> {
        let id = self
            .ports
            .store
            .refuse(snapshot.clone(), &refusal.reason, context)
            .await?;
        let mut report = report(&snapshot, &scan, id);
        report.refused = Some(refusal);
        Ok(report)
    }
}

fn fatal(reason: String) -> Refusal {
    Refusal {
        reason,
        may_be_overridden: false,
    }
}

/// The missing, each with whether its absence now counts.
fn missing(scan: &Scan, source: &SourcePolicy, known: &HashMap<String, IndexEntry>) -> Vec<(String, bool)> {
    let times = |key: &String| {
        known
            .get(key)
            .map_or(0, |entry| entry.missing_snapshots)
            .saturating_add(1)
    };
    scan.missing
        .iter()
        .map(|key| (key.clone(), times(key) >= source.absent_after_snapshots))
        .collect()
}

/// The second reading: the records at these offsets.
fn changed<'a>(
    text: &'a Text<'_>,
    source: &'a SourcePolicy,
    zones: &'a jiff::tz::TimeZoneDatabase,
    offsets: &'a [u64],
) -> impl Iterator<Item = StagedRecord> + Send + 'a {
    // The header was read before without an error.
    let mut rows = Rows::new(&text.text, source).ok();
    let places = rows.as_ref().map(Places::of);
    let mut reader = Reader::new(source, zones, text.damaged);
    offsets.iter().filter_map(move |offset| {
        let row = rows.as_mut()?.at(*offset)?;
        match reader.read(&row, places.as_ref()?) {
            Read::Good { key, digest, join } => Some(StagedRecord {
                key,
                change: Change::Upsert {
                    attributes: reader.attributes(),
                    digest,
                    join,
                },
            }),
            // Only good rows have been noted.
            Read::Bad { .. } => None,
        }
    })
}

fn report(snapshot: &NewSnapshot, scan: &Scan, id: SnapshotId) -> ImportReport {
    ImportReport {
        source: snapshot.source.clone(),
        origin: snapshot.origin.clone(),
        snapshot: id,
        refused: None,
        rows: scan.rows,
        new: scan.new,
        changed: scan.changed,
        unchanged: scan.unchanged,
        returned: scan.returned,
        missing: scan.missing.len() as u64,
        confirmed_missing: 0,
        set_aside: scan.set_aside,
        absence_not_counted: None,
        problems_total: scan.problems_total,
        problems: scan.problems.clone(),
    }
}

/// All good records of a file against nothing known: for property tests and the fuzz targets in `tests/fuzz`.
#[doc(hidden)]
pub fn read_records(
    bytes: &[u8],
    source: &SourcePolicy,
    zones: &jiff::tz::TimeZoneDatabase,
) -> Result<Vec<StagedRecord>, String> {
    let text = text::decode(bytes, &source.encoding)?;
    let scan = scan::scan(&text, source, zones, &HashMap::new(), &mut |_| {})?;
    Ok(changed(&text, source, zones, &scan.offsets).collect())
}
