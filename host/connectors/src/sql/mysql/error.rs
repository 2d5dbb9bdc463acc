//! The errors of MySQL and MariaDB, sorted by what the connector can do about them. Their messages hold values freely, so those that
//! do are told in other words.

use mysql_async::{DriverError, Error, IoError, ServerError};

use crate::sql::error::without_values;
use crate::sql::target_server::{Server, tls_error};
use crate::sql::{SqlError, SqlErrorKind, SqlValue};

/// Why no connection came about: what the operator must change is told, what may pass is not a fault of anybody.
pub(super) fn connecting(server: &Server, error: &Error) -> SqlError {
    let user = &server.grant.user;
    match error {
        Error::Server(said) => match said.code {
            1045 | 1698 | 1044 | 4151 | 3118 | 1820 | 1862 => server.refused(&format!(
                "it does not let `{user}` in ({}); look at the password, the account and its host",
                said.message
            )),
            1049 => server.refused("there is no such database"),
            code => server.unreachable(&format!("{} ({code})", said.message)),
        },
        Error::Driver(DriverError::NoClientSslFlagFromServer) => server.refused(
            "the server offers no TLS; if that is how it should be, add `tls = \"off\"` beside `host`",
        ),
        Error::Driver(
            DriverError::UnknownAuthPlugin { .. }
            | DriverError::CleartextPluginDisabled
            | DriverError::MysqlOldPasswordDisabled,
        ) => server.refused(&error.to_string()),
        Error::Io(_) | Error::Driver(_) | Error::Other(_) | Error::Url(_) => match tls_error(error) {
            Some(why) => server.refused(&format!("TLS: {why}")),
            None if matches!(error, Error::Io(IoError::Tls(_))) => server.refused(&format!("TLS: {error}")),
            None => server.unreachable(&error.to_string()),
        },
    }
}

/// What became of a statement.
pub(super) fn running(error: &Error, parameters: &[SqlValue]) -> SqlError {
    match error {
        Error::Server(said) => said_by_the_server(said, parameters),
        Error::Driver(DriverError::PacketTooLarge) => SqlError::too_much(),
        // The library's codec says it in words only; a test holds them.
        Error::Io(IoError::Io(error)) if error.to_string().contains("larger than max_allowed_packet") => {
            SqlError::too_much()
        }
        // No text of theirs: some hold what was received.
        Error::Io(_) | Error::Driver(_) | Error::Other(_) | Error::Url(_) => {
            SqlError::new(SqlErrorKind::Unavailable, "the connection to the database broke")
        }
    }
}

/// Whether an error of COMMIT says that nothing was committed: a deadlock, or a certification that failed in a cluster.
pub(super) fn is_rolled_back(error: &Error) -> bool {
    matches!(error, Error::Server(said) if matches!(said.code, 1213 | 1205))
}

/// The server has rolled back the whole transaction by itself: after a deadlock, where a row was changed meanwhile, where it has no memory for
/// more locks, and, if it is set up so, after waiting too long for a lock.
pub(super) fn has_rolled_back(error: &Error, on_timeout: bool) -> bool {
    matches!(error, Error::Server(said) if matches!(said.code, 1213 | 1020 | 1206) || (said.code == 1205 && on_timeout))
}

/// What was to be stopped has ended by itself.
pub(super) fn is_unknown_thread(error: &Error) -> bool {
    matches!(error, Error::Server(said) if said.code == 1094)
}

fn said_by_the_server(said: &ServerError, parameters: &[SqlValue]) -> SqlError {
    let code = said.code;
    let kind = kind(code);
    if kind == SqlErrorKind::LimitExceeded && matches!(code, 1317 | 1969 | 3024) {
        return SqlError::late();
    }
    let message = match code {
        // "Duplicate entry 'value' for key 'name'".
        1062 | 1586 => format!("a duplicate entry{}", after(&said.message, " for key ")),
        // "Incorrect integer value: 'value' for column 'name' at row 1", and the like.
        1264 | 1265 | 1292 | 1366 | 1406 | 1411 | 1690 | 3140 | 4025 => {
            let column = [" for column ", " of column ", " CONSTRAINT "];
            let named = column
                .iter()
                .map(|mark| after(&said.message, mark))
                .find(|text| !text.is_empty());
            format!("a value does not fit{} ({code})", named.unwrap_or_default())
        }
        _ => without_values(&said.message, parameters),
    };
    SqlError::new(kind, message)
}

