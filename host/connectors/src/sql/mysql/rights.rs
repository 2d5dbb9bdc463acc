//! Refuses an account that may do too much. What a connector's SQL can do is decided by the rights of the account it runs as, and an
//! account of MySQL may have rights in every database of the server, so they are read from the server on every connection.

use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use crate::sql::SqlError;
use crate::sql::target_server::Server;

use super::error;

/// Rights named in a message.
const SHOWN_MAX: usize = 8;

pub(super) async fn check(server: &Server, connection: &mut Conn) -> Result<(), SqlError> {
    // Of the account and of the roles that are active.
    let granted = connection.query::<String, _>("SHOW GRANTS").await;
    let granted = granted.map_err(|failed| error::connecting(server, &failed))?;
    let database = &server.grant.database;
    let mut rights: Vec<String> = granted
        .iter()
        .filter_map(|line| too_much(line, database))
        .collect();
    if rights.is_empty() {
        return Ok(());
    }
    rights.truncate(SHOWN_MAX);
    let remedy = format!(
        "Make an account for this alone: CREATE USER 'usher_app'@'%' IDENTIFIED BY '…' REQUIRE SSL; GRANT SELECT, INSERT, UPDATE, \
         DELETE ON `{database}`.users TO 'usher_app'@'%'; and the same for each table it needs"
    );
    Err(server.too_mighty(&rights, &remedy))
}

/// What a line of `SHOW GRANTS` gives beyond the tables of one database; nothing when it does not, or only makes a role available.
fn too_much(line: &str, database: &str) -> Option<String> {
    let rest = line.strip_prefix("GRANT ")?;
    let Some((rights, rest)) = rest.split_once(" ON ") else {
        // `GRANT role TO account`: what the role gives stands in lines of its own, if it is active.
        return None;
    };
    // `ON PROCEDURE app.f TO …` and its like name the kind first.
    let place = ["PROCEDURE ", "FUNCTION ", "PACKAGE BODY ", "PACKAGE ", "TABLE "]
        .iter()
        .find_map(|kind| rest.strip_prefix(kind))
        .unwrap_or(rest);
    let options = place.rsplit_once(" TO ").map_or("", |(_, options)| options);
    let shown = |what: &str| Some(what.to_owned());
    if rights == "PROXY" {
        return shown("PROXY for another account");
    }
    if options.contains("WITH GRANT OPTION") || options.contains("WITH ADMIN OPTION") {
        return shown("GRANT OPTION: it may pass its rights on");
    }
    if place.starts_with("*.*") {
        return (rights != "USAGE").then(|| format!("{rights} on *.*"));
    }
    let (of, rest) = database_of(place)?;
    // In the name of a whole database `_` and `%` stand for others; beside a table or function they stand for themselves.
    let is_pattern = rest.starts_with(".*");
    let only_this = if is_pattern {
        literally(&of).as_deref() == Some(database)
    } else {
        of == database
    };
    if only_this {
        return None;
    }
    let several = is_pattern && literally(&of).is_none();
    let meaning = if several {
        ", which means all with names like that (write `\\_` and `\\%` for the characters themselves)"
    } else {
        ""
    };
    Some(format!("{rights} in database `{of}`{meaning}"))
}

/// The one name that a pattern of databases stands for; nothing when it stands for several.
fn literally(pattern: &str) -> Option<String> {
    let mut name = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => name.extend(characters.next()),
            '_' | '%' => return None,
            character => name.push(character),
        }
    }
    Some(name)
}

/// The database of `` `app`.`users` TO … ``, and what stands behind it.
fn database_of(place: &str) -> Option<(String, &str)> {
    let quote = place.chars().next()?;
    if !matches!(quote, '`' | '"') {
        let dot = place.find('.')?;
        return Some((place[..dot].to_owned(), &place[dot..]));
    }
    let mut name = String::new();
    let mut rest = place[1..].char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        if character == quote && rest.next_if(|(_, next)| *next == quote).is_none() {
            return Some((name, &place[1 + at + 1..]));
        }
        name.push(character);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_beyond_the_tables_of_the_database_are_found() {
        let fine = [
            "GRANT USAGE ON *.* TO `usher`@`%` IDENTIFIED BY PASSWORD '*AB' REQUIRE SSL",
            "GRANT SELECT, INSERT (`a`), UPDATE ON `app`.`users` TO `usher`@`%`",
            "GRANT SELECT ON `app`.* TO `usher`@`%`",
            "GRANT SELECT ON `app` TO x.* TO `usher`@`%`",
            "GRANT EXECUTE ON FUNCTION `app`.`f` TO `usher`@`%`",
            "GRANT `readers` TO `usher`@`%`",
            "SET DEFAULT ROLE `readers` FOR `usher`@`%`",
        ];
        for line in fine {
            assert_eq!(too_much(line, "app"), None, "{line}");
        }
        assert_eq!(
            too_much("GRANT SELECT ON `my\\_app`.* TO `u`@`%`", "my_app"),
            None
        );
        // Beside a table a name is no pattern.
        assert_eq!(
            too_much("GRANT SELECT ON `my_app`.`users` TO `u`@`%`", "my_app"),
            None
        );
        for line in [
            "GRANT SELECT ON `my_app`.* TO `u`@`%`",
            "GRANT SELECT ON `my%`.* TO `u`@`%`",
            "GRANT SELECT ON `my\\_app%`.* TO `u`@`%`",
        ] {
            let found = too_much(line, "my_app").unwrap_or_default();
            assert!(found.contains("names like that"), "{line}: {found}");
        }
        for (line, expected) in [
            (
                "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION",
                "GRANT OPTION",
            ),
            ("GRANT FILE ON *.* TO `u`@`%`", "FILE on *.*"),
            ("GRANT SELECT, SUPER ON *.* TO `u`@`%`", "SELECT, SUPER on *.*"),
            (
                "GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION",
                "PROXY",
            ),
            ("GRANT SELECT ON `mysql`.`user` TO `u`@`%`", "database `mysql`"),
            (
                "GRANT SELECT ON `%`.* TO `u`@`%`",
                "database `%`, which means all",
            ),
            ("GRANT SELECT ON `app``x`.* TO `u`@`%`", "database `app`x`"),
            ("GRANT SELECT ON app2.t TO `u`@`%`", "database `app2`"),
            (
                "GRANT SELECT ON `app`.* TO `u`@`%` WITH GRANT OPTION",
                "GRANT OPTION",
            ),
            (
                "GRANT EXECUTE ON PROCEDURE `sys`.`p` TO `u`@`%`",
                "database `sys`",
            ),
        ] {
            let found = too_much(line, "app");
            assert!(
                found.as_ref().is_some_and(|found| found.contains(expected)),
                "{line}: {found:?}"
            );
        }
    }
}
