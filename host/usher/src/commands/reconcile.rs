//! `usher reconcile`

use clap::Args;
use usher_engine::reconcile::ReconcileRequest;
use usher_lifecycle::name::TargetName;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;
use crate::wiring::progress::Bars;

/// Compare a target's accounts with what is remembered of them. What differs is noted and planned again; accounts that nobody owns are kept
/// for `usher accounts`; what follows from them is what [reactions] of the policy says. Works while the store is frozen.
#[derive(Debug, Args)]
pub(crate) struct Reconcile {
    /// The target, as the active document names it.
    target: TargetName,
    /// Believe the list although a guard refused it (too many accounts not listed), and disable more unmatched accounts than unmatched-max. Look
    /// at the report first.
    #[arg(long)]
    override_guards: bool,
}

impl Reconcile {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let app = App::recovered(global, output).await?;
        let request = ReconcileRequest {
            target: self.target.clone(),
            actor: app.actor(),
            override_guards: self.override_guards,
            by_person: true,
        };
        let bars = Bars::new(output);
        let report = app.engine.reconcile(request, &bars).await?;
        drop(bars);
        output.answer(&report, render::reconcile::reconcile)?;
        Ok(if report.refused.is_some() {
            Exit::BadInput
        } else {
            Exit::Ok
        })
    }
}
