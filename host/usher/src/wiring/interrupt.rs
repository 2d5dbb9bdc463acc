//! Ctrl-C in a long run: the first asks it to finish what is under way, the second ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use usher_engine::run::Stop;

use crate::exit::Exit;
use crate::output::Output;

/// Listens for Ctrl-C and SIGTERM from now on, until the process ends; says so to the person at the terminal.
pub(crate) fn listen(output: &Output) -> std::io::Result<Stop> {
    let output = output.clone();
    listen_with(move || {
        output.note("stopping: what is under way is finished and recorded; Ctrl-C again ends at once");
    })
}

/// The same with other words, said at the first signal.
pub(crate) fn listen_with(say: impl Fn() + Send + 'static) -> std::io::Result<Stop> {
    let (stopper, stop) = Stop::pair();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked {
                // What was under way is taken up by the next run, which reads back first.
                std::process::exit(i32::from(Exit::Interrupted.code()));
            }
            asked = true;
            stopper.stop();
            say();
        }
    });
    Ok(stop)
}
