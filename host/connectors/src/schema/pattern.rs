//! The `pattern` of a hostile schema. Linear time is not enough: a pattern of one line can stand for a machine of a hundred
//! thousand states, each of which costs time for every byte of a long text. So both are capped.

use std::panic::AssertUnwindSafe;

use jsonschema::paths::Location;
use jsonschema::{Keyword, ValidationError};
use jsonschema_regex::to_rust_regex;
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use crate::guest_text::line_of;

/// Largest compiled pattern, in bytes: an e-mail address written with `{1,64}` and `{1,255}` has 40 KiB. Sixteen times as much takes
/// seconds on a text of 16 KiB.
pub(super) const COMPILED_BYTES_MAX: usize = 64 * 1024;
/// What all patterns of a schema may cost together; see [`cost`].
pub(super) const COST_MAX: usize = 512 * 1024;
/// Longest pattern as it is written, in bytes.
const WRITTEN_BYTES_MAX: usize = 4 * 1024;
/// Longest text a pattern is tried on, in bytes: names, addresses and numbers have patterns, certificates and photos do not.
const TEXT_BYTES_MAX: usize = 4 * 1024;
/// Smallest size that is told apart, in bytes.
const COST_MIN: usize = 1024;

/// JSON Schema writes patterns as ECMA-262 does: `\d`, say, stands for ASCII digits.
fn compile(pattern: &str, bytes_max: usize) -> Result<Regex, regex::Error> {
    let pattern = to_rust_regex(pattern)
        .map_err(|()| regex::Error::Syntax("it is not a pattern this host takes".to_owned()))?;
    RegexBuilder::new(&pattern).size_limit(bytes_max).build()
}

/// What a pattern costs, in bytes of its compiled form, rounded up to a power of two.
pub(super) fn cost(pattern: &str) -> Result<usize, String> {
    if pattern.len() > WRITTEN_BYTES_MAX {
        return Err(format!(
            "a pattern of {} bytes; at most {WRITTEN_BYTES_MAX} are accepted",
            pattern.len()
        ));
    }
    let mut bytes = COST_MIN;
    loop {
        match compile(pattern, bytes) {
            Ok(_) => return Ok(bytes),
            Err(regex::Error::CompiledTooBig(_)) if bytes < COMPILED_BYTES_MAX => bytes *= 2,
            Err(regex::Error::CompiledTooBig(_)) => {
                return Err(format!(
                    "the pattern `{}` stands for more than {COMPILED_BYTES_MAX} bytes",
                    line_of(pattern, 100)
                ));
            }
            Err(error) => {
                // The library shows the place on lines of its own.
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default().to_owned();
                return Err(line_of(&format!("the pattern `{pattern}`: {why}"), 300));
            }
        }
    }
}

/// `pattern`, with a cap on the text.
struct Pattern(Regex);

/// Makes the keyword.
pub(super) fn keyword<'s>(
    _schema: &'s Map<String, Value>,
    value: &'s Value,
    _place: Location,
) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'s>> {
    let Some(pattern) = value.as_str() else {
        return Err(ValidationError::custom("`pattern` must be a text"));
    };
    match compile(pattern, COMPILED_BYTES_MAX) {
        Ok(regex) => Ok(Box::new(Pattern(regex))),
        Err(_) => Err(ValidationError::custom(
            "`pattern` is not a pattern this host takes",
        )),
    }
}

impl Pattern {
    fn objection(&self, value: &Value) -> Option<String> {
        let text = value.as_str()?;
        if text.len() > TEXT_BYTES_MAX {
            return Some(format!(
                "this value has {} bytes; `pattern` is tried on at most {TEXT_BYTES_MAX}",
                text.len()
            ));
        }
        // The library has panicked on odd patterns before; a panic must not cost more than this check.
        let matches = std::panic::catch_unwind(AssertUnwindSafe(|| self.0.is_match(text)));
        match matches {
            Ok(true) => None,
            Ok(false) => Some(format!(
                "this value does not match the pattern `{}`",
                self.0.as_str()
            )),
            Err(_) => Some("`pattern` could not be tried on this value".to_owned()),
        }
    }
}

impl<'i> Keyword<'i> for Pattern {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        self.objection(instance)
            .map_or(Ok(()), |why| Err(ValidationError::custom(why)))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.objection(instance).is_none()
    }
}
