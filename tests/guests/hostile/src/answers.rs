//! Answers what the contract does not allow, or what somebody might be fooled by.

use serde_json::Value;

use crate::bindings::usher::connector::types::{Account, CallError, Effect, ErrorKind};
use crate::{Outcome, account, error, number, text};

pub(crate) fn run(behaviour: &str, settings: &Value, subject: &str) -> Outcome {
    let with_attributes = |attributes: &str| Account {
        attributes: attributes.to_owned(),
        ..account("1")
    };
    let answer = match behaviour {
        "giant-return" => account("x".repeat(40 * 1024 * 1024)),
        "giant-attributes" => with_attributes(&format!("{{\"a\":\"{}\"}}", "x".repeat(2 * 1024 * 1024))),
        "deep-attributes" => with_attributes(&format!("{{\"a\":{}{}}}", "[".repeat(60), "]".repeat(60))),
        "many-values" => with_attributes(&format!("{{\"a\":[0{}]}}", ",0".repeat(400_000))),
        "no-json" => with_attributes("not JSON"),
        "attributes" => with_attributes(text(settings, "attributes")),
        "no-utf-8" => account(no_utf_8()),
        "no-utf-8-attributes" => with_attributes(&format!("{{\"a\":\"{}\"}}", no_utf_8())),
        "no-utf-8-error" => return Some(Err(error(ErrorKind::Conflict, Effect::None, no_utf_8()))),
        "long-id" => account("x".repeat(2_000)),
        "empty-id" => account(""),
        "id" => account(text(settings, "id")),
        "another-account" => account(format!("{subject}-of-somebody-else")),
        "long-version" => Account {
            version: Some("v".repeat(2_000)),
            ..account("1")
        },
        "rude-message" => {
            return Some(Err(error(
                ErrorKind::Other("x".repeat(500)),
                Effect::None,
                format!("\u{1b}[2J{}", "y".repeat(10_000)),
            )));
        }
        "error" => return Some(Err(told(settings))),
        _ => return None,
    };
    Some(Ok(answer))
}

/// An error as the settings say.
fn told(settings: &Value) -> CallError {
    CallError {
        retry_after_ms: settings["retry-after-ms"].as_u64(),
        existing_id: settings["existing-id"].as_str().map(str::to_owned),
        ..error(
            ErrorKind::Conflict,
            if number(settings, "applied") == 1 {
                Effect::Applied
            } else {
                Effect::None
            },
            text(settings, "message"),
        )
    }
}

/// Bytes that are no text, in the type for texts: what crosses to the host is memory and a length.
fn no_utf_8() -> String {
    // SAFETY: none; a guest can hand over any bytes. Nothing here looks at them as text.
    unsafe { String::from_utf8_unchecked(vec![b'a', 0xff, 0xc0, 0x80, 0xed, 0xa0, 0x80]) }
}
