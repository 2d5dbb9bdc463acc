//! Where a target's secrets are, and where a connector may have them put. Never a secret itself.
//!
//! A connector is told of a secret by its settings: where they say `{ secret = "name" }` it finds a random text. It may send that text
//! only at the places declared here, where the host replaces it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::read_header_name;
use super::grants::{METHODS, read_host, read_path_prefix, read_scheme};
use super::parse::read_absolute_path;
use super::{Grants, HttpScheme};
use crate::document::item::Item;
use crate::document::reader::Table;
use crate::name::{NAME_BYTES_MAX, Name};
use crate::policy::LABEL_CHARS_MAX;

/// Most secrets a target may declare, and places for each.
const SECRETS_MAX: usize = 20;

/// Where a secret is. Never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum SecretReference {
    /// An environment variable of the host.
    Env(String),
    /// A file the host can read; one trailing line break is taken off.
    File(String),
    /// A secret in the store, encrypted there (`usher secret set NAME`).
    Store(Name),
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "{{ env = \"{name}\" }}"),
            Self::File(path) => write!(f, "{{ file = \"{path}\" }}"),
            Self::Store(name) => write!(f, "{{ store = \"{name}\" }}"),
        }
    }
}

/// A secret whose placeholder a connector may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredSecret {
    /// Where it is.
    pub value: SecretReference,
    /// Where it may go. Nowhere else.
    pub places: Vec<SecretPlace>,
}

/// A place of a request where a secret may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretPlace {
    /// The request's method.
    pub method: String,
    /// `https`, unless it is said that it may go in the clear.
    pub scheme: HttpScheme,
    /// The granted host it may go to; any granted one when not said, which is possible only while one host is granted.
    pub host: Option<String>,
    /// The request's path, without query. A part that is `*` stands for any one part.
    pub path: String,
    /// Where in the request.
    pub position: SecretPosition,
}

/// Where in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPosition {
    /// A text in a JSON body, by JSON pointer.
    JsonPointer(String),
    /// A field of an `application/x-www-form-urlencoded` body.
    FormField(String),
    /// A header.
    Header(String),
}

/// The name of the secret that a value of the settings stands for: `{ secret = "name" }`.
pub fn secret_named(value: &Value) -> Option<&str> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.get("secret")?.as_str()
}

/// A reference. What is written instead of one is never shown: it may be the secret.
pub(super) fn read_secret(item: &Item<'_, '_>) -> Option<SecretReference> {
    let table = item.table_as(
        "a reference, { store = \"name\" }, { env = \"NAME\" } or { file = \"/path\" }: a secret is never written here",
    )?;
    let secret = match (table.take("env"), table.take("file"), table.take("store")) {
        (Some(item), None, None) => read_variable(&item).map(SecretReference::Env),
        (None, Some(item), None) => read_absolute_path(&item).map(SecretReference::File),
        (None, None, Some(item)) => read_stored(&item).map(SecretReference::Store),
        (_, _, _) => {
            table.mistake("must have exactly one of `store`, `env` and `file`");
            None
        }
    };
    table.finish();
    secret
}

/// The name of a secret in the store. What is written instead is not shown.
fn read_stored(item: &Item<'_, '_>) -> Option<Name> {
    let name: Option<Name> = item.label(NAME_BYTES_MAX)?.parse().ok();
    if name.is_none() {
        item.mistake(
            "must be the name of a secret: a lower-case letter, then lower-case letters, digits and hyphens",
        );
    }
    name
}

fn read_variable(item: &Item<'_, '_>) -> Option<String> {
    let text = item.label(LABEL_CHARS_MAX)?;
    let right = !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !right {
        item.mistake("must be the name of an environment variable: letters, digits and _");
    }
    right.then(|| text.to_owned())
}

/// `secrets` of a target.
pub(super) fn read_secrets(item: &Item<'_, '_>) -> Option<BTreeMap<Name, DeclaredSecret>> {
    let entries = item.table()?.entries();
    if entries.len() > SECRETS_MAX {
        item.mistake(format!("more than {SECRETS_MAX} secrets"));
        return None;
    }
    let secrets: Vec<Option<(Name, DeclaredSecret)>> = entries
        .iter()
        .map(|(name, item)| {
            let name = match name.parse::<Name>() {
                Ok(name) => Some(name),
                Err(error) => {
                    item.mistake_of_key(error.to_string());
                    None
                }
            };
            let secret = read_declared(item);
            Some((name?, secret?))
        })
        .collect();
    secrets.into_iter().collect()
}

fn read_declared(item: &Item<'_, '_>) -> Option<DeclaredSecret> {
    let table = item.table()?;
    let value = table
        .need(
            "value",
            "where the secret is, like value = { env = \"APP_ADMIN\" }",
        )
        .and_then(|item| read_secret(&item));
    let places = table
        .need("places", "where it may go, as [[….places]]")
        .and_then(|item| read_places(&item));
    table.finish();
    Some(DeclaredSecret {
        value: value?,
        places: places?,
    })
}

