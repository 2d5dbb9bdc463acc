//! Finds secrets in answers, so that none can be read back from a server that repeats what it was sent.
//!
//! Found, whatever the letters' case: the secret as it is; with any of its characters percent-encoded (`+` for spaces); with any of them escaped as
//! in JSON; with the five characters of `escaped_for_html` escaped that way; in Base64 (both alphabets, wherever in the encoded text it
//! begins); in hexadecimal and in UTF-16, if it is not long. Not found: two encodings on top of each other or mixed, other ways to write a
//! character in HTML, Base64 broken into lines, and what a server does to it on purpose (compression, encryption, another order, pieces in
//! several headers or answers). A server that plays together with a connector has the secret anyway: it was sent there.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use percent_encoding::percent_decode;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::secrets::SecretString;

/// Shortest secret that is looked for, in bytes: shorter ones stand in harmless answers by chance.
pub(crate) const SCANNED_BYTES_MIN: usize = 6;
/// From this size on, in bytes, a secret is not looked for in its rarest forms: the memory for them grows with the secret.
const LONG_SECRET_BYTES: usize = 1_024;
/// Secrets of one target that are looked for besides those in use: the ones in use last before.
const REMEMBERED_MAX: usize = 32;
/// Most bytes of all of these together: a token endpoint decides how long its tokens are and how soon they are replaced, and the search is
/// built anew for each.
const REMEMBERED_BYTES_MAX: usize = 32 * 1024;
/// Most bytes one byte can become in an escape (`\u0041`).
const ESCAPE_BYTES_MAX: usize = 6;

/// The secrets of one target, as they are met. What was replaced is remembered a while: a server may still know it.
#[derive(Default)]
pub(crate) struct KnownSecrets(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// The latest first.
    secrets: Vec<SecretString>,
    /// Of all these secrets; nothing while there is none for them yet.
    scanner: Option<Arc<Scanner>>,
}

/// Answers cannot be searched for the target's secrets, so none may be asked for.
#[derive(Debug, thiserror::Error)]
#[error("answers cannot be searched for the target's secrets: {0}")]
pub(crate) struct Unsearchable(String);

impl KnownSecrets {
    /// What to look for in the answer to a request that is made with these secrets; nothing when no secret is long enough.
    pub(crate) async fn scanner(
        &self,
        secrets: &[SecretString],
    ) -> Result<Option<Arc<Scanner>>, Unsearchable> {
        let mut live: Vec<SecretString> = Vec::new();
        for secret in secrets {
            if secret.expose().len() >= SCANNED_BYTES_MIN && !holds(&live, secret) {
                live.push(secret.clone());
            }
        }
        let mut known = Arc::clone(&self.0).lock_owned().await;
        known.meet(live);
        if known.scanner.is_some() || known.secrets.is_empty() {
            return Ok(known.scanner.clone());
        }
        // Not on a thread that others wait for. One at a time for a target: the lock goes along, also when nobody waits any more.
        let building = tokio::task::spawn_blocking(move || {
            let built = Arc::new(Scanner::new(known.secrets.iter())?);
            known.scanner = Some(Arc::clone(&built));
            Ok(Some(built))
        });
        building
            .await
            .unwrap_or_else(|error| Err(Unsearchable(error.to_string())))
    }
}

impl Known {
    /// Takes note of what is in use now. Only what is not gives way, and of that what has not been for longest.
    fn meet(&mut self, live: Vec<SecretString>) {
        if live.iter().any(|secret| !holds(&self.secrets, secret)) {
            // Built once for each secret, not for each answer.
            self.scanner = None;
        }
        let mut bytes = 0;
        let before = std::mem::take(&mut self.secrets).into_iter();
        let old: Vec<SecretString> = before
            .filter(|secret| !holds(&live, secret))
            .take(REMEMBERED_MAX)
            .take_while(|secret| {
                bytes += secret.expose().len();
                bytes <= REMEMBERED_BYTES_MAX
            })
            .collect();
        self.secrets = live.into_iter().chain(old).collect();
    }
}

fn holds(secrets: &[SecretString], secret: &SecretString) -> bool {
    secrets.iter().any(|one| one.expose() == secret.expose())
}

/// Looks for secrets in bytes.
pub(crate) struct Scanner {
    automaton: AhoCorasick,
    /// Bytes in which the longest form of a secret can be written: what must be seen together.
    reach: usize,
}

