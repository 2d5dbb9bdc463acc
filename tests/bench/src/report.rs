//! Tables as Markdown, so that what is printed can be kept in `host/BENCHMARKS.md`.

/// A table under a heading, with notes below.
pub(crate) struct Table {
    heading: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(heading: &str, columns: &[&str]) -> Self {
        Self {
            heading: heading.into(),
            columns: columns.iter().map(ToString::to_string).collect(),
            rows: vec![],
            notes: vec![],
        }
    }

    /// Adds a row, one cell a column.
    pub(crate) fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.to_vec());
    }

    /// Adds a line below the table.
    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// The table as text.
    pub(crate) fn markdown(&self) -> String {
        let mut lines = vec![format!("### {}", self.heading), String::new()];
        lines.push(format!("| {} |", self.columns.join(" | ")));
        lines.push(format!("|{}", "---|".repeat(self.columns.len())));
        lines.extend(self.rows.iter().map(|row| format!("| {} |", row.join(" | "))));
        lines.push(String::new());
        lines.extend(self.notes.iter().map(|note| format!("{note}\n")));
        lines.join("\n")
    }
}