fn read_places(item: &Item<'_, '_>) -> Option<Vec<SecretPlace>> {
    let items = item.list()?;
    if items.len() > SECRETS_MAX {
        item.mistake(format!("more than {SECRETS_MAX} places"));
        return None;
    }
    let places: Vec<Option<SecretPlace>> = items
        .iter()
        .map(|item| {
            let table = item.table()?;
            let place = read_place(&table);
            table.finish();
            place
        })
        .collect();
    places.into_iter().collect()
}

fn read_place(table: &Table<'_, '_>) -> Option<SecretPlace> {
    let method = table
        .need("method", "of the request, like \"POST\"")
        .and_then(|item| {
            let text = item.text()?;
            let known = METHODS.contains(&text);
            if !known {
                item.mistake(format!("must be one of {}", METHODS.join(", ")));
            }
            known.then(|| text.to_owned())
        });
    let scheme = table
        .take("scheme")
        .map_or(Some(HttpScheme::Https), |item| read_scheme(&item));
    let host = table
        .take("host")
        .map_or(Some(None), |item| read_host(&item, item.text()?).map(Some));
    let path = table
        .need(
            "path",
            "of the request, like \"/login\"; a part that is * stands for any one part",
        )
        .and_then(|item| read_path_prefix(&item));
    let position = match (
        table.take("json-pointer"),
        table.take("form-field"),
        table.take("header"),
    ) {
        (Some(item), None, None) => read_pointer(&item).map(SecretPosition::JsonPointer),
        (None, Some(item), None) => item
            .label(LABEL_CHARS_MAX)
            .map(|text| SecretPosition::FormField(text.to_owned())),
        (None, None, Some(item)) => read_header_name(&item).map(SecretPosition::Header),
        (_, _, _) => {
            table.mistake("must have exactly one of `json-pointer`, `form-field` and `header`");
            None
        }
    };
    Some(SecretPlace {
        method: method?,
        scheme: scheme?,
        host: host?,
        path: path?,
        position: position?,
    })
}

/// A JSON pointer (RFC 6901) to something inside the document.
fn read_pointer(item: &Item<'_, '_>) -> Option<String> {
    let text = item.label(LABEL_CHARS_MAX)?;
    let right = text.starts_with('/') && text.replace("~0", "").replace("~1", "").find('~').is_none();
    if !right {
        item.mistake("must be a JSON pointer, like \"/password\" or \"/Operations/0/value\"");
    }
    right.then(|| text.to_owned())
}

/// What settings, secrets and grants say of each other must fit.
pub(super) fn check_secrets(
    settings_item: Option<&Item<'_, '_>>,
    settings: &Value,
    secrets_item: Option<&Item<'_, '_>>,
    secrets: &BTreeMap<Name, DeclaredSecret>,
    grants: &Grants,
) {
    let mut named = BTreeSet::new();
    collect_named(settings, &mut named);
    if let Some(item) = settings_item {
        for name in named
            .iter()
            .filter(|name| !secrets.keys().any(|known| known.as_str() == **name))
        {
            let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
            item.mistake(format!(
                "stand for a secret `{shown}` that is not declared: add [targets.….secrets.{shown}] with its value and places"
            ));
        }
    }
    let Some(item) = secrets_item else { return };
    let hosts: BTreeSet<&str> = grants.http.iter().map(|grant| grant.host.as_str()).collect();
    for (name, secret) in secrets {
        if !named.contains(name.as_str()) {
            item.mistake(format!(
                "`{name}` is of no use: no setting says {{ secret = \"{name}\" }}"
            ));
        }
        for place in &secret.places {
            match &place.host {
                Some(host) if !hosts.contains(host.as_str()) => {
                    item.mistake(format!("`{name}` may go to {host}, but that host is not granted"));
                }
                None if hosts.len() > 1 => item.mistake(format!(
                    "`{name}`: several hosts are granted, so each of its places must say which one it means: add host = \"…\""
                )),
                None if hosts.is_empty() => {
                    item.mistake(format!("`{name}` may go nowhere: no HTTP endpoint is granted"));
                }
                Some(_) | None => check_scheme(item, name, place, grants),
            }
        }
    }
}

/// A secret goes in the clear only where that is said.
fn check_scheme(item: &Item<'_, '_>, name: &Name, place: &SecretPlace, grants: &Grants) {
    let granted = grants.http.iter().any(|grant| {
        grant.scheme == place.scheme && place.host.as_ref().is_none_or(|host| *host == grant.host)
    });
    match place.scheme {
        _ if granted => {}
        HttpScheme::Https => item.mistake(format!(
            "`{name}` may go over https, but only http is granted: if it may be read on the way, add scheme = \"http\" to the place"
        )),
        HttpScheme::Http => {
            item.mistake(format!("`{name}` may go over http, but only https is granted"));
        }
    }
}

