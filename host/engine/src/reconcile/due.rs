//! Which targets are to be reconciled by the clock.

use jiff::{SignedDuration, Timestamp};
use usher_lifecycle::name::TargetName;

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// The targets whose time has come, the longest overdue first, and when the next one's does. An attempt counts, however it ended: a
    /// target that fails is not tried without a pause.
    pub(crate) async fn reconciles_due(&self) -> Result<(Vec<TargetName>, Option<Timestamp>), EngineError> {
        let targets = self.targets().await?;
        let rows = self.ports.store.reconciles().await?;
        let now = self.ports.clock.now();
        let (mut due, mut next) = (Vec::new(), None::<Timestamp>);
        for (name, target) in &targets.targets.targets {
            let Some(minutes) = target.reconcile.every_minutes else {
                continue;
            };
            let last = rows
                .iter()
                .filter(|row| row.target == *name)
                .map(|row| row.began_at)
                .max();
            // Never yet: at once.
            let at = last.map_or(Timestamp::MIN, |last| {
                last.checked_add(SignedDuration::from_mins(i64::from(minutes)))
                    .unwrap_or(Timestamp::MAX)
            });
            if at <= now {
                due.push((at, name.clone()));
            } else {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        due.sort();
        Ok((due.into_iter().map(|(_, name)| name).collect(), next))
    }
}
