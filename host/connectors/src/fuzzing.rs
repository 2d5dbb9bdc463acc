//! The parsers and decisions of the sandbox that hostile bytes meet, for the fuzz targets in `tests/fuzz` and for nobody else: they
//! are private, and opening the modules they live in for a test would open them for everybody.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::{Method, Uri};
use serde_json::Value;
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::targets::{HttpGrant, HttpScheme};

use crate::http::address::{AddressClass, classify};
use crate::http::allow::Allowlist;
use crate::json::Reader;
use crate::schema::Schema;
use crate::sql::fuzzing as sql;

/// A JSON document of a guest.
pub fn document(text: &str) -> Result<Value, String> {
    Reader::new().document(text)
}

/// Attributes of a guest.
pub fn attributes(text: &str) -> Result<Attributes, String> {
    Reader::new().attributes(text)
}

/// Checks documents against a guest's schema: the violations of each.
pub fn violations(schema: &str, documents: &[&Value]) -> Result<Vec<Vec<String>>, String> {
    let schema = Schema::parse(schema)?;
    Ok(documents
        .iter()
        .map(|document| schema.violations(document))
        .collect())
}

/// A guest's text as one line for people.
pub fn line(text: &str, bytes_max: usize) -> String {
    crate::guest_text::line_of(text, bytes_max)
}

/// Where a request may go: scheme, host and port; or why it may not.
pub fn decide(grants: &[HttpGrant], method: &Method, uri: &Uri) -> Result<(HttpScheme, String, u16), String> {
    let allowlist = Allowlist::new("app".to_owned(), grants.to_vec());
    match allowlist.decide(method, uri) {
        Ok(endpoint) => Ok((endpoint.scheme, endpoint.host, endpoint.port)),
        Err(refusal) => Err(refusal.explain()),
    }
}

/// Whether connections may go to an address without a grant of private addresses, and whether with one.
pub fn reachable(address: IpAddr) -> (bool, bool) {
    match classify(address) {
        AddressClass::Public => (true, true),
        AddressClass::Private => (false, true),
        AddressClass::Never => (false, false),
    }
}

/// Whether a database server is given a statement at all: as one that reads, and as one that writes.
pub fn permitted(statement: &str) -> (bool, bool) {
    sql::permitted(statement)
}

/// A granted SQLite database, as a guest has it.
pub struct Sqlite(sql::Sqlite);

impl Sqlite {
    /// An existing database file.
    pub fn new(path: PathBuf) -> Self {
        Self(sql::Sqlite::new(path))
    }

    /// Rows of a query, each value as text; nothing when it is refused.
    pub fn query(&self, statement: &str, time: Duration) -> Option<Vec<Vec<String>>> {
        self.0.query(statement, Instant::now() + time)
    }

    /// Whether a statement that writes was carried out.
    pub fn execute(&self, statement: &str, time: Duration) -> bool {
        self.0.execute(statement, Instant::now() + time)
    }
}
