//! SQL endpoints: a SQLite file, or a PostgreSQL, MySQL or MariaDB server. The host connects; the connector only names the endpoint.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::SecretReference;
use super::grants::read_host;
use super::parse::read_absolute_path;
use super::secrets::read_secret;
use crate::document::item::Item;
use crate::document::reader::Table;
use crate::name::NAME_BYTES_MAX;
use crate::policy::LABEL_CHARS_MAX;

/// Longest path of a Unix socket, in bytes: what the operating system takes.
const SOCKET_BYTES_MAX: usize = 107;

/// One SQL endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SqlGrant {
    /// How the connector names it.
    pub endpoint: String,
    /// What it leads to.
    pub database: SqlDatabase,
}

/// What a SQL endpoint leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SqlDatabase {
    /// Path of a SQLite database. It must exist.
    Sqlite(String),
    /// A database of a PostgreSQL server.
    Postgresql(SqlServer),
    /// A database of a MySQL or MariaDB server.
    Mysql(SqlServer),
}

/// One database of a server, and as whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SqlServer {
    /// Where the server listens.
    pub address: SqlAddress,
    /// The database.
    pub database: String,
    /// The role or user.
    pub user: String,
    /// The password; only on a Unix socket may there be none.
    pub password: Option<SecretReference>,
}

/// Where a database server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum SqlAddress {
    /// On the network.
    #[serde(rename_all = "kebab-case")]
    Tcp {
        /// Exact host name or IP literal, lower case.
        host: String,
        /// Port.
        port: u16,
        /// How the connection is protected.
        tls: SqlTls,
        /// Allows addresses that are loopback or private. Link-local and metadata addresses are never allowed.
        private_addresses: bool,
    },
    /// On a Unix socket of this machine: its path.
    Socket(String),
}

/// How a connection to a database server is protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SqlTls {
    /// Not at all: the operator says so.
    Off,
    /// TLS; the server's certificate comes from a public authority and names the host.
    Public,
    /// TLS; the server's certificate comes from an authority in this file (PEM) and names the host.
    Ca(String),
}

/// One `[[….grants.sql]]`.
pub(super) fn read_sql(table: &Table<'_, '_>, endpoints: &mut BTreeSet<String>) -> Option<SqlGrant> {
    let endpoint = table
        .need("endpoint", "how the connector names it")
        .and_then(|item| read_endpoint(&item, endpoints));
    let database = match (
        table.take("sqlite"),
        table.take("postgresql"),
        table.take("mysql"),
    ) {
        (Some(item), None, None) => read_absolute_path(&item).map(SqlDatabase::Sqlite),
        (None, Some(item), None) => read_server(&item, 5432).map(SqlDatabase::Postgresql),
        (None, None, Some(item)) => read_server(&item, 3306).map(SqlDatabase::Mysql),
        (_, _, _) => {
            table.mistake(
                "must have exactly one of `sqlite` (the absolute path of a database), `postgresql` and `mysql`",
            );
            None
        }
    };
    Some(SqlGrant {
        endpoint: endpoint?,
        database: database?,
    })
}

fn read_endpoint(item: &Item<'_, '_>, endpoints: &mut BTreeSet<String>) -> Option<String> {
    let text = item.label(NAME_BYTES_MAX)?;
    let word = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !word {
        item.mistake("must have only letters, digits, - _ and .");
        return None;
    }
    if !endpoints.insert(text.to_owned()) {
        item.mistake("another endpoint has this name");
        return None;
    }
    Some(text.to_owned())
}

fn read_server(item: &Item<'_, '_>, default_port: u16) -> Option<SqlServer> {
    let table = item.table()?;
    let address = read_address(&table, default_port);
    let name = |key: &str, why: &str| {
        let item = table.need(key, why)?;
        item.label(LABEL_CHARS_MAX).map(ToOwned::to_owned)
    };
    let database = name("database", "which database of the server");
    let user = name(
        "user",
        "the role Usher connects as, which should have no other use",
    );
    let password = match (table.take("password"), &address) {
        (Some(item), _) => read_secret(&item).map(Some),
        // A server may know who is at the other end of a socket.
        (None, Some(SqlAddress::Socket(_)) | None) => Some(None),
        (None, Some(SqlAddress::Tcp { .. })) => {
            table.mistake("`password` is missing: where it is, like password = { store = \"app-db\" }");
            None
        }
    };
    table.finish();
    Some(SqlServer {
        address: address?,
        database: database?,
        user: user?,
        password: password?,
    })
}

fn read_address(table: &Table<'_, '_>, default_port: u16) -> Option<SqlAddress> {
    let Some(socket) = table.take("socket") else {
        return read_tcp(table, default_port);
    };
    for key in ["host", "port", "tls", "ca", "private-addresses"] {
        if let Some(item) = table.take(key) {
            item.mistake_of_key("belongs to a connection over the network; this one goes to a `socket`");
            return None;
        }
    }
    let path = read_absolute_path(&socket)?;
    if path.len() > SOCKET_BYTES_MAX {
        socket.mistake(format!(
            "the path of a socket has at most {SOCKET_BYTES_MAX} bytes"
        ));
        return None;
    }
    Some(SqlAddress::Socket(path))
}

