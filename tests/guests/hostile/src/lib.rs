//! A connector that misbehaves. The settings say how: `behaviour`, and what that needs. Reads and writes misbehave alike, so that
//! tests can see what a failed write is said to have done.

#![allow(
    unsafe_code,
    reason = "generated: the canonical ABI of components is raw memory"
)]

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
    wit_bindgen::generate!({ path: "../../../wit", world: "everything", generate_all });
    use super::Hostile;
    export!(Hostile);
}
mod http;

use bindings::exports::usher::connector::{accounts, connector, entitlements};
use bindings::usher::connector::types::{
    Account, AccountPage, AccountStatus, AccountUpdate, Call, CallError, CheckReport, Creation, Descriptor,
    Effect, ErrorKind, FindQuery, Write,
};
use bindings::usher::host::log::{self, Level};
use bindings::usher::host::sql;
use entitlements::{EntitlementPage, Holding, HoldingPage};
use serde_json::Value;

struct Hostile;

fn account(id: impl Into<String>) -> Account {
    Account {
        id: id.into(),
        attributes: "{}".to_owned(),
        status: AccountStatus::Enabled,
        version: None,
        marker: None,
    }
}

fn error(kind: ErrorKind, effect: Effect, message: impl Into<String>) -> CallError {
    CallError {
        kind,
        effect,
        retry_after_ms: None,
        existing_id: None,
        message: message.into(),
    }
}

fn settings(call: &Call) -> Value {
    serde_json::from_str(&call.settings).unwrap_or_default()
}

/// Does what the settings say; what it finds out becomes the id of the account.
fn misbehave(call: &Call) -> Result<Account, CallError> {
    let settings = settings(call);
    let behaviour = settings["behaviour"].as_str().unwrap_or_default();
    let after = settings["then"].as_str().unwrap_or_default();
    match behaviour {
        "" => Ok(account("well-behaved")),
        "endless-loop" => endless_loop(),
        "endless-log" => loop {
            log::write(Level::Debug, "again");
        },
        "memory-bomb" => memory_bomb(),
        "trap" => panic!("as told"),
        "exit" => std::process::exit(1),
        "stack-overflow" => Ok(account(recurse(1).to_string())),
        "sleep" => {
            std::thread::sleep(std::time::Duration::from_secs(3_600));
            Ok(account("woke up"))
        }
        "giant-return" => Ok(account("x".repeat(40 * 1024 * 1024))),
        "giant-attributes" => Ok(Account {
            attributes: format!("{{\"a\":\"{}\"}}", "x".repeat(2 * 1024 * 1024)),
            ..account("1")
        }),
        "deep-attributes" => Ok(Account {
            attributes: format!("{{\"a\":{}{}}}", "[".repeat(60), "]".repeat(60)),
            ..account("1")
        }),
        "no-json" => Ok(Account {
            attributes: "not JSON".to_owned(),
            ..account("1")
        }),
        "long-id" => Ok(account("x".repeat(2_000))),
        "empty-id" => Ok(account("")),
        "rude-message" => Err(error(
            ErrorKind::Other("x".repeat(500)),
            Effect::None,
            format!("\u{1b}[2J{}", "y".repeat(10_000)),
        )),
        "log-flood" => {
            for _ in 0..10_000 {
                log::write(Level::Info, &format!("\u{1b}[31mflood\n{}", "z".repeat(10_000)));
            }
            Ok(account("flooded"))
        }
        "random-flood" => Ok(account(
            wasip2::random::random::get_random_bytes(1 << 30)
                .len()
                .to_string(),
        )),
        "handles" => {
            let pollables: Vec<_> = (0..1_000_000)
                .map(|_| wasip2::clocks::monotonic_clock::subscribe_duration(1))
                .collect();
            Ok(account(pollables.len().to_string()))
        }
        "surroundings" => Ok(account(format!(
            "arguments {} variables {} folders {}",
            std::env::args().count(),
            std::env::vars().count(),
            wasip2::filesystem::preopens::get_directories().len()
        ))),
        "read-file" => Ok(account(format!(
            "{:?}",
            std::fs::read("/etc/passwd").map(|bytes| bytes.len())
        ))),
        "socket" => Ok(account(format!(
            "{:?}",
            std::net::TcpStream::connect("127.0.0.1:80").map(|_| ())
        ))),
        "http" => reached(http::request(&settings), after),
        "http-many" => {
            let count = settings["count"].as_u64().unwrap_or_default();
            let failed = (0..count).map(|_| http::request(&settings)).find(Result::is_err);
            reached(failed.unwrap_or(Ok((200, vec![]))), after)
        }
        "sql-query" => {
            let found = sql::query(text(&settings, "endpoint"), &statement(&settings));
            finish(
                found
                    .map(|rows| format!("{:?}", rows.rows))
                    .map_err(|error| format!("{error:?}")),
                after,
            )
        }
        "sql-execute" => {
            let changed = sql::execute(text(&settings, "endpoint"), &[statement(&settings)]);
            finish(
                changed
                    .map(|changed| format!("{changed:?}"))
                    .map_err(|error| format!("{error:?}")),
                after,
            )
        }
        other => Err(error(
            ErrorKind::Misconfigured,
            Effect::None,
            format!("behaviour `{other}` is not known"),
        )),
    }
}

fn text<'a>(settings: &'a Value, name: &str) -> &'a str {
    settings[name].as_str().unwrap_or_default()
}

fn statement(settings: &Value) -> sql::Statement {
    sql::Statement {
        sql: text(settings, "sql").to_owned(),
        parameters: vec![],
    }
}

