//! Sealing while a server runs: one host signs checkpoints of the audit, and every host that was given a file keeps all of them there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use usher_engine::ports::Clock;
use usher_lifecycle::cause::Actor;
use usher_store::{Checkpoint, Checkpoints as _, Context, Duty, Replicas as _, SqlStore};

use super::files;
use crate::exit::Exit;
use crate::failure::Failure;

/// How often the ends of the audit's chains are signed: what somebody could cut off unseen is never older, if the file is kept elsewhere.
const EVERY: Duration = Duration::from_secs(60);
/// Checkpoints appended between two looks.
const AT_ONCE: u32 = 100;
/// Largest file of checkpoints that is gone on with, in bytes: years of them.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The sealer, at work until it is ended.
pub(crate) struct Sealing {
    sealer: Sealer,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Sealer {
    store: Arc<SqlStore>,
    clock: Arc<dyn Clock>,
    file: Option<PathBuf>,
}

impl Sealing {
    /// Begins. Checkpoints go to `file` too, after the last that is there.
    pub(crate) fn start(
        store: Arc<SqlStore>,
        clock: Arc<dyn Clock>,
        file: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let last = file.as_deref().map(last_in).transpose()?.unwrap_or(0);
        let sealer = Sealer { store, clock, file };
        let task = tokio::spawn(sealer.clone().go_on(last));
        Ok(Self { sealer, task })
    }

    /// Ends it, with a last checkpoint of all that was recorded.
    pub(crate) async fn end(self) {
        self.task.abort();
        // Cancelled: that is what was asked for.
        let _ = self.task.await;
        let last = self.sealer.file.as_deref().map(last_in);
        match last.transpose() {
            Ok(last) => {
                self.sealer.round(last.unwrap_or(0)).await;
            }
            Err(_) => tracing::warn!("the file of checkpoints cannot be read any more"),
        }
    }
}

impl Sealer {
    async fn go_on(self, mut last: i64) {
        let mut rounds = tokio::time::interval(EVERY);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            last = self.round(last).await;
        }
    }

    /// Signs if that is this host's duty, and takes over what is new. Returns the last that is in the file.
    async fn round(&self, mut last: i64) -> i64 {
        if let Err(error) = self.seal().await {
            tracing::warn!(%error, "the audit was not sealed; it is tried again");
        }
        let Some(file) = &self.file else { return last };
        loop {
            let new = match self.store.checkpoints(last, AT_ONCE).await {
                Ok(new) if new.is_empty() => return last,
                Ok(new) => new,
                Err(error) => {
                    tracing::warn!(%error, "checkpoints cannot be read; it is tried again");
                    return last;
                }
            };
            for checkpoint in new {
                if files::append_line(file, &checkpoint.to_line()).is_err() {
                    tracing::warn!(file = %file.display(), "a checkpoint cannot be written; it is tried again");
                    return last;
                }
                last = checkpoint.content().checkpoint;
            }
        }
    }

    async fn seal(&self) -> Result<(), usher_store::StoreError> {
        if self.store.take_duty(Duty::Sealing).await? {
            let context = Context {
                actor: Actor::Usher,
                at: self.clock.now(),
            };
            self.store.seal(&context).await?;
        }
        Ok(())
    }
}

/// The number of the last checkpoint in a file; 0 when there is none yet. A line that was torn by a crash is left as it is, and not counted.
fn last_in(path: &Path) -> Result<i64, Failure> {
    if !path.exists() {
        return Ok(0);
    }
    let text = files::read_text(path, FILE_BYTES_MAX)?;
    let mut lines = text.lines().filter(|line| !line.trim().is_empty()).rev();
    let last = lines.find_map(|line| Checkpoint::parse(line).ok());
    match last {
        Some(last) => Ok(last.content().checkpoint),
        None if text.trim().is_empty() => Ok(0),
        None => Err(Failure::new(
            Exit::BadInput,
            format!("{} is not a file of checkpoints", path.display()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use usher_store::{Evidence, OperatorKey, sqlite};

    use super::*;
    use crate::wiring::clock::SystemClock;
    use crate::wiring::randomness::OsRandomness;

    #[tokio::test]
    async fn what_is_sealed_is_in_the_file_once() {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let context = Context {
            actor: Actor::Usher,
            at: clock.now(),
        };
        let key = OperatorKey::from_bytes([7; 32]);
        let data = folder.path().join("data");
        let store = sqlite::create(&data, &key, Arc::new(OsRandomness), &context)
            .await
            .unwrap();
        let store = Arc::new(store);
        let file = folder.path().join("checkpoints.jsonl");
        for round in 1..=3 {
            use usher_store::SecretStore as _;
            store
                .set_secret(&"a".parse().unwrap(), "x", &context)
                .await
                .unwrap();
            let sealing = Sealing::start(store.clone(), clock.clone(), Some(file.clone())).unwrap();
            sealing.end().await;
            assert_eq!(last_in(&file).unwrap(), round);
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let checkpoints = text
            .lines()
            .map(|line| Checkpoint::parse(line).unwrap())
            .collect();
        let evidence = Evidence {
            checkpoints,
            public_key: None,
        };
        use usher_store::Audit as _;
        assert_eq!(store.audit_verify_against(&evidence).await.unwrap().exported, 3);
        std::fs::write(&file, "dear diary\n").unwrap();
        assert!(Sealing::start(store, clock, Some(file)).is_err());
    }
}