fn collect_named<'v>(value: &'v Value, names: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(members) => match secret_named(value) {
            Some(name) => drop(names.insert(name)),
            None => members.values().for_each(|value| collect_named(value, names)),
        },
        Value::Array(items) => items.iter().for_each(|item| collect_named(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Targets, parse};
    use super::*;
    use crate::document::DocumentErrors;

    const PLACE: &str = "[[targets.a.secrets.admin.places]]\nmethod = \"POST\"\npath = \"/Users/*/password\"\njson-pointer = \"/password\"\n";

    fn with(hosts: &[&str], settings: &str, secrets: &str) -> Result<Targets, DocumentErrors> {
        let mut text = format!("[targets.a]\nconnector = \"c\"\nsettings = {settings}\n");
        for host in hosts {
            text.push_str(&format!(
                "[[targets.a.grants.http]]\nscheme = \"https\"\nhost = \"{host}\"\n"
            ));
        }
        parse("t.toml", &format!("{text}{secrets}"))
    }

    fn declared(places: &str) -> String {
        format!("[targets.a.secrets.admin]\nvalue = {{ env = \"APP_ADMIN\" }}\n{places}")
    }

    #[test]
    fn a_declared_secret_reads_with_its_places() {
        let places = format!(
            "{PLACE}[[targets.a.secrets.admin.places]]\nmethod = \"PUT\"\nscheme = \"https\"\nhost = \"a.example\"\npath = \"/x\"\nheader = \"X-Admin\"\n"
        );
        let settings = "{ deep = [{ login = { secret = \"admin\" } }] }";
        let targets = with(&["a.example"], settings, &declared(&places))
            .unwrap()
            .targets;
        let secret = &targets[&"a".parse().unwrap()].secrets[&"admin".parse().unwrap()];
        assert_eq!(secret.value, SecretReference::Env("APP_ADMIN".to_owned()));
        assert_eq!(
            secret.places,
            [
                SecretPlace {
                    method: "POST".to_owned(),
                    scheme: HttpScheme::Https,
                    host: None,
                    path: "/Users/*/password".to_owned(),
                    position: SecretPosition::JsonPointer("/password".to_owned()),
                },
                SecretPlace {
                    method: "PUT".to_owned(),
                    scheme: HttpScheme::Https,
                    host: Some("a.example".to_owned()),
                    path: "/x".to_owned(),
                    position: SecretPosition::Header("X-Admin".to_owned()),
                }
            ]
        );
    }

    #[test]
    fn in_the_clear_only_where_that_is_said() {
        let read = |granted: &str, scheme: &str| {
            let place = PLACE.replace("json", &format!("{scheme}\njson"));
            let text = format!(
                "[targets.a]\nconnector = \"c\"\nsettings = {{ password = {{ secret = \"admin\" }} }}\n\
                 [[targets.a.grants.http]]\nscheme = \"{granted}\"\nhost = \"a.example\"\n{}",
                declared(&place)
            );
            parse("t.toml", &text)
                .map(drop)
                .map_err(|errors| errors.to_string())
        };
        assert_eq!(read("https", ""), Ok(()));
        assert_eq!(read("http", "scheme = \"http\""), Ok(()));
        let errors = read("http", "").unwrap_err();
        assert!(errors.contains("add scheme = \"http\""), "{errors}");
        let errors = read("https", "scheme = \"http\"").unwrap_err();
        assert!(errors.contains("only https is granted"), "{errors}");
    }

    #[test]
    fn what_does_not_fit_together_is_a_mistake() {
        let used = "{ password = { secret = \"admin\" } }";
        let other = PLACE.replace("json", "host = \"c.example\"\njson");
        let cases = [
            (vec!["a.example"], used, String::new(), "not declared"),
            (vec!["a.example"], "{}", declared(PLACE), "of no use"),
            (
                vec!["a.example", "b.example"],
                used,
                declared(PLACE),
                "several hosts",
            ),
            (vec![], used, declared(PLACE), "no HTTP endpoint is granted"),
            (
                vec!["a.example"],
                used,
                declared(&other),
                "that host is not granted",
            ),
            (vec!["a.example"], used, declared(""), "`places` is missing"),
            (
                vec!["a.example"],
                used,
                declared(
                    &PLACE
                        .replace("/password\"\n", "password\"\n")
                        .replace("*/password", "*"),
                ),
                "JSON pointer",
            ),
            (
                vec!["a.example"],
                used,
                declared(&PLACE.replace("POST", "TRACE")),
                "must be one of",
            ),
            (
                vec!["a.example"],
                used,
                declared(&format!("{PLACE}form-field = \"x\"\n")),
                "exactly one of",
            ),
        ];
        for (hosts, settings, secrets, why) in cases {
            let errors = with(&hosts, settings, &secrets).unwrap_err().to_string();
            assert!(errors.contains(why), "{why}: {errors}");
        }
    }
}
