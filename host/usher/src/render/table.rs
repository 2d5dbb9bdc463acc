//! Tables aligned by what a terminal shows, and lists that end in time.

use unicode_width::UnicodeWidthStr as _;

use super::ink::{Ink, Style};

/// Longest list shown in full: two screens. `--json` shows all.
pub(crate) const ROWS_MAX: usize = 100;

/// One cell: text that is already escaped, and how it looks.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            text,
            style: Style::Plain,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// A cell with a style.
pub(crate) fn styled(style: Style, text: impl Into<String>) -> Cell {
    Cell {
        text: text.into(),
        style,
    }
}

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a heading.
pub(crate) struct Table {
    heading: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new(heading: &[(&'static str, Align)]) -> Self {
        Self {
            heading: heading.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: one cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text: each line indented, no spaces at line ends, a line break after each line. Beyond [`ROWS_MAX`] rows it
    /// says how many there are more.
    pub(crate) fn render(&self, indent: usize, ink: &Ink) -> String {
        let titles: Vec<Cell> = self
            .heading
            .iter()
            .map(|(title, _)| styled(Style::Dim, *title))
            .collect();
        self.lines(Some(&titles), indent, ink)
    }

    /// The rows alone, without the heading.
    pub(crate) fn render_rows(&self, indent: usize, ink: &Ink) -> String {
        self.lines(None, indent, ink)
    }

    fn lines(&self, titles: Option<&Vec<Cell>>, indent: usize, ink: &Ink) -> String {
        let shown = || titles.into_iter().chain(self.rows.iter().take(ROWS_MAX));
        let width = |column: usize| {
            shown()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.text.width())
                .max()
        };
        let widths: Vec<usize> = (0..self.heading.len())
            .map(|column| width(column).unwrap_or(0))
            .collect();
        let mut out = String::new();
        for row in shown() {
            self.line(&mut out, row, &widths, indent, ink);
        }
        out.push_str(&more(self.rows.len(), ROWS_MAX, indent));
        out
    }

    fn line(&self, out: &mut String, cells: &[Cell], widths: &[usize], indent: usize, ink: &Ink) {
        let mut line = " ".repeat(indent);
        for (place, cell) in cells.iter().enumerate().take(widths.len()) {
            let gap = " ".repeat(widths[place].saturating_sub(cell.text.width()));
            let painted = ink.paint(cell.style, &cell.text);
            match self.heading[place].1 {
                Align::Left => line.extend([painted.as_str(), &gap]),
                Align::Right => line.extend([gap.as_str(), &painted]),
            }
            line.push_str("  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// `… and 188 more (--json shows all)`, or nothing when all were shown.
pub(crate) fn more(total: usize, shown: usize, indent: usize) -> String {
    match total.saturating_sub(shown) {
        0 => String::new(),
        rest => format!("{}… and {rest} more (--json shows all)\n", " ".repeat(indent)),
    }
}

/// `1 account`, `2 accounts`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// A number with thin groups: `100,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_in_every_script() {
        let mut table = Table::new(&[
            ("key", Align::Left),
            ("name", Align::Left),
            ("rows", Align::Right),
        ]);
        table.row(["e1".into(), "山田太郎".into(), "7".into()]);
        table.row(["e1002".into(), "Zoë".into(), "12,000".into()]);
        insta::assert_snapshot!(table.render(2, &Ink::plain()), @r"
          key    name        rows
          e1     山田太郎       7
          e1002  Zoë       12,000
        ");
    }

    #[test]
    fn colour_does_not_move_columns() {
        let mut table = Table::new(&[("state", Align::Left), ("n", Align::Right)]);
        table.row([styled(Style::Bad, "failed"), "1".into()]);
        let painted = table.render(
            0,
            &Ink {
                color: true,
                ..Ink::plain()
            },
        );
        assert!(painted.contains("\u{1b}[31mfailed\u{1b}[0m  1"), "{painted:?}");
    }

    #[test]
    fn long_tables_end_in_time() {
        let mut table = Table::new(&[("n", Align::Right)]);
        for number in 0..ROWS_MAX + 188 {
            table.row([number.to_string().into()]);
        }
        let text = table.render(0, &Ink::plain());
        assert_eq!(text.lines().count(), ROWS_MAX + 2);
        assert!(text.ends_with("… and 188 more (--json shows all)\n"));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(count(1, "row", "rows"), "1 row");
        assert_eq!(count(2, "row", "rows"), "2 rows");
    }
}