fn read_tcp(table: &Table<'_, '_>, default_port: u16) -> Option<SqlAddress> {
    let host = table
        .need(
            "host",
            "the exact host name (or `socket`, the path of a Unix socket)",
        )
        .and_then(|item| read_host(&item, item.text()?));
    let port = table
        .take("port")
        .map_or(Some(default_port), |item| item.number(1..=u16::MAX));
    let tls = read_tls(table);
    let private_addresses = table
        .take("private-addresses")
        .map_or(Some(false), |item| item.flag());
    Some(SqlAddress::Tcp {
        host: host?,
        port: port?,
        tls: tls?,
        private_addresses: private_addresses?,
    })
}

/// TLS unless the operator writes the word `off`.
fn read_tls(table: &Table<'_, '_>) -> Option<SqlTls> {
    let on = table
        .take("tls")
        .map_or(Some(true), |item| item.choice(&[("on", true), ("off", false)]))?;
    match (on, table.take("ca")) {
        (true, None) => Some(SqlTls::Public),
        (true, Some(item)) => read_absolute_path(&item).map(SqlTls::Ca),
        (false, None) => Some(SqlTls::Off),
        (false, Some(item)) => {
            item.mistake_of_key("has no use when tls = \"off\": remove one of the two");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::parse;

    fn read(grant: &str) -> Result<SqlGrant, String> {
        let text = format!("[targets.app]\nconnector = \"sql\"\n[[targets.app.grants.sql]]\n{grant}\n");
        let mut targets = parse("t.toml", &text).map_err(|errors| errors.to_string())?;
        let target = targets.targets.pop_first().map(|(_, target)| target);
        Ok(target.unwrap().grants.sql.remove(0))
    }

    #[test]
    fn a_server_has_tls_and_public_addresses_unless_said() {
        let grant = read(
            "endpoint = \"app\"\n[targets.app.grants.sql.postgresql]\nhost = \"db.example.org\"\ndatabase = \"app\"\n\
             user = \"usher\"\npassword = { store = \"app-db\" }",
        );
        let address = SqlAddress::Tcp {
            host: "db.example.org".to_owned(),
            port: 5432,
            tls: SqlTls::Public,
            private_addresses: false,
        };
        let server = SqlServer {
            address,
            database: "app".to_owned(),
            user: "usher".to_owned(),
            password: Some(SecretReference::Store("app-db".parse().unwrap())),
        };
        assert_eq!(grant.unwrap().database, SqlDatabase::Postgresql(server));
    }

    #[test]
    fn what_differs_is_said() {
        let address = |keys: &str| {
            let grant = read(&format!(
                "endpoint = \"app\"\nmysql = {{ database = \"app\", user = \"usher\", {keys} }}"
            ));
            grant.map(|grant| match grant.database {
                SqlDatabase::Mysql(server) => server.address,
                other => panic!("{other:?}"),
            })
        };
        let tcp = |port, tls, private_addresses| SqlAddress::Tcp {
            host: "10.0.0.5".to_owned(),
            port,
            tls,
            private_addresses,
        };
        let password = "host = \"10.0.0.5\", password = { env = \"P\" }";
        assert_eq!(
            address(&format!("{password}, private-addresses = true, tls = \"off\"")).unwrap(),
            tcp(3306, SqlTls::Off, true)
        );
        assert_eq!(
            address(&format!("{password}, port = 3307, ca = \"/etc/ca.pem\"")).unwrap(),
            tcp(3307, SqlTls::Ca("/etc/ca.pem".to_owned()), false)
        );
        assert_eq!(
            address("socket = \"/run/mysqld/mysqld.sock\"").unwrap(),
            SqlAddress::Socket("/run/mysqld/mysqld.sock".to_owned())
        );
        for (keys, why) in [
            ("host = \"10.0.0.5\"", "`password` is missing"),
            (&format!("{password}, tls = \"no\""), "off"),
            (
                &format!("{password}, tls = \"off\", ca = \"/ca\""),
                "has no use when tls",
            ),
            (
                &format!("{password}, socket = \"/s\""),
                "belongs to a connection over the network",
            ),
            (
                "host = \"10.0.0.5\", password = \"hunter2\"",
                "a secret is never written here",
            ),
            (&format!("{password}, sslmode = \"off\""), "sslmode"),
        ] {
            let refused = address(keys).unwrap_err();
            assert!(
                refused.contains(why) && refused.starts_with("t.toml:"),
                "{keys}: {refused}"
            );
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn an_endpoint_leads_to_exactly_one_database() {
        for grant in [
            "endpoint = \"app\"",
            "endpoint = \"app\"\nsqlite = \"/a.db\"\nmysql = { socket = \"/s\", database = \"d\", user = \"u\" }",
        ] {
            let refused = read(grant).unwrap_err();
            assert!(refused.contains("exactly one of `sqlite`"), "{refused}");
        }
    }
}
