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

/// Whether a character neither moves the cursor nor hides or reorders what stands beside it.
fn shows(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(line("a\u{1b}[31m\nb\u{202e}c"), "a\\u{1b}[31m\\nb\\u{202e}c");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let cut = line_of(&"ä".repeat(100), 9);
        assert_eq!(cut, "ääää…");
    }
}
