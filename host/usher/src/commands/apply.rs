//! `usher apply`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use usher_engine::plan::{PLAN_FILE_BYTES_MAX, SavedPlan};
use usher_engine::run::{ApplyReport, ApplyRequest};

use super::freeze::refuse_while_frozen;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render;
use crate::wiring::app::App;
use crate::wiring::files::{origin, read_text};
use crate::wiring::interrupt;
use crate::wiring::progress::Bars;

/// Most seconds to wait: a day. Longer waits belong to a scheduler.
const WAIT_SECONDS_MAX: u64 = 86_400;

/// Seconds waited unless said: the first retry of a small mishap falls due within them. In a rehearsal it also keeps things going:
/// its clock stands still between commands.
const WAIT_SECONDS_DEFAULT: u64 = 5;

/// Do what the plan says. Ctrl-C finishes what is under way; a second Ctrl-C ends at once.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// A plan kept with `usher plan --out`: do exactly that, or nothing if it is out of date.
    plan: Option<PathBuf>,
    /// Wait up to so many seconds in all for operations that fall due later (retries, paused targets); 0 waits for none.
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS_DEFAULT, value_parser = clap::value_parser!(u64).range(..=WAIT_SECONDS_MAX))]
    wait: u64,
}

#[derive(Serialize)]
struct Applied<'a> {
    #[serde(flatten)]
    report: &'a ApplyReport,
    /// A person asked it to stop.
    stopped: bool,
}

impl Apply {
    /// Runs it.
    pub(crate) async fn run(&self, global: &Global, output: &Output) -> Outcome {
        let expect = self.expected()?;
        let app = App::open(global).await?;
        refuse_while_frozen(&app).await?;
        let stop = interrupt::listen(output).map_err(|error| Failure::unexpected(&error))?;
        let request = ApplyRequest {
            expect,
            wait_ms: self.wait * 1_000,
            stop: stop.clone(),
            actor: app.actor(),
        };
        let bars = Bars::new(output);
        let report = app.engine.apply(request, &bars).await?;
        drop(bars);
        let stopped = stop.is_requested();
        let applied = Applied {
            report: &report,
            stopped,
        };
        output.answer(&applied, |applied, ink| {
            render::apply::apply(applied.report, applied.stopped, ink)
        })?;
        Ok(exit(&report, stopped))
    }

    fn expected(&self) -> Result<Option<SavedPlan>, Failure> {
        let Some(path) = &self.plan else { return Ok(None) };
        let text = read_text(path, PLAN_FILE_BYTES_MAX as u64)?;
        let plan = SavedPlan::parse(&text).map_err(|error| Failure::from(error).of(&origin(path)))?;
        Ok(Some(plan))
    }
}

fn exit(report: &ApplyReport, stopped: bool) -> Exit {
    let all_well = report.troubles.is_empty()
        && report.problems.is_empty()
        && render::apply::left_over(report) == 0
        && !stopped;
    if all_well { Exit::Ok } else { Exit::LeftOver }
}

#[cfg(test)]
mod tests {
    use usher_engine::run::Left;
    use usher_lifecycle::targets::ApplyMode;

    use super::*;
    use crate::render::samples;

    #[test]
    fn the_exit_code_tells_whether_something_is_left() {
        assert_eq!(exit(&ApplyReport::default(), false), Exit::Ok);
        assert_eq!(exit(&ApplyReport::default(), true), Exit::LeftOver);
        assert_eq!(exit(&samples::apply(), false), Exit::LeftOver);
        let left = |apply| ApplyReport {
            left: vec![Left {
                target: "app".parse().unwrap(),
                apply,
                open: 3,
                held: 0,
            }],
            ..ApplyReport::default()
        };
        assert_eq!(exit(&left(ApplyMode::Observe), false), Exit::Ok);
        assert_eq!(exit(&left(ApplyMode::Manual), false), Exit::LeftOver);
        let problems = ApplyReport {
            problems: samples::plan().problems,
            ..ApplyReport::default()
        };
        assert_eq!(exit(&problems, false), Exit::LeftOver);
    }
}
