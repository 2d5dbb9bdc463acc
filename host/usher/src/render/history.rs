//! The versions of a document, and what each changed in the text.

use jiff::Timestamp;
use serde::Serialize;
use similar::{ChangeTag, TextDiff};
use usher_lifecycle::cause::Actor;
use usher_store::Document;

use super::escape::{cut, safe};
use super::ink::{Ink, Style};
use super::table::count;

/// Most changed lines told of one version; more are counted.
const LINES_MAX: usize = 500;
/// Most changed lines shown of one version; `--json` has more.
const LINES_SHOWN_MAX: usize = 12;
/// Widest line shown, in columns.
const COLUMNS_MAX: usize = 110;

/// A version.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Version {
    pub(crate) version: i64,
    pub(crate) activated_at: Timestamp,
    pub(crate) activated_by: Option<Actor>,
    /// An earlier one of those listed with the very same text.
    pub(crate) same_as: Option<i64>,
    /// Lines that were not in the version before.
    pub(crate) lines_added: u64,
    /// Lines of the version before that are gone.
    pub(crate) lines_removed: u64,
    /// The first of them, in the order of the text.
    pub(crate) changes: Vec<LineChange>,
}

/// A changed line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct LineChange {
    /// `+` or `-`.
    pub(crate) sign: char,
    /// Its number: of a line that is gone, in the version before.
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// The first `limit` of these versions, newest first; each is compared with the one after it.
pub(crate) fn versions(documents: &[Document], limit: usize) -> Vec<Version> {
    let shown = documents.iter().enumerate().take(limit);
    shown
        .map(|(place, document)| {
            let earlier = documents.get(place + 1..).unwrap_or_default();
            let before = earlier.first().map_or("", |before| before.text.as_str());
            let same = earlier.iter().find(|one| one.text == document.text);
            compared(document, before, same.map(|one| one.version))
        })
        .collect()
}

fn compared(document: &Document, before: &str, same_as: Option<i64>) -> Version {
    let mut version = Version {
        version: document.version,
        activated_at: document.activated_at,
        activated_by: document.activated_by.clone(),
        same_as,
        lines_added: 0,
        lines_removed: 0,
        changes: Vec::new(),
    };
    let difference = TextDiff::from_lines(before, document.text.as_str());
    for change in difference.iter_all_changes() {
        let (sign, number) = match change.tag() {
            ChangeTag::Equal => continue,
            ChangeTag::Insert => ('+', change.new_index()),
            ChangeTag::Delete => ('-', change.old_index()),
        };
        match change.tag() {
            ChangeTag::Delete => version.lines_removed += 1,
            ChangeTag::Insert | ChangeTag::Equal => version.lines_added += 1,
        }
        if version.changes.len() < LINES_MAX {
            version.changes.push(LineChange {
                sign,
                line: number.map_or(0, |number| number + 1),
                text: change.value().trim_end_matches(['\n', '\r']).to_owned(),
            });
        }
    }
    version
}

/// The list as text.
pub(crate) fn history(versions: &[Version], ink: &Ink) -> String {
    let mut out = String::new();
    for version in versions {
        let by = version.activated_by.as_ref().map_or_else(
            || "by whom: see the audit".to_owned(),
            |actor| format!("by {}", safe(&actor.to_string())),
        );
        let title = ink.paint(Style::Bold, &format!("Version {}", version.version));
        out.push_str(&format!("{title}  {}  {by}", ink.time(version.activated_at)));
        out.push_str(&format!(
            "  {} added, {} removed\n",
            count(version.lines_added, "line", "lines"),
            version.lines_removed
        ));
        if let Some(same) = version.same_as {
            out.push_str(&format!("    the text of version {same} again\n"));
        }
        // The first version is all new.
        let is_first = version.version == 1;
        let shown = if is_first { 0 } else { LINES_SHOWN_MAX };
        for change in version.changes.iter().take(shown) {
            let style = if change.sign == '+' {
                Style::Good
            } else {
                Style::Bad
            };
            let text = cut(&safe(&change.text), COLUMNS_MAX);
            let line = format!("{} {:>4}  {text}", change.sign, change.line);
            out.push_str(&format!("    {}\n", ink.paint(style, line.trim_end())));
        }
        let all = version.lines_added + version.lines_removed;
        if !is_first && all > shown as u64 {
            let more = count(all - shown as u64, "more line", "more lines");
            out.push_str(&format!("    {}\n", ink.paint(Style::Dim, &format!("… {more}"))));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use usher_store::DocumentKind;

    use super::*;

    fn document(version: i64, text: &str, by: Option<&str>) -> Document {
        Document {
            kind: DocumentKind::Policy,
            version,
            text: text.to_owned(),
            resolved: serde_json::Value::Null,
            activated_at: Timestamp::from_second(1_772_000_000 + version).unwrap(),
            activated_by: by.map(|by| Actor::Person(by.to_owned())),
        }
    }

    #[test]
    fn each_version_says_who_when_and_what() {
        let many: String = (0..20).map(|n| format!("line{n} = {n}\n")).collect();
        let documents = [
            document(4, "a = 1\nb = 2\n", Some("ada")),
            document(3, &format!("a = 1\n{many}"), Some("bob\u{1b}[31m")),
            document(2, "a = 1\nb = 2\n", Some("ada")),
            document(1, "a = 0\nb = 2\n", None),
        ];
        let shown = versions(&documents, 4);
        assert_eq!(shown[0].same_as, Some(2));
        assert_eq!((shown[1].lines_added, shown[1].lines_removed), (20, 1));
        insta::assert_snapshot!(history(&shown, &Ink::plain()));
        // The oldest that is shown is compared with the one before it, too.
        let three = versions(&documents, 3);
        assert_eq!(
            (three.len(), three[2].lines_added, three[2].lines_removed),
            (3, 1, 1)
        );
    }
}
