//! Reaches for the network and for databases, and goes on badly from there.

use serde_json::Value;

use crate::bindings::usher::connector::types::{CallError, Effect, ErrorKind};
use crate::bindings::usher::host::sql;
use crate::{Account, Outcome, account, computing, error, http, number, text};

/// Bytes of an answer that are told.
const TOLD_BYTES_MAX: usize = 900;

pub(crate) fn run(behaviour: &str, settings: &Value) -> Outcome {
    let found = match behaviour {
        "http" => told(http::request(settings)),
        "http-many" => {
            let count = number(settings, "count");
            let failed = (0..count).map(|_| http::request(settings)).find(Result::is_err);
            told(failed.unwrap_or(Ok((200, vec![]))))
        }
        "http-endless" => loop {
            let _ = http::request(settings);
        },
        "http-follow" => told(http::follow(settings)),
        "http-leave-open" => http::leave_open(settings),
        "http-half-sent" => http::half_sent(settings),
        "http-hoard" => http::hoard(settings),
        "sql-query" => {
            let found = sql::query(text(settings, "endpoint"), &statement(settings));
            found
                .map(|rows| format!("{:?}", rows.rows))
                .map_err(|error| format!("{error:?}"))
        }
        "sql-execute" => {
            let changed = sql::execute(text(settings, "endpoint"), &[statement(settings)]);
            changed
                .map(|changed| format!("{changed:?}"))
                .map_err(|error| format!("{error:?}"))
        }
        _ => return None,
    };
    Some(finish(found, text(settings, "then")))
}

fn statement(settings: &Value) -> sql::Statement {
    sql::Statement {
        sql: text(settings, "sql").to_owned(),
        parameters: vec![],
    }
}

fn told(answer: Result<(u16, Vec<u8>), String>) -> Result<String, String> {
    answer.map(|(status, body)| {
        let body = &body[..body.len().min(TOLD_BYTES_MAX)];
        format!("{status} {}", String::from_utf8_lossy(body))
    })
}

/// Ends a call that has reached something.
fn finish(reached: Result<String, String>, after: &str) -> Result<Account, CallError> {
    match after {
        "trap" => panic!("as told"),
        "loop" => computing::endless_loop(),
        "sleep" => Ok(account(computing::sleep())),
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
