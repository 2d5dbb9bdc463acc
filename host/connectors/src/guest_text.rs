//! Texts that come from a guest: capped, and safe to show.

/// Longest id, in bytes; the contract says so.
pub(crate) const ID_BYTES_MAX: usize = 1_024;
/// Longest message, name or detail kept, in bytes: a screenful. Longer ones are cut.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 * 1_024;
/// Longest cursor, in bytes: room for a signed continuation token.
pub(crate) const CURSOR_BYTES_MAX: usize = 4 * 1_024;
/// Longest version (ETag), in bytes.
pub(crate) const VERSION_BYTES_MAX: usize = 1_024;
/// Longest code of a connector's own, in bytes.
pub(crate) const CODE_BYTES_MAX: usize = 64;

/// One line for people: cut to [`MESSAGE_BYTES_MAX`], control characters escaped.
pub(crate) fn line(text: &str) -> String {
    line_of(text, MESSAGE_BYTES_MAX)
}

/// The same with another limit.
pub(crate) fn line_of(text: &str, bytes_max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(bytes_max));
    for character in text.chars() {
        let before = line.len();
        if shows(character) {
            line.push(character);
        } else {
            line.extend(character.escape_default());
        }
        if line.len() > bytes_max {
            line.truncate(before);
            line.push('…');
            break;
        }
    }
    line
}

/// Whether a character neither moves the cursor nor hides or reorders what stands beside it. Joiners (U+200C, U+200D) do neither, and
/// names in Persian and in Indic scripts need them.
fn shows(character: char) -> bool {
    !character.is_control()
        && !matches!(character,
            '\u{ad}'                        // soft hyphen: invisible
            | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'       // line and paragraph separator, bidi embeddings and overrides
            | '\u{2060}'..='\u{206f}'       // word joiner, invisible operators, bidi isolates, deprecated controls
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'     // tags: text nobody sees
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(line("a\u{1b}[31m\nb\u{202e}c"), "a\\u{1b}[31m\\nb\\u{202e}c");
    }

    #[test]
    fn what_nobody_sees_is_shown_and_names_in_every_script_stay() {
        let hidden = "a\u{ad}\u{200b}\u{2066}\u{feff}\u{e0041}\u{85}";
        assert_eq!(
            line(hidden),
            "a\\u{ad}\\u{200b}\\u{2066}\\u{feff}\\u{e0041}\\u{85}"
        );
        for name in [
            "Zoë Łukasz",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "王小明",
            "👩\u{200d}💻",
        ] {
            assert_eq!(line(name), name);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let cut = line_of(&"ä".repeat(100), 9);
        assert_eq!(cut, "ääää…");
    }
}
