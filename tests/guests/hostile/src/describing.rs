//! Lies about itself, never comes to an end, or describes what nobody should have to read.

use serde_json::Value;

use crate::bindings::usher::connector::types::{
    Call, CallError, CheckReport, CheckStep, Creation, Descriptor,
};
use crate::{computing, misbehave, number, settings, text};

const SETTINGS_SCHEMA: &str = r#"{"type":"object","properties":{"behaviour":{"type":"string"}}}"#;
const ACCOUNT_SCHEMA: &str =
    r#"{"type":"object","properties":{"login":{"type":"string","pattern":"^[a-z]+$"}},"required":["login"]}"#;

pub(crate) fn describe(given: Option<String>) -> Result<Descriptor, CallError> {
    let settings: Value = given
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    misbehave_while(text(&settings, "describing"));
    let or = |name: &str, usual: &str| settings[name].as_str().unwrap_or(usual).to_owned();
    let keys = number(&settings, "keys").max(1);
    Ok(Descriptor {
        name: match text(&settings, "describing") {
            "another-name-each-time" => format!("hostile-{}", wasip2::random::random::get_random_u64()),
            _ => or("name", "hostile"),
        },
        version: or("version", "0.1.0"),
        docs_url: settings["docs-url"].as_str().map(str::to_owned),
        settings_schema: or("settings-schema", SETTINGS_SCHEMA),
        capabilities: match number(&settings, "capabilities") {
            0 => vec!["disable".to_owned(), "fly".to_owned()],
            count => (0..count).map(|number| format!("c{number}")).collect(),
        },
        creation: match text(&settings, "creation") {
            "marker" => Creation::Marker,
            "client-id" => Creation::ClientId(text(&settings, "attribute").to_owned()),
            "none" => Creation::None,
            _ => Creation::UniqueKey((0..keys).map(key).collect()),
        },
    })
}

fn key(number: u64) -> String {
    if number == 0 {
        "login".to_owned()
    } else {
        format!("login{number}")
    }
}

pub(crate) fn account_schema(call: &Call) -> Result<String, CallError> {
    let settings = settings(call);
    misbehave_while(text(&settings, "telling-its-schema"));
    Ok(settings["account-schema"]
        .as_str()
        .unwrap_or(ACCOUNT_SCHEMA)
        .to_owned())
}

fn misbehave_while(how: &str) {
    match how {
        "endless" => computing::endless_loop(),
        "sleep" => {
            computing::sleep();
        }
        "trap" => panic!("as told"),
        _ => {}
    }
}

pub(crate) fn check(call: &Call) -> Result<CheckReport, CallError> {
    let settings = settings(call);
    let step = |number: u64| CheckStep {
        name: format!("step {number}"),
        ok: true,
        detail: text(&settings, "detail").to_owned(),
    };
    let tried = misbehave(call, "");
    if settings["swallow"] == true {
        // As many connectors do: what went wrong is told as one step, in words that say nothing.
        return Ok(CheckReport {
            steps: vec![CheckStep {
                name: "reach".to_owned(),
                ok: tried.is_ok(),
                detail: "error sending request".to_owned(),
            }],
            permissions: Vec::new(),
        });
    }
    tried.map(|_| CheckReport {
        steps: (0..number(&settings, "steps")).map(step).collect(),
        permissions: (0..number(&settings, "steps")).map(|n| n.to_string()).collect(),
    })
}
