//! What is logged while a test runs.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

/// Keeps what is logged on this thread until it is dropped. For tests on tokio's current thread.
pub(crate) struct LogLines {
    lines: Lines,
    _guard: DefaultGuard,
}

type Lines = Arc<Mutex<Vec<(String, String)>>>;

impl LogLines {
    pub(crate) fn capture() -> Self {
        let lines = Lines::default();
        let collector = Collector(Arc::clone(&lines));
        Self {
            lines,
            _guard: tracing::subscriber::set_default(collector),
        }
    }

    /// The lines of one target of `tracing`, with their fields.
    pub(crate) fn of_target(&self, target: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        let wanted = lines.iter().filter(|(of, _)| of == target);
        wanted.map(|(_, line)| line.clone()).collect()
    }
}

struct Collector(Lines);

impl Subscriber for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let target = event.metadata().target().to_owned();
        self.0.lock().unwrap().push((target, line.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}
