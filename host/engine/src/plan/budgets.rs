//! Budgets: what was planned of one cause is judged once planning has come to rest.

use usher_lifecycle::cause::Actor;
use usher_store::{Judged, StoreError};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::ports::Point;

impl Engine {
    /// Lets go what fits its budget and holds what does not, if nothing is due for planning any more. Doing it twice does nothing the second time;
    /// what a crash leaves half done the next call finishes.
    pub(crate) async fn judge_causes(&self, actor: &Actor) -> Result<Judged, EngineError> {
        let policy = self.policy().await?;
        let versions = self.ports.store.versions().await?;
        if versions.policy != policy.version {
            // Another version was activated this moment: the next round judges by it.
            return Ok(Judged::default());
        }
        let context = self.context(actor.clone());
        self.ports.probes.reached(Point::BeforeJudging);
        let thresholds = &policy.policy.thresholds;
        match self
            .ports
            .store
            .judge_causes(thresholds, versions, &context)
            .await
        {
            // Others were at the same rows: they judge, or the next round does.
            Err(StoreError::Contended(_)) => Ok(Judged::default()),
            judged => {
                self.ports.probes.reached(Point::AfterJudging);
                Ok(judged?)
            }
        }
    }
}