fn reached(answer: Result<(u16, Vec<u8>), String>, after: &str) -> Result<Account, CallError> {
    finish(
        answer.map(|(status, body)| {
            format!(
                "{status} {}",
                String::from_utf8_lossy(&body[..body.len().min(900)])
            )
        }),
        after,
    )
}

/// Ends a call that has reached something.
fn finish(reached: Result<String, String>, after: &str) -> Result<Account, CallError> {
    match after {
        "trap" => panic!("as told"),
        "loop" => endless_loop(),
        "sleep" => {
            std::thread::sleep(std::time::Duration::from_secs(3_600));
            Ok(account("woke up"))
        }
        "lie" => Err(error(
            ErrorKind::Unavailable,
            Effect::None,
            "something did not work",
        )),
        _ => reached
            .map(account)
            .map_err(|message| error(ErrorKind::Unavailable, Effect::None, message)),
    }
}

fn endless_loop() -> ! {
    let mut counter = 0_u64;
    loop {
        counter = std::hint::black_box(counter.wrapping_add(1));
    }
}

fn memory_bomb() -> ! {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(std::hint::black_box(vec![1; 1024 * 1024]));
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if frame[0] == u64::MAX {
        0
    } else {
        recurse(depth + 1) + std::hint::black_box(frame[1])
    }
}

impl connector::Guest for Hostile {
    fn describe(given: Option<String>) -> Result<Descriptor, CallError> {
        let settings: Value = given
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let or = |name: &str, usual: &str| settings[name].as_str().unwrap_or(usual).to_owned();
        Ok(Descriptor {
            name: or("name", "hostile"),
            version: or("version", "0.1.0"),
            docs_url: None,
            settings_schema: or(
                "settings-schema",
                r#"{"type":"object","properties":{"behaviour":{"type":"string"}}}"#,
            ),
            capabilities: vec!["disable".to_owned(), "fly".to_owned()],
            creation: Creation::UniqueKey(vec!["login".to_owned()]),
        })
    }

    fn check(call: Call) -> Result<CheckReport, CallError> {
        misbehave(&call).map(|_| CheckReport {
            steps: vec![],
            permissions: vec![],
        })
    }
}

impl accounts::Guest for Hostile {
    fn schema(call: Call) -> Result<String, CallError> {
        let usual = r#"{"type":"object","properties":{"login":{"type":"string","pattern":"^[a-z]+$"}},"required":["login"]}"#;
        Ok(settings(&call)["account-schema"]
            .as_str()
            .unwrap_or(usual)
            .to_owned())
    }

    fn create(call: Call, _write: Write, _attributes: String) -> Result<Account, CallError> {
        misbehave(&call)
    }

    fn update(call: Call, _write: Write, _id: String, update: AccountUpdate) -> Result<Account, CallError> {
        let changes: Vec<_> = update
            .changes
            .iter()
            .map(|c| format!("{} +{:?} -{:?} ={:?}", c.name, c.add, c.remove, c.replace))
            .collect();
        misbehave(&call).map(|_| account(format!("{changes:?} {} {:?}", update.desired, update.version)))
    }

    fn disable(call: Call, _write: Write, id: String) -> Result<Account, CallError> {
        misbehave(&call).map(|_| Account {
            status: AccountStatus::Disabled,
            ..account(id)
        })
    }

    fn enable(call: Call, _write: Write, id: String) -> Result<Account, CallError> {
        misbehave(&call).map(|_| account(id))
    }

    fn delete(call: Call, _write: Write, _id: String) -> Result<(), CallError> {
        misbehave(&call).map(|_| ())
    }

    fn get(call: Call, _id: String) -> Result<Option<Account>, CallError> {
        misbehave(&call).map(Some)
    }

    fn find(_call: Call, query: FindQuery) -> Result<Vec<Account>, CallError> {
        let count = match query {
            FindQuery::Marker(marker) => marker.len(),
            FindQuery::Unique(_) => 1,
        };
        Ok((0..count).map(|number| account(number.to_string())).collect())
    }

    fn list(call: Call, _cursor: Option<String>, limit: u32) -> Result<AccountPage, CallError> {
        let settings = settings(&call);
        let more = settings["more"].as_u64().unwrap_or_default();
        let next = settings["cursor-bytes"]
            .as_u64()
            .map(|bytes| "c".repeat(bytes as usize));
        Ok(AccountPage {
            accounts: (0..u64::from(limit) + more)
                .map(|number| account(number.to_string()))
                .collect(),
            next,
        })
    }
}

impl entitlements::Guest for Hostile {
    fn list(_call: Call, _cursor: Option<String>, _limit: u32) -> Result<EntitlementPage, CallError> {
        Ok(EntitlementPage {
            entitlements: vec![],
            next: None,
        })
    }

    fn members(
        _call: Call,
        entitlement: String,
        _cursor: Option<String>,
        _limit: u32,
    ) -> Result<HoldingPage, CallError> {
        let holding = Holding {
            account_id: "1".to_owned(),
            entitlement_id: entitlement,
            parameters: Some("[]".to_owned()),
        };
        Ok(HoldingPage {
            holdings: vec![holding],
            next: None,
        })
    }

    fn held(_call: Call, account: String) -> Result<Vec<Holding>, CallError> {
        let parameters = Some(r#"{"level":2}"#.to_owned());
        Ok(vec![Holding {
            account_id: account,
            entitlement_id: "staff".to_owned(),
            parameters,
        }])
    }

    fn grant(
        call: Call,
        _: Write,
        _account: String,
        _entitlement: String,
        _parameters: Option<String>,
    ) -> Result<(), CallError> {
        misbehave(&call).map(|_| ())
    }

    fn revoke(call: Call, _: Write, _account: String, _entitlement: String) -> Result<(), CallError> {
        misbehave(&call).map(|_| ())
    }
}