impl Scanner {
    fn new<'s>(secrets: impl Iterator<Item = &'s SecretString>) -> Result<Self, Unsearchable> {
        let forms: Vec<Zeroizing<Vec<u8>>> = secrets.flat_map(|secret| forms_of(secret.expose())).collect();
        let longest = forms.iter().map(|form| form.len()).max().unwrap_or(0);
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            // The others take some hundred bytes of memory for each byte of a secret.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(forms.iter().map(|form| form.as_slice()))
            .map_err(|error| Unsearchable(error.to_string()))?;
        Ok(Self {
            automaton,
            reach: (longest + 1) * ESCAPE_BYTES_MAX,
        })
    }

    /// How many bytes must be held back, so that no secret that goes on in the next piece has begun to leave.
    pub(crate) fn reach(&self) -> usize {
        self.reach
    }

    /// Whether bytes hold a secret in any form.
    pub(crate) fn finds_in(&self, bytes: &[u8]) -> bool {
        let held = |bytes: &[u8]| self.automaton.is_match(bytes);
        held(bytes)
            || (bytes.contains(&b'%') && held(&percent_decode(bytes).collect::<Vec<u8>>()))
            || (bytes.contains(&b'\\') && held(&without_escapes(bytes)))
    }

    /// Whether the head of an answer, or its trailers, hold a secret.
    pub(crate) fn finds_in_headers(&self, headers: &HeaderMap) -> bool {
        headers
            .iter()
            .any(|(name, value)| self.finds_in(name.as_str().as_bytes()) || self.finds_in(value.as_bytes()))
    }
}

/// The forms that are looked for as they are. Case is of no matter.
fn forms_of(secret: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let bytes = secret.as_bytes();
    let mut forms = vec![Zeroizing::new(bytes.to_vec())];
    if secret.contains(' ') {
        forms.push(Zeroizing::new(secret.replace(' ', "+").into_bytes()));
    }
    let html = escaped_for_html(secret);
    if html.as_bytes() != bytes {
        forms.push(Zeroizing::new(html.as_bytes().to_vec()));
    }
    for before in 0..3 {
        forms.push(in_base64(bytes, before, &STANDARD_NO_PAD));
        forms.push(in_base64(bytes, before, &URL_SAFE_NO_PAD));
    }
    if bytes.len() <= LONG_SECRET_BYTES {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        forms.push(Zeroizing::new(hex.into_bytes()));
        forms.push(Zeroizing::new(
            secret.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ));
        forms.push(Zeroizing::new(
            secret.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        ));
    }
    forms
}

/// The part of the Base64 text that is the same whatever stands behind the secret, when `before` bytes (modulo 3) stand before it.
fn in_base64(secret: &[u8], before: usize, alphabet: &impl base64::Engine) -> Zeroizing<Vec<u8>> {
    let mut padded = Zeroizing::new(vec![0; before]);
    padded.extend_from_slice(secret);
    let text = Zeroizing::new(alphabet.encode(padded.as_slice()).into_bytes());
    let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    Zeroizing::new(text[first..end].to_vec())
}

fn escaped_for_html(text: &str) -> Zeroizing<String> {
    let mut escaped = Zeroizing::new(String::with_capacity(text.len()));
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// JSON's escapes undone, wherever they stand; what is none stays as it is.
fn without_escapes(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (character, length) = match rest {
            [b'\\', b'u', ..] => match code_point(rest) {
                Some(found) => found,
                None => (char::from(b'\\'), 1),
            },
            [b'\\', short, ..] => (unescaped(*short), 2),
            _ => {
                plain.push(rest[0]);
                at += 1;
                continue;
            }
        };
        plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        at += length;
    }
    plain
}

fn unescaped(short: u8) -> char {
    match short {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        other => char::from(other),
    }
}