/// A message from its last mark on: what the database itself names stands there, behind any value.
fn after<'a>(message: &'a str, mark: &str) -> &'a str {
    message.rfind(mark).map_or("", |at| &message[at..])
}

fn kind(code: u16) -> SqlErrorKind {
    match code {
        // Deadlock, waiting too long for a lock, too many locks, and a row that was changed meanwhile (snapshot isolation).
        1205 | 1206 | 1213 | 1020 | 3572 => SqlErrorKind::Busy,
        // Unique, not null, foreign keys, check; values that do not fit; SIGNAL of an application's own trigger.
        1048 | 1062 | 1169 | 1216 | 1217 | 1364 | 1451 | 1452 | 1557 | 1586 | 3819 | 4025 | 1264 | 1265
        | 1292 | 1366 | 1367 | 1406 | 1411 | 1690 | 1644 | 3140 => SqlErrorKind::Constraint,
        // Rights.
        1044 | 1045 | 1142 | 1143 | 1227 | 1290 | 1370 | 1410 => SqlErrorKind::Forbidden,
        // A statement that changes rows in a transaction that only reads.
        1792 => SqlErrorKind::InvalidStatement,
        // Syntax, unknown tables, columns and functions, wrong counts, what cannot be prepared.
        1046 | 1047 | 1051 | 1052 | 1054 | 1055 | 1064 | 1065 | 1066 | 1109 | 1110 | 1111 | 1136 | 1146
        | 1149 | 1210 | 1222 | 1235 | 1241 | 1242 | 1271 | 1295 | 1305 | 1318 | 1327 | 1356 | 1442 | 1582 => {
            SqlErrorKind::InvalidStatement
        }
        // Interrupted, or later than max_statement_time and max_execution_time allow.
        1317 | 1969 | 3024 | 1104 | 1118 | 1153 | 1162 | 1301 | 1390 => SqlErrorKind::LimitExceeded,
        // Shutting down, too many connections, full, crashed tables, killed, a read-only server.
        1053
        | 1040
        | 1203
        | 1226
        | 1021
        | 1030
        | 1034
        | 1114
        | 1194
        | 1195
        | 1836
        | 1927
        | 3169
        | 1158..=1161 => SqlErrorKind::Unavailable,
        code => SqlErrorKind::Other(format!("mysql-{code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u16, message: &str, values: &[SqlValue]) -> SqlError {
        let said = ServerError {
            code,
            message: message.to_owned(),
            state: String::new(),
        };
        running(&Error::Server(said), values)
    }

    #[test]
    fn messages_hold_no_values() {
        let mei = [SqlValue::Text("mei' for key 'x".to_owned())];
        let duplicate = said(
            1062,
            "Duplicate entry 'mei' for key 'x' for key 'users.login'",
            &mei,
        );
        assert_eq!(duplicate.message, "a duplicate entry for key 'users.login'");
        assert_eq!(duplicate.kind, SqlErrorKind::Constraint);
        let wrong = said(
            1366,
            "Incorrect integer value: 'secret' for column `a`.`b`.`c` at row 1",
            &[],
        );
        assert_eq!(
            wrong.message,
            "a value does not fit for column `a`.`b`.`c` at row 1 (1366)"
        );
        let own = said(
            1644,
            "no room for mei.tanaka here",
            &[SqlValue::Text("mei.tanaka".to_owned())],
        );
        assert_eq!(own.message, "no room for … here");
    }

    #[test]
    fn the_server_rolls_back_by_itself() {
        let error = |code| {
            Error::Server(ServerError {
                code,
                message: String::new(),
                state: String::new(),
            })
        };
        for code in [1213, 1020, 1206] {
            assert!(has_rolled_back(&error(code), false), "{code}");
        }
        assert!(has_rolled_back(&error(1205), true));
        for code in [1205, 1062, 1064] {
            assert!(!has_rolled_back(&error(code), false), "{code}");
        }
    }

    #[test]
    fn numbers_are_sorted_by_what_to_do() {
        for (code, expected) in [
            (1213, SqlErrorKind::Busy),
            (1142, SqlErrorKind::Forbidden),
            (1792, SqlErrorKind::InvalidStatement),
            (1064, SqlErrorKind::InvalidStatement),
            (1969, SqlErrorKind::LimitExceeded),
            (1040, SqlErrorKind::Unavailable),
            (9_999, SqlErrorKind::Other("mysql-9999".to_owned())),
        ] {
            assert_eq!(said(code, "", &[]).kind, expected, "{code}");
        }
    }
}
