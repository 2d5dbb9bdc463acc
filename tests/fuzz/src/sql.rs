//! Statements of guests.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use usher_connectors::fuzzing::{self, Sqlite};

/// The database the statements meet: two tables, a view, and a trigger of the application's own.
const APPLICATION: &str = "
    CREATE TABLE person (id INTEGER PRIMARY KEY, login TEXT UNIQUE, active INTEGER NOT NULL DEFAULT 1);
    CREATE TABLE membership (person INTEGER REFERENCES person (id), team TEXT, PRIMARY KEY (person, team));
    CREATE VIEW enabled AS SELECT login FROM person WHERE active;
    CREATE TRIGGER gone AFTER DELETE ON person BEGIN DELETE FROM membership WHERE person = old.id; END;
    INSERT INTO person VALUES (1, 'ada', 1), (2, 'mei', 0);";
/// Longest a statement may take: it is stopped then, and the input is quick.
const TIME: Duration = Duration::from_millis(100);
/// What SQLite itself puts beside a database.
const OWN_FILES: [&str; 4] = ["app.db", "app.db-journal", "app.db-wal", "app.db-shm"];

/// One word of each list may begin a statement; see `host/connectors/src/sql/statement.rs`.
const READING: [&str; 4] = ["select", "table", "values", "with"];
const WRITING: [&str; 5] = ["delete", "insert", "merge", "replace", "update"];

/// A statement that servers are given begins with a permitted word and holds no comment that servers obey.
pub(crate) fn statement(data: &[u8]) {
    let text = crate::text(data);
    let (reads, writes) = fuzzing::permitted(&text);
    assert!(!(reads && writes), "one statement, two kinds: {text}");
    if !reads && !writes {
        return;
    }
    let lower = text.to_ascii_lowercase();
    let obeyed = ["/*!", "/*m!", "/*+", "\0"];
    assert!(!obeyed.iter().any(|words| lower.contains(words)), "{text}");
    let begun = lower.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '(');
    let words = if reads { &READING[..] } else { &WRITING[..] };
    let word = words.iter().find(|word| begun.starts_with(**word));
    let after = word.and_then(|word| begun[word.len()..].chars().next());
    assert!(
        word.is_some() && after.is_none_or(|c| !c.is_alphanumeric() && c != '_'),
        "{text}"
    );
}

/// The folder this process runs in: where a relative name would lead.
fn here() -> BTreeSet<String> {
    let entries = std::fs::read_dir(".").expect("the folder of this process");
    entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect()
}

struct Application {
    folder: TempDir,
    here: BTreeSet<String>,
    database: Sqlite,
    schema: Vec<Vec<String>>,
}

impl Application {
    fn new() -> Self {
        // In memory where that is possible: there are many inputs.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        };
        let folder = folder.expect("a temporary folder");
        let path = folder.path().join("app.db");
        let connection = rusqlite::Connection::open(&path).expect("a new database");
        connection.execute_batch(APPLICATION).expect("its tables");
        drop(connection);
        let database = Sqlite::new(path);
        let schema = schema(&database);
        Self {
            folder,
            here: here(),
            database,
            schema,
        }
    }
}

fn schema(database: &Sqlite) -> Vec<Vec<String>> {
    let all = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name";
    database
        .query(all, Duration::from_secs(10))
        .expect("the schema is read")
}

thread_local! {
    static APPLICATION_OF_THREAD: Application = Application::new();
}

/// Whatever a guest says to a granted SQLite database: the schema stays, no file appears beside it, nothing is attached, and the next
/// statement works.
pub(crate) fn sqlite(data: &[u8]) {
    let text = crate::text(data);
    APPLICATION_OF_THREAD.with(|application| {
        let database = &application.database;
        database.query(&text, TIME);
        database.execute(&text, TIME);
        assert_eq!(schema(database), application.schema, "{text}");
        let attached = database
            .query(
                "SELECT DISTINCT schema FROM pragma_table_list",
                Duration::from_secs(10),
            )
            .expect("the databases are told");
        assert!(attached.len() <= 2, "{attached:?} after {text}");
        let files: BTreeSet<String> = std::fs::read_dir(application.folder.path())
            .expect("the folder")
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        assert!(
            files.iter().all(|file| OWN_FILES.contains(&file.as_str())),
            "{files:?} after {text}"
        );
        assert_eq!(here(), application.here, "{text}");
        // So that it does not grow, and that a lock left behind would be found.
        let emptied = database.execute("DELETE FROM person WHERE id > 2", Duration::from_secs(10));
        assert!(emptied, "{text}");
    });
}