/// What `\uXXXX`, or a pair of surrogates in that form, stands for, and how many bytes it takes.
fn code_point(escape: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = escape.get(at..at + 6)?;
        let digits = std::str::from_utf8(digits).ok()?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(0)?;
    if let Some(character) = char::from_u32(u32::from(first)) {
        return Some((character, 6));
    }
    let mut pair = char::decode_utf16([first, unit(6)?]);
    Some((pair.next()?.ok()?, 12))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    const SECRET: &str = "p\"ss/wörd &<x>";

    async fn scanner(secret: &str) -> Arc<Scanner> {
        scanner_of(&KnownSecrets::default(), &[SecretString::new(secret)]).await
    }

    async fn scanner_of(known: &KnownSecrets, secrets: &[SecretString]) -> Arc<Scanner> {
        known.scanner(secrets).await.unwrap().unwrap()
    }

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("{byte:02X}")).collect()
    }

    #[tokio::test]
    async fn a_secret_is_found_in_every_form_that_is_promised() {
        let scanner = scanner(SECRET).await;
        let every_byte_percent: String = SECRET.bytes().map(|b| format!("%{b:02x}")).collect();
        let every_unit_json: String = SECRET
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04X}"))
            .collect();
        let mut texts = vec![
            SECRET.to_owned(),
            SECRET.to_ascii_uppercase(),
            serde_json::to_string(SECRET).unwrap(),
            every_unit_json,
            every_byte_percent,
            percent_encoding::utf8_percent_encode(SECRET, percent_encoding::NON_ALPHANUMERIC).to_string(),
            SECRET.replace(' ', "+"),
            "p%22ss%2Fw%c3%B6rd+%26%3cx%3E".to_owned(),
            "p\\\"ss\\/w\\u00f6rd \\u0026<x>".to_owned(),
            "p&quot;ss/wörd &amp;&lt;x&gt;".to_owned(),
            hex(SECRET),
            hex(SECRET).to_lowercase(),
        ];
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "x", "yz"] {
                let whole = format!("{before}{SECRET}{after}");
                texts.push(STANDARD_NO_PAD.encode(&whole));
                texts.push(URL_SAFE_NO_PAD.encode(&whole));
                texts.push(base64::engine::general_purpose::STANDARD.encode(&whole));
            }
        }
        for text in texts {
            assert!(scanner.finds_in(text.as_bytes()), "{text}");
            assert!(
                scanner.finds_in(format!("before {text} behind").as_bytes()),
                "{text}"
            );
        }
        let utf16: Vec<u8> = SECRET.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(scanner.finds_in(&utf16));
    }

    #[tokio::test]
    async fn what_only_looks_like_it_is_let_through() {
        let scanner = scanner(SECRET).await;
        for text in [
            "p\"ss/wörd &<x",
            "\\",
            "\\u12",
            "\\ud800\\u0041",
            "%",
            "%zz",
            "",
            "\u{0}",
        ] {
            assert!(!scanner.finds_in(text.as_bytes()), "{text}");
        }
    }

    #[tokio::test]
    async fn a_surrogate_pair_is_one_character() {
        assert!(
            scanner("s3cret😀")
                .await
                .finds_in(b"\\u0073\\u0033cret\\ud83d\\ude00")
        );
    }

    #[tokio::test]
    async fn short_secrets_are_not_looked_for_and_old_ones_are_for_a_while() {
        let known = KnownSecrets::default();
        assert!(
            known
                .scanner(&[SecretString::new("12345")])
                .await
                .unwrap()
                .is_none()
        );
        let first = scanner_of(&known, &[SecretString::new("first-secret")]).await;
        let again = scanner_of(&known, &[SecretString::new("first-secret")]).await;
        assert!(Arc::ptr_eq(&first, &again), "built once");
        let second = scanner_of(&known, &[SecretString::new("second-secret")]).await;
        assert!(second.finds_in(b"first-secret") && second.finds_in(b"second-secret"));
    }

    #[tokio::test]
    async fn no_secret_in_use_gives_way_to_another() {
        let secret = |name: &str, number: usize| SecretString::new(format!("{name}-{number:04}"));
        // More in use at once than are remembered.
        let live: Vec<_> = (0..REMEMBERED_MAX + 8)
            .map(|number| secret("live", number))
            .collect();
        let known = KnownSecrets::default();
        let scanner = scanner_of(&known, &live).await;
        for one in &live {
            assert!(scanner.finds_in(one.expose().as_bytes()), "{}", one.expose());
        }
        assert!(
            Arc::ptr_eq(&scanner, &scanner_of(&known, &live).await),
            "built once"
        );
        // Others are renewed again and again; the old one at the end of the list is in use all the time.
        let known = KnownSecrets::default();
        let old = SecretString::new("in-use-all-the-time");
        for number in 0..REMEMBERED_MAX * 3 {
            let token = secret("token", number);
            let scanner = scanner_of(&known, &[old.clone(), token.clone()]).await;
            assert!(scanner.finds_in(old.expose().as_bytes()), "after {number}");
            assert!(scanner.finds_in(token.expose().as_bytes()), "{number}");
            let last = number.saturating_sub(REMEMBERED_MAX);
            assert!(scanner.finds_in(secret("token", last).expose().as_bytes()));
        }
        let scanner = scanner_of(&known, &[old]).await;
        assert!(!scanner.finds_in(b"token-0000"), "forgotten in time");
    }

    #[tokio::test]
    async fn headers_are_looked_through() {
        let scanner = scanner("hunter2!").await;
        let mut headers = HeaderMap::new();
        headers.insert("x-a", "nothing".parse().unwrap());
        assert!(!scanner.finds_in_headers(&headers));
        headers.insert("set-cookie", "k=hunter2%21".parse().unwrap());
        assert!(scanner.finds_in_headers(&headers));
    }

    #[tokio::test]
    async fn what_is_remembered_is_little_however_long_the_tokens_are() {
        let known = KnownSecrets::default();
        let token =
            |number: usize| SecretString::new(format!("{number:04}").repeat(REMEMBERED_BYTES_MAX / 8));
        for number in 0..8 {
            scanner_of(&known, &[token(number)]).await;
        }
        let held: usize = known
            .0
            .lock()
            .await
            .secrets
            .iter()
            .map(|secret| secret.expose().len())
            .sum();
        assert_eq!(held, REMEMBERED_BYTES_MAX * 3 / 2, "the one in use and two more");
        let scanner = scanner_of(&known, &[token(8)]).await;
        for (number, is_found) in [(8, true), (7, true), (6, true), (5, false)] {
            let text = token(number);
            assert_eq!(scanner.finds_in(text.expose().as_bytes()), is_found, "{number}");
        }
    }

    #[tokio::test]
    async fn a_search_nobody_waits_for_any_more_is_there_for_the_next() {
        let known = KnownSecrets::default();
        let long = [SecretString::new("0123456789abcdef".repeat(1_024))];
        let given_up = tokio::time::timeout(std::time::Duration::ZERO, known.scanner(&long)).await;
        drop(given_up);
        assert!(
            scanner_of(&known, &long)
                .await
                .finds_in(long[0].expose().as_bytes())
        );
    }
}
