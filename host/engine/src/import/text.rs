//! From the bytes of a file to text, in the encoding the policy declares.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};

/// Most bytes of one file: it is read in one piece. 1 GiB holds about five million people.
pub const FILE_BYTES_MAX: usize = 1 << 30;
/// How much of a file is looked at to tell what it is.
const SNIFF_BYTES: usize = 4_096;

/// A file as text.
#[derive(Debug)]
pub(super) struct Text<'a> {
    /// Without the byte-order mark. Bytes that could not be decoded are U+FFFD.
    pub(super) text: Cow<'a, str>,
    /// Some bytes could not be decoded.
    pub(super) damaged: bool,
}

/// Decodes a file. The error says why the whole file cannot be read and what to do.
pub(super) fn decode<'a>(bytes: &'a [u8], label: &str) -> Result<Text<'a>, String> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!(
            "the file has {} bytes; at most {FILE_BYTES_MAX} are read. Split it.",
            bytes.len()
        ));
    }
    let declared = Encoding::for_label(label.trim().as_bytes())
        .ok_or_else(|| format!("the policy names an unknown encoding, `{label}`"))?;
    let bytes = without_mark(bytes, declared, label)?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("the file is empty. Nobody is ended by an empty file.".to_owned());
    }
    not_another_format(bytes, declared)?;
    if declared == UTF_8 {
        return Ok(match std::str::from_utf8(bytes) {
            Ok(text) => Text {
                text: Cow::Borrowed(text),
                damaged: false,
            },
            Err(_) => Text {
                text: String::from_utf8_lossy(bytes),
                damaged: true,
            },
        });
    }
    let (text, damaged) = declared.decode_without_bom_handling(bytes);
    Ok(Text { text, damaged })
}

/// Takes off a byte-order mark; one of another encoding than the declared one refuses the file.
fn without_mark<'a>(bytes: &'a [u8], declared: &'static Encoding, label: &str) -> Result<&'a [u8], String> {
    match Encoding::for_bom(bytes) {
        None => Ok(bytes),
        Some((marked, length)) if marked == declared => Ok(&bytes[length..]),
        Some((marked, _)) => Err(format!(
            "the file begins with the byte-order mark of {}, but the policy says encoding = \"{label}\". Export the file as \
             {label}, or change `encoding` of the source to \"{}\".",
            marked.name(),
            marked.name().to_ascii_lowercase()
        )),
    }
}

/// Tells the usual mistakes: a workbook or a PDF instead of CSV, UTF-16 without a mark.
fn not_another_format(bytes: &[u8], declared: &'static Encoding) -> Result<(), String> {
    if bytes.starts_with(b"PK\x03\x04") {
        return Err(
            "this is a ZIP archive (perhaps an .xlsx workbook), not CSV. Export it as CSV.".to_owned(),
        );
    }
    if bytes.starts_with(b"\xD0\xCF\x11\xE0") {
        return Err("this is an old .xls workbook, not CSV. Export it as CSV.".to_owned());
    }
    if bytes.starts_with(b"%PDF-") {
        return Err("this is a PDF, not CSV. Export it as CSV.".to_owned());
    }
    let head = &bytes[..bytes.len().min(SNIFF_BYTES)];
    let nuls = head.iter().filter(|byte| **byte == 0).count();
    // Every other byte of Western text in UTF-16 is zero; a quarter leaves room for other scripts.
    if declared.is_ascii_compatible() && nuls * 4 > head.len() {
        return Err(format!(
            "the file looks like UTF-16 (many zero bytes), but the policy says {}. Export it as {0}, or change `encoding` of \
             the source to \"utf-16le\".",
            declared.name().to_ascii_lowercase()
        ));
    }
    Ok(())
}

/// The lines, from 1, on which rows start that begin at these ascending offsets. Blank lines before a row are not the row's.
pub(super) fn lines_of(text: &str, offsets: &[u64]) -> Vec<u64> {
    let bytes = text.as_bytes();
    let (mut line, mut at) = (1, 0);
    offsets
        .iter()
        .map(|offset| {
            let mut start = usize::try_from(*offset).unwrap_or(usize::MAX).min(bytes.len());
            while start < bytes.len() && matches!(bytes[start], b'\r' | b'\n') {
                start += 1;
            }
            while at < start {
                // A line ends with LF, CRLF, or a CR alone.
                let ends = bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
                line += u64::from(ends);
                at += 1;
            }
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_taken_off_and_wrong_ones_refuse_the_file() {
        assert_eq!(decode(b"\xEF\xBB\xBFa,b", "utf-8").unwrap().text, "a,b");
        assert_eq!(decode(b"\xFF\xFEa\0,\0", "utf-16le").unwrap().text, "a,");
        assert_eq!(decode(b"M\xFCller", "windows-1252").unwrap().text, "Müller");
        let damaged = decode(b"M\xFCller", "utf-8").unwrap();
        assert!(damaged.damaged && damaged.text == "M\u{FFFD}ller");
        for (bytes, label) in [
            (b"\xFF\xFEa\0".as_slice(), "utf-8"),
            (b"\xEF\xBB\xBFa", "windows-1252"),
            (b"a\0,\0b\0\n\0", "utf-8"),
            (b"PK\x03\x04rest", "utf-8"),
            (b"", "utf-8"),
            (b" \r\n", "utf-8"),
            (b"\xEF\xBB\xBF", "utf-8"),
            (b"a", "klingon"),
        ] {
            assert!(decode(bytes, label).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn lines_are_counted_as_people_count_them() {
        let text = "h\r\na\n\nb\rc\r\n\r\nd";
        let offset = |c: char| u64::try_from(text.find(c).unwrap()).unwrap();
        assert_eq!(
            lines_of(text, &[0, offset('a'), offset('b'), offset('c'), offset('d')]),
            [1, 2, 4, 5, 7]
        );
        // An offset that points at the blank lines before the row gives the row's line.
        assert_eq!(lines_of(text, &[offset('a') + 1]), [4]);
    }
}
