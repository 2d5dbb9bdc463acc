//! Confines a SQLite connection to its file and to reading and changing rows. What is not allowed here is refused: statements
//! that attach files, change the schema, steer transactions or the connection itself, or load code.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use super::{ROW_SET_BYTES_MAX, STATEMENT_BYTES_MAX};
use crate::journal::lock;

/// Longest wait for somebody else's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a running statement is asked whether it is late, in steps of SQLite's virtual machine: well under a millisecond.
const PROGRESS_STEPS: i32 = 2_000;
/// Compiled statements kept with a connection; a connector has some tens.
const STATEMENTS_CACHED: usize = 64;
/// Pragmas that only tell what tables look like.
const READING_PRAGMAS: [&str; 6] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "foreign_key_list",
];

/// A connection that guests' statements may run on.
pub(super) struct Confined {
    pub(super) connection: Connection,
    /// Whether what is prepared now comes from a guest; the host's own transaction control does not.
    guest: Arc<AtomicBool>,
    deadline: Arc<Mutex<Instant>>,
}

impl Confined {
    /// Opens an existing database.
    pub(super) fn open(path: &Path, deadline: Instant) -> rusqlite::Result<Self> {
        // No CREATE: a mistyped path must not become an empty database. No URI: it could carry parameters.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false)?;
        // A misspelt column in double quotes is an error, not a text.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
        set_limits(&connection)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        let guest = Arc::new(AtomicBool::new(false));
        let deadline = Arc::new(Mutex::new(deadline));
        let asked = Arc::clone(&guest);
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            if asked.load(Ordering::Relaxed) {
                authorize(context.action)
            } else {
                Authorization::Allow
            }
        }))?;
        let late = Arc::clone(&deadline);
        connection.progress_handler(PROGRESS_STEPS, Some(move || Instant::now() >= *lock(&late)))?;
        Ok(Self {
            connection,
            guest,
            deadline,
        })
    }

    /// Prepares for one call: from now on it may take until `deadline`.
    pub(super) fn begin(&self, deadline: Instant) -> rusqlite::Result<()> {
        *lock(&self.deadline) = deadline;
        let left = deadline.saturating_duration_since(Instant::now());
        self.connection.busy_timeout(left.min(BUSY_TIMEOUT))
    }

    /// Runs work in which every statement is the guest's.
    pub(super) fn as_guest<T>(&self, work: impl FnOnce(&Connection) -> T) -> T {
        self.guest.store(true, Ordering::Relaxed);
        let result = work(&self.connection);
        self.guest.store(false, Ordering::Relaxed);
        result
    }
}

/// `SQLITE_LIMIT_*` that bound what one statement may cost, whatever its text.
fn set_limits(connection: &Connection) -> rusqlite::Result<()> {
    let bytes = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let limits = [
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, bytes(STATEMENT_BYTES_MAX)),
        (Limit::SQLITE_LIMIT_LENGTH, bytes(ROW_SET_BYTES_MAX)),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 50),
        (Limit::SQLITE_LIMIT_COLUMN, 500),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 1_000),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ];
    limits
        .into_iter()
        .try_for_each(|(limit, value)| connection.set_limit(limit, value).map(|_| ()))
}

/// Allows what reads and changes rows; refuses all else, named or yet to be invented.
fn authorize(action: AuthAction<'_>) -> Authorization {
    match action {
        AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Insert { .. }
        | AuthAction::Update { .. }
        | AuthAction::Delete { .. }
        | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Allow
        }
        AuthAction::Pragma { pragma_name, .. }
            if READING_PRAGMAS
                .iter()
                .any(|known| pragma_name.eq_ignore_ascii_case(known)) =>
        {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}
