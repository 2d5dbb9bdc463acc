//! The journal: one JSON line for each request, written before the request is answered.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::answer::Answer;

/// Where the lines go.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    file: Option<File>,
    announce: bool,
    at: u64,
}

impl Journal {
    /// Appends to a file, if given, and to standard output, if asked to.
    pub(crate) fn open(file: Option<&Path>, announce: bool) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            opened.with_context(|| format!("opening the journal {}", path.display()))
        };
        Ok(Self {
            file: file.map(open).transpose()?,
            announce,
            at: 0,
        })
    }

    /// A journal nobody reads.
    #[cfg(test)]
    pub(crate) fn to_nowhere() -> Self {
        Self::default()
    }

    /// Writes one line.
    pub(crate) fn write(
        &mut self,
        method: &str,
        path: &str,
        parameters: &[(String, String)],
        body: Option<&Value>,
        answer: &Answer,
    ) -> anyhow::Result<()> {
        self.at += 1;
        let query: Map<String, Value> = parameters
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        let line = json!({
            "at": self.at, "method": method, "path": path, "query": query, "body": body, "status": answer.status,
            "id": answer.body.as_ref().and_then(|body| body.get("id")),
        });
        let line = format!("{line}\n");
        if let Some(file) = &mut self.file {
            // One write of a whole line: a reader never sees half of it, and a kill of this process loses nothing.
            file.write_all(line.as_bytes())?;
        }
        if self.announce {
            let mut out = std::io::stdout().lock();
            out.write_all(line.as_bytes())?;
            out.flush()?;
        }
        Ok(())
    }
}
