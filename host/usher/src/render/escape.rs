//! Text of files, guests and targets, made harmless for a terminal.

use std::fmt::Write as _;

use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

/// Widest attribute value shown, in columns: a certificate or a photo must not fill the screen; `--json` shows all of it.
const VALUE_COLUMNS_MAX: usize = 80;

/// Longest message shown, in columns: a connector's message may be a whole HTML page.
const MESSAGE_COLUMNS_MAX: usize = 600;

/// The text with everything replaced that could move the cursor, change colours, reorder or hide text.
///
/// Joiners (U+200C, U+200D) stay: names in Persian and in Indic scripts need them.
pub(crate) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_dangerous(c) => {
                // Writing into a String cannot fail.
                let _ = write!(out, "{}", c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    out
}

/// Like [`safe`], but line breaks stay: for messages of our own that quote foreign text.
pub(crate) fn safe_lines(text: &str) -> String {
    text.split('\n').map(safe).collect::<Vec<_>>().join("\n")
}

fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}'                        // soft hyphen: invisible
            | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'       // line and paragraph separator, bidi embeddings and overrides
            | '\u{2060}'..='\u{206f}'       // word joiner, invisible operators, bidi isolates, deprecated controls
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'     // tags: text nobody sees
        )
}

/// The text cut to so many columns, with `…` when something was cut. Takes escaped text.
pub(crate) fn cut(text: &str, columns_max: usize) -> String {
    if text.width() <= columns_max {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut columns = 1; // the ellipsis
    for c in text.chars() {
        columns += unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if columns > columns_max {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// A message of a connector or a target, on one line.
pub(crate) fn message(text: &str) -> String {
    cut(&safe(text), MESSAGE_COLUMNS_MAX)
}

/// The same for a text of our own that may hold lines to paste, like a missing grant: its lines stay lines, each behind `indent`. What comes
/// from elsewhere has no line breaks any more when it stands in such a text.
pub(crate) fn message_lines(text: &str, indent: &str) -> String {
    let lines: Vec<_> = text.trim_end().split('\n').map(message).collect();
    lines.join(&format!("\n{indent}"))
}

/// An attribute value as people read it: plain words bare, other text in quotes, sets in brackets.
pub(crate) fn value(value: &Value) -> String {
    cut(&whole_value(value), VALUE_COLUMNS_MAX)
}

fn whole_value(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => word(text),
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(whole_value).collect::<Vec<_>>().join(", ")
        ),
        Value::Object(_) => safe(&value.to_string()),
    }
}

/// A text that needs no quotes stays bare; `none`, `true` and numbers are quoted so that they are not taken for the value.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '/' | ':' | '+');
    let ambiguous = matches!(text, "none" | "true" | "false") || text.parse::<f64>().is_ok();
    if !text.is_empty() && text.chars().all(plain) && !ambiguous {
        text.to_owned()
    } else {
        format!("\"{}\"", safe(text).replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        assert_eq!(safe("a\u{1b}[31mred\u{7}"), "a\\u{1b}[31mred\\u{7}");
        assert_eq!(safe("user\u{202e}gpj.exe"), "user\\u{202e}gpj.exe");
        assert_eq!(
            safe("two\nlines\r\tand\u{85}\u{9b}0m"),
            "two\\nlines\\r\\tand\\u{85}\\u{9b}0m"
        );
        assert_eq!(
            safe("\u{feff}x\u{2066}y\u{e0041}"),
            "\\u{feff}x\\u{2066}y\\u{e0041}"
        );
    }

    #[test]
    fn names_in_every_script_stay_as_they_are() {
        for name in [
            "Łukasz Żółć",
            "山田太郎",
            "علی‌رضا",
            "Ὀδυσσεύς",
            "நித்யா",
            "O'Brien-Smith",
            "👩‍🚀",
        ] {
            assert_eq!(safe(name), name);
        }
    }

    #[test]
    fn all_control_characters_are_replaced() {
        for c in (0..=0x10_ffff)
            .filter_map(char::from_u32)
            .filter(|c| c.is_control())
        {
            assert!(!safe(&c.to_string()).contains(c), "{:?}", c);
        }
    }

    #[test]
    fn values_read_like_words() {
        assert_eq!(
            value(&json!("ada.lovelace@example.org")),
            "ada.lovelace@example.org"
        );
        assert_eq!(value(&json!("Ada Lovelace")), "\"Ada Lovelace\"");
        assert_eq!(value(&json!("say \"hi\"")), "\"say \\\"hi\\\"\"");
        assert_eq!(value(&json!("42")), "\"42\"");
        assert_eq!(value(&json!(42)), "42");
        assert_eq!(value(&json!("")), "\"\"");
        assert_eq!(value(&json!("none")), "\"none\"");
        assert_eq!(value(&Value::Null), "none");
        assert_eq!(value(&json!(["a", "b c"])), "[a, \"b c\"]");
        assert_eq!(value(&json!({"x": "\u{1b}"})), r#"{"x":"\u001b"}"#);
    }

    #[test]
    fn long_values_are_cut_by_columns() {
        assert_eq!(cut("山田太郎", 5), "山田…");
        assert_eq!(cut("short", 5), "short");
        assert_eq!(value(&json!("x".repeat(500))).chars().count(), VALUE_COLUMNS_MAX);
    }
}
