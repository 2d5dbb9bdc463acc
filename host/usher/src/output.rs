//! Where answers go: text or one JSON document on stdout, notes and errors on stderr.

use std::io::{self, IsTerminal as _, Write as _};

use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::escape::safe_lines;
use crate::render::ink::{Ink, Style};

/// How this command answers.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    json: bool,
    ink: Ink,
    notes_ink: Ink,
    progress: bool,
}

impl Output {
    /// As the options and the environment say.
    pub(crate) fn new(global: &Global) -> Self {
        let wanted = !global.no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let zone = TimeZone::system();
        let ink = |terminal: bool| Ink {
            color: wanted && terminal,
            zone: zone.clone(),
        };
        let watched = io::stderr().is_terminal();
        Self {
            json: global.json,
            ink: ink(io::stdout().is_terminal()),
            notes_ink: ink(watched),
            // Log lines and a bar would write over each other.
            progress: watched && global.verbose == 0,
        }
    }

    /// How notes are written.
    pub(crate) fn notes_ink(&self) -> Ink {
        self.notes_ink.clone()
    }

    /// Whether a person watches and bars may be drawn.
    pub(crate) const fn shows_progress(&self) -> bool {
        self.progress
    }

    /// The answer: the view as JSON, or its text.
    pub(crate) fn answer<V: Serialize>(
        &self,
        view: &V,
        text: impl FnOnce(&V, &Ink) -> String,
    ) -> Result<(), Failure> {
        let text = if self.json {
            let mut json = serde_json::to_string_pretty(view).map_err(|error| Failure::unexpected(&error))?;
            json.push('\n');
            json
        } else {
            text(view, &self.ink)
        };
        match io::stdout().lock().write_all(text.as_bytes()) {
            // Who reads has seen enough (`usher plan | head`): the command's own outcome stands.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|error| Failure::unexpected(&error)),
        }
    }

    /// A text of the operator's own: as it is into a file or pipe, harmless on a terminal.
    pub(crate) fn verbatim(&self, text: &str) -> String {
        if io::stdout().is_terminal() {
            text.split('\t').map(safe_lines).collect::<Vec<_>>().join("\t")
        } else {
            text.to_owned()
        }
    }

    /// Something people should know beside the answer.
    pub(crate) fn note(&self, text: &str) {
        let line = self.notes_ink.paint(Style::Dim, &safe_lines(text));
        // There is nobody to tell when stderr is gone.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Why the command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        let text = if self.json {
            serde_json::to_string_pretty(&json!({ "error": failure })).unwrap_or_default()
        } else {
            failure.text(&self.notes_ink)
        };
        let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
    }

    /// A command line that cannot be understood, before there are options to go by.
    pub(crate) fn usage(error: &clap::Error) -> Exit {
        let asked_for = matches!(
            error.kind(),
            clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
        );
        if !asked_for && std::env::args_os().any(|argument| argument == "--json") {
            let failure = Failure::new(Exit::Usage, error.render().to_string().trim_end());
            let text = serde_json::to_string_pretty(&json!({ "error": failure })).unwrap_or_default();
            let _ = writeln!(io::stderr().lock(), "{text}");
        } else {
            let _ = error.print();
        }
        if asked_for { Exit::Ok } else { Exit::Usage }
    }
}
