//! Reads the grants of a target.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::sql::read_sql;
use super::{Grants, HttpGrant, HttpScheme};
use crate::document::item::Item;
use crate::document::reader::Table;

/// Most endpoints of one kind that a target may be granted.
pub const ENDPOINTS_MAX: usize = 100;
/// Longest host name, in bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;
/// Longest path prefix, in characters.
const PATH_CHARS_MAX: usize = 1_024;
/// Methods that can be granted. CONNECT and TRACE are not for connectors.
pub(super) const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// The grants of a target.
pub(super) fn read_grants(item: &Item<'_, '_>) -> Option<Grants> {
    let table = item.table()?;
    let http = read_endpoints(&table, "http", read_http);
    let mut endpoints = BTreeSet::new();
    let sql = read_endpoints(&table, "sql", |table| read_sql(table, &mut endpoints));
    table.finish();
    Some(Grants {
        http: http?,
        sql: sql?,
    })
}

fn read_endpoints<T>(
    grants: &Table<'_, '_>,
    kind: &str,
    mut read: impl FnMut(&Table<'_, '_>) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(item) = grants.take(kind) else {
        return Some(Vec::new());
    };
    let items = item.list()?;
    if items.len() > ENDPOINTS_MAX {
        item.mistake(format!("more than {ENDPOINTS_MAX} endpoints"));
        return None;
    }
    let endpoints: Vec<Option<T>> = items
        .iter()
        .map(|item| {
            let table = item.table()?;
            let endpoint = read(&table);
            table.finish();
            endpoint
        })
        .collect();
    endpoints.into_iter().collect()
}

fn read_http(table: &Table<'_, '_>) -> Option<HttpGrant> {
    let scheme = table
        .need("scheme", "\"https\" or \"http\"")
        .and_then(|item| read_scheme(&item));
    let host = table
        .need("host", "the exact host name")
        .and_then(|item| read_host(&item, item.text()?));
    let port = table
        .take("port")
        .map_or(Some(None), |item| item.number(1..=u16::MAX).map(Some));
    let methods = table
        .take("methods")
        .map_or(Some(Vec::new()), |item| read_methods(&item));
    let path_prefix = table
        .take("path-prefix")
        .map_or(Some(None), |item| read_path_prefix(&item).map(Some));
    let private_addresses = table
        .take("private-addresses")
        .map_or(Some(false), |item| item.flag());
    Some(HttpGrant {
        scheme: scheme?,
        host: host?,
        port: port?,
        methods: methods?,
        path_prefix: path_prefix?,
        private_addresses: private_addresses?,
    })
}

/// `https` or `http`.
pub(super) fn read_scheme(item: &Item<'_, '_>) -> Option<HttpScheme> {
    item.choice(&[("https", HttpScheme::Https), ("http", HttpScheme::Http)])
}

/// `text`, which stands in `item`, as an exact host.
pub(super) fn read_host(item: &Item<'_, '_>, text: &str) -> Option<String> {
    match wrong_host(text) {
        Some(message) => {
            item.mistake(message);
            None
        }
        None => Some(text.to_owned()),
    }
}

/// What is wrong with a host, if anything is.
pub(super) fn wrong_host(text: &str) -> Option<String> {
    if text.is_empty() || text.len() > HOST_BYTES_MAX {
        Some(format!("a host name has from 1 to {HOST_BYTES_MAX} characters"))
    } else if text.contains('*') {
        Some("must be one exact host; wildcards are not possible".to_owned())
    } else if text.contains('@') {
        Some("must be a host alone, without a user name".to_owned())
    } else if text.contains("//") || text.contains('/') {
        Some("must be a host alone, without scheme or path".to_owned())
    } else if text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok() {
        None
    } else if text.contains(['[', ']']) {
        Some("an IPv6 address is written without brackets".to_owned())
    } else if text.contains(':') {
        Some("must be a host alone; the port has its own key, `port`".to_owned())
    } else if !text.is_ascii() {
        Some("must be in ASCII; write an international name in its xn-- form".to_owned())
    } else if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Some(format!(
            "must be in lower case: \"{}\"",
            text.to_ascii_lowercase().escape_debug()
        ))
    } else if !text.split('.').all(is_label) || last_is_number(text) {
        Some("is not a host name: letters, digits and hyphens between dots".to_owned())
    } else {
        None
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// `0x7f.1` and `2130706433` are addresses to some resolvers and names to others; neither is exact.
fn last_is_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x")
}

fn read_methods(item: &Item<'_, '_>) -> Option<Vec<String>> {
    let mut methods: Vec<String> = Vec::new();
    let mut whole = true;
    for item in item.list()? {
        match item.text() {
            Some(text) if METHODS.contains(&text) && !methods.iter().any(|known| known == text) => {
                methods.push(text.to_owned());
            }
            Some(_) => {
                item.mistake(format!("must be one of {}, each once", METHODS.join(", ")));
                whole = false;
            }
            None => whole = false,
        }
    }
    whole.then_some(methods)
}

pub(super) fn read_path_prefix(item: &Item<'_, '_>) -> Option<String> {
    let text = item.label(PATH_CHARS_MAX)?;
    let lower = text.to_ascii_lowercase();
    let detour = text.split('/').any(|part| part == "." || part == "..") || lower.contains("%2e");
    if !text.starts_with('/') || detour || !text.is_ascii() || text.contains(['?', '#', '\\', ' ']) {
        item.mistake("must be a path from /, without . or .. parts, query or fragment, like \"/scim/v2/\"");
        return None;
    }
    Some(text.to_owned())
}
