//! What a guest's statement may begin with on a database server. One list for each function, and everything else is refused:
//! transaction control, changes of the session or the schema, COPY, DO, CALL, LOAD DATA, and what is yet to be invented.
//!
//! This is the second net. The first is what the servers hold themselves: the rights of the role, a transaction that only reads, and
//! prepared statements, of which each text holds exactly one.

use super::{SqlError, SqlErrorKind};

/// What reads.
const READING: [&str; 4] = ["SELECT", "TABLE", "VALUES", "WITH"];
/// What changes rows. No WITH: on PostgreSQL `WITH … SELECT … INTO` makes a table; it may stand after INSERT INTO and in subqueries.
const WRITING: [&str; 5] = ["DELETE", "INSERT", "MERGE", "REPLACE", "UPDATE"];
/// Comments that MySQL and MariaDB run or obey; `/*m!` is none yet.
const OBEYED_COMMENTS: [&str; 4] = ["/*!", "/*M!", "/*m!", "/*+"];

/// Which function a statement was handed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Query,
    Execute,
}

/// Whether a server is given this text at all.
pub(super) fn permit(sql: &str, used: Use) -> Result<(), SqlError> {
    if sql.contains('\0') {
        let why = "a statement cannot hold a NUL character";
        return Err(SqlError::new(SqlErrorKind::InvalidStatement, why));
    }
    // Wherever they stand, in quotes too: values are bound, so a text has no need of them.
    if let Some(comment) = OBEYED_COMMENTS.iter().find(|comment| sql.contains(**comment)) {
        let why = format!("a statement cannot hold `{comment}`, a comment that servers obey");
        return Err(SqlError::new(SqlErrorKind::Forbidden, why));
    }
    let word = first_word(sql);
    let is = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    let other = match used {
        Use::Query if is(&READING) => return Ok(()),
        Use::Execute if is(&WRITING) => return Ok(()),
        Use::Query if is(&WRITING) => "a statement that changes rows belongs to `execute`",
        Use::Execute if is(&READING) => "a statement that returns rows belongs to `query`",
        Use::Query | Use::Execute => {
            let why = format!(
                "a statement begins with one of {}, {}, and with nothing before it, no comment either",
                READING.join(", "),
                WRITING.join(", ")
            );
            return Err(SqlError::new(SqlErrorKind::Forbidden, why));
        }
    };
    Err(SqlError::new(SqlErrorKind::InvalidStatement, other))
}

/// The word a statement begins with, behind white space and opening parentheses; empty when something else stands there.
fn first_word(sql: &str) -> &str {
    let start = sql.trim_start_matches([' ', '\t', '\n', '\r', '(']);
    let end = start
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(start.len());
    let after = start[end..].chars().next();
    // `SELECT_x`, `SELECT$` and `SELECTé` are other words.
    let whole = after.is_none_or(|c| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_' && c != '$');
    if whole { &start[..end] } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(sql: &str, used: Use) -> Option<SqlErrorKind> {
        permit(sql, used).err().map(|error| error.kind)
    }

    #[test]
    fn rows_are_read_by_query_and_changed_by_execute() {
        for sql in [
            "SELECT 1",
            " \n((select 1))",
            "With x AS (SELECT 1) TABLE x",
            "VALUES(1)",
            "table users",
        ] {
            assert_eq!(kind(sql, Use::Query), None, "{sql}");
            assert_eq!(
                kind(sql, Use::Execute),
                Some(SqlErrorKind::InvalidStatement),
                "{sql}"
            );
        }
        for sql in [
            "INSERT INTO t VALUES (1)",
            "update t set a = 1",
            "DELETE FROM t",
            "merge into t",
            "REPLACE INTO t",
        ] {
            assert_eq!(kind(sql, Use::Execute), None, "{sql}");
            assert_eq!(
                kind(sql, Use::Query),
                Some(SqlErrorKind::InvalidStatement),
                "{sql}"
            );
        }
    }

    #[test]
    fn everything_else_is_forbidden_however_it_is_written() {
        for sql in [
            "",
            ";",
            "(",
            "BEGIN",
            "start transaction",
            "COMMIT",
            "COMMIT; SELECT 1",
            "END",
            "ROLLBACK",
            "ABORT",
            "SAVEPOINT a",
            "RELEASE a",
            "PREPARE TRANSACTION 'a'",
            "XA START 'a'",
            "SET ROLE x",
            "SET SESSION AUTHORIZATION x",
            "SET TRANSACTION READ WRITE",
            "SET STATEMENT max_statement_time=0 FOR SELECT 1",
            "RESET ALL",
            "DISCARD ALL",
            "COPY t FROM STDIN",
            "COPY t TO PROGRAM 'sh'",
            "DO $$ BEGIN END $$",
            "CALL p()",
            "LOAD DATA LOCAL INFILE 'a' INTO TABLE t",
            "LISTEN a",
            "NOTIFY a",
            "LOCK TABLES t WRITE",
            "PREPARE a AS SELECT 1",
            "EXECUTE a",
            "EXECUTE IMMEDIATE 'COMMIT'",
            "DECLARE c CURSOR FOR SELECT 1",
            "EXPLAIN ANALYZE DELETE FROM t",
            "CREATE TABLE t (a int)",
            "DROP TABLE t",
            "GRANT ALL ON t TO x",
            "USE mysql",
            "HANDLER t OPEN",
            "KILL 1",
            "FLUSH TABLES",
            "INSTALL PLUGIN a SONAME 'b'",
            "/* */ SELECT 1",
            "-- \nSELECT 1",
            "#\nSELECT 1",
            "/*!50000 COMMIT */",
            "\u{feff}SELECT 1",
            "\u{a0}SELECT 1",
            "\u{b}SELECT 1",
            "SELECTé",
            "SELECT_1",
            "SELECT$a",
            "ＳＥＬＥＣＴ 1",
            "'SELECT'",
            "\"SELECT\"",
            "SELECT1",
        ] {
            for used in [Use::Query, Use::Execute] {
                assert_eq!(kind(sql, used), Some(SqlErrorKind::Forbidden), "{sql:?}");
            }
        }
        for sql in [
            "SELECT 1 /*! INTO OUTFILE '/x' */",
            "SELECT /*+ MAX_EXECUTION_TIME(0) */ 1",
            "SELECT '/*M!' ",
        ] {
            assert_eq!(kind(sql, Use::Query), Some(SqlErrorKind::Forbidden), "{sql}");
        }
        assert_eq!(
            kind("SELECT 1\0", Use::Query),
            Some(SqlErrorKind::InvalidStatement)
        );
    }
}
