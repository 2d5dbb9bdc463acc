//! Names in statements. Values are bound and never quoted.

use super::Dialect;
use crate::Error;

/// Longest identifier, in bytes: what PostgreSQL keeps; MySQL keeps 64 characters, SQLite any number.
pub const MAX_IDENTIFIER_BYTES: usize = 63;

/// A name as an identifier, whatever characters it has. A dot is part of the name: quote schema and table apart.
pub fn quote_identifier(dialect: &Dialect, name: &str) -> Result<String, Error> {
    if name.is_empty() {
        return Err(Error::misconfigured(
            "the name of a table or column must not be empty",
        ));
    }
    if name.len() > MAX_IDENTIFIER_BYTES {
        return Err(Error::misconfigured(format!(
            "the name of a table or column may have {MAX_IDENTIFIER_BYTES} bytes: `{}`",
            crate::error::quoted(name)
        )));
    }
    if name.contains('\0') {
        return Err(Error::misconfigured(
            "the name of a table or column must not hold a NUL character",
        ));
    }
    let mark = match dialect {
        // SQLite takes a double-quoted name that no column has for a text; it does not do that to this one.
        Dialect::Mysql | Dialect::Sqlite => '`',
        Dialect::Postgresql | Dialect::Other(_) => '"',
    };
    let doubled = name.replace(mark, &format!("{mark}{mark}"));
    Ok(format!("{mark}{doubled}{mark}"))
}

/// The placeholder of the value at `position`, counted from 1.
pub fn placeholder(dialect: &Dialect, position: usize) -> String {
    match dialect {
        Dialect::Postgresql => format!("${position}"),
        Dialect::Sqlite | Dialect::Mysql | Dialect::Other(_) => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_quoted_by_dialect() {
        assert_eq!(quote_identifier(&Dialect::Sqlite, "users").unwrap(), "`users`");
        assert_eq!(quote_identifier(&Dialect::Mysql, "a`b").unwrap(), "`a``b`");
        assert_eq!(
            quote_identifier(&Dialect::Postgresql, "x\"; DROP TABLE users; --").unwrap(),
            "\"x\"\"; DROP TABLE users; --\""
        );
        for bad in ["", "a\0b", &"x".repeat(64), &"ü".repeat(32)] {
            assert!(quote_identifier(&Dialect::Sqlite, bad).is_err(), "{bad:?}");
        }
        assert_eq!(placeholder(&Dialect::Postgresql, 3), "$3");
        assert_eq!(placeholder(&Dialect::Sqlite, 3), "?");
    }

    proptest! {
        /// Whatever the name, the mark never stands alone inside: the identifier cannot be left.
        #[test]
        fn nothing_breaks_out(name in "[a-z\"`;\\-' üé]{1,20}", mysql: bool) {
            let (dialect, mark) = if mysql { (Dialect::Mysql, "`") } else { (Dialect::Postgresql, "\"") };
            let quoted = quote_identifier(&dialect, &name).unwrap();
            let inner = &quoted[1..quoted.len() - 1];
            prop_assert_eq!(inner.replace(&mark.repeat(2), "").contains(mark), false);
            prop_assert_eq!(inner.replace(&mark.repeat(2), mark), name);
        }
    }
}
