//! How the host authenticates HTTP requests of a target.

use super::oauth2::{OAuth2, read_oauth2};
use super::secrets::{SecretReference, read_secret};
use crate::document::item::Item;
use crate::document::reader::Table;
use crate::policy::LABEL_CHARS_MAX;

/// Headers that frame a message or belong to one connection; setting one could smuggle a second request or name another host.
const CONNECTION_HEADERS: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a header is the host's alone, whatever the letters' case; `_` is `-`, as for servers that hand headers on as variables (CGI, WSGI).
pub fn belongs_to_connection(name: &str) -> bool {
    let name = name.replace('_', "-");
    CONNECTION_HEADERS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(&name))
}

/// How the host authenticates HTTP requests; the connector never sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpAuth {
    /// `Authorization: Bearer …`.
    Bearer(SecretReference),
    /// `Authorization: Basic …`.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: SecretReference,
    },
    /// A header of the target's own.
    Header {
        /// Its name.
        name: String,
        /// What stands before the secret, like `Token `; may be empty.
        prefix: String,
        /// The secret.
        value: SecretReference,
    },
    /// A parameter of the query.
    Query {
        /// Its name.
        name: String,
        /// Its value.
        value: SecretReference,
    },
    /// `Authorization: Bearer …` with an access token that the host fetches and renews.
    OAuth2(OAuth2),
}

impl HttpAuth {
    /// The secrets it needs, each with the key it stands under.
    pub fn secrets(&self) -> Vec<(&'static str, &SecretReference)> {
        match self {
            Self::Bearer(reference) => vec![("http-auth.bearer", reference)],
            Self::Basic { password, .. } => vec![("http-auth.basic.password", password)],
            Self::Header { value, .. } => vec![("http-auth.header.value", value)],
            Self::Query { value, .. } => vec![("http-auth.query.value", value)],
            Self::OAuth2(oauth2) => {
                let client = oauth2.client_secret.as_ref();
                let refresh = oauth2.refresh_token.as_ref();
                client
                    .map(|reference| ("http-auth.oauth2.client-secret", reference))
                    .into_iter()
                    .chain(refresh.map(|reference| ("http-auth.oauth2.refresh-token", reference)))
                    .collect()
            }
        }
    }
}

/// `http-auth` of a target.
pub(super) fn read_http_auth(item: &Item<'_, '_>) -> Option<HttpAuth> {
    let table = item.table()?;
    let kinds = ["bearer", "basic", "header", "query", "oauth2"];
    let mut given: Vec<_> = kinds
        .iter()
        .filter_map(|kind| Some((*kind, table.take(kind)?)))
        .collect();
    let auth = match (given.pop(), given.is_empty()) {
        (Some(("bearer", item)), true) => read_secret(&item).map(HttpAuth::Bearer),
        (Some(("basic", item)), true) => read_basic(&item),
        (Some(("header", item)), true) => read_header(&item),
        (Some(("query", item)), true) => read_query(&item),
        (Some((_, item)), true) => read_oauth2(&item).map(HttpAuth::OAuth2),
        (_, _) => {
            table.mistake("must have exactly one of `bearer`, `basic`, `header`, `query` and `oauth2`");
            None
        }
    };
    table.finish();
    auth
}

fn read_basic(item: &Item<'_, '_>) -> Option<HttpAuth> {
    let table = item.table()?;
    let username = table.need("username", "the user name").and_then(|item| {
        let text = item.label(LABEL_CHARS_MAX)?;
        if text.contains(':') {
            item.mistake("a user name must not contain a colon");
            return None;
        }
        Some(text.to_owned())
    });
    let password = table
        .need(
            "password",
            "where the password is, like password = { env = \"APP_PASSWORD\" }",
        )
        .and_then(|item| read_secret(&item));
    table.finish();
    Some(HttpAuth::Basic {
        username: username?,
        password: password?,
    })
}

fn read_header(item: &Item<'_, '_>) -> Option<HttpAuth> {
    let table = item.table()?;
    let name = table
        .need("name", "the header's name")
        .and_then(|item| read_header_name(&item));
    let prefix = table.take("prefix").map_or(Some(String::new()), |item| {
        let text = item.label(LABEL_CHARS_MAX)?;
        let right = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if !right {
            item.mistake("must be in ASCII, like \"Token \"");
        }
        right.then(|| text.to_owned())
    });
    let value = need_value(&table);
    table.finish();
    Some(HttpAuth::Header {
        name: name?,
        prefix: prefix?,
        value: value?,
    })
}

/// The name of a header that may be set.
pub(super) fn read_header_name(item: &Item<'_, '_>) -> Option<String> {
    let text = item.label(LABEL_CHARS_MAX)?;
    if !text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    {
        item.mistake("the name of a header has letters, digits, - and _");
        None
    } else if belongs_to_connection(text) {
        let lower = text.to_ascii_lowercase();
        item.mistake(format!("`{lower}` belongs to the connection and cannot be set"));
        None
    } else {
        Some(text.to_owned())
    }
}

fn read_query(item: &Item<'_, '_>) -> Option<HttpAuth> {
    let table = item.table()?;
    let name = table
        .need("name", "the parameter's name, like \"api_key\"")
        .and_then(|item| Some(item.label(LABEL_CHARS_MAX)?.to_owned()));
    let value = need_value(&table);
    table.finish();
    Some(HttpAuth::Query {
        name: name?,
        value: value?,
    })
}

fn need_value(table: &Table<'_, '_>) -> Option<SecretReference> {
    table
        .need("value", "where the value is, like value = { env = \"API_KEY\" }")
        .and_then(|item| read_secret(&item))
}

#[cfg(test)]
mod tests {
    use super::super::{ClientAuth, Targets, parse};
    use super::*;
    use crate::document::DocumentErrors;

    fn with(auth: &str) -> Result<Targets, DocumentErrors> {
        let text = format!(
            "[targets.a]\nconnector = \"c\"\n[[targets.a.grants.http]]\nscheme = \"https\"\nhost = \"a.example\"\n{auth}"
        );
        parse("t.toml", &text)
    }

    fn auth(text: &str) -> HttpAuth {
        let mut targets = with(text).unwrap().targets;
        targets.pop_first().unwrap().1.http_auth.unwrap()
    }

    fn env(name: &str) -> SecretReference {
        SecretReference::Env(name.to_owned())
    }

    #[test]
    fn every_kind_reads() {
        assert_eq!(
            auth(
                "[targets.a.http-auth.header]\nname = \"Authorization\"\nprefix = \"Token \"\nvalue = { env = \"K\" }\n"
            ),
            HttpAuth::Header {
                name: "Authorization".to_owned(),
                prefix: "Token ".to_owned(),
                value: env("K")
            }
        );
        assert_eq!(
            auth("[targets.a.http-auth.query]\nname = \"api_key\"\nvalue = { env = \"K\" }\n"),
            HttpAuth::Query {
                name: "api_key".to_owned(),
                value: env("K")
            }
        );
        let oauth2 = auth(
            "[targets.a.http-auth.oauth2]\ntoken-url = \"https://login.example.com:8443/t?v=2\"\nclient-id = \"usher\"\n\
             client-secret = { env = \"C\" }\nrefresh-token = { env = \"R\" }\nclient-auth = \"body\"\nscope = \"a b\"\naudience = \"x\"\n\
             parameters = { resource = \"r\" }\n",
        );
        assert_eq!(
            oauth2.secrets(),
            [
                ("http-auth.oauth2.client-secret", &env("C")),
                ("http-auth.oauth2.refresh-token", &env("R"))
            ]
        );
        let HttpAuth::OAuth2(oauth2) = oauth2 else {
            panic!("{oauth2:?}")
        };
        assert_eq!(
            oauth2.token_url.to_string(),
            "https://login.example.com:8443/t?v=2"
        );
        let grant = oauth2.token_url.grant(false);
        assert_eq!(
            (grant.methods, grant.path_prefix.as_deref(), grant.port),
            (vec!["POST".to_owned()], Some("/t"), Some(8443))
        );
        assert_eq!(
            (oauth2.client_auth, oauth2.parameters["resource"].as_str()),
            (ClientAuth::Body, "r")
        );
    }

    #[test]
    fn what_cannot_work_is_a_mistake() {
        let oauth2 = |lines: &str| {
            format!(
                "[targets.a.http-auth.oauth2]\nclient-id = \"u\"\nclient-secret = {{ env = \"C\" }}\n{lines}\n"
            )
        };
        let cases = [
            ("[targets.a.http-auth]\n".to_owned(), "exactly one of"),
            (
                "[targets.a.http-auth]\nbearer = { env = \"A\" }\nquery = { name = \"k\", value = { env = \"A\" } }\n"
                    .to_owned(),
                "exactly one of",
            ),
            (
                "[targets.a.http-auth.header]\nname = \"Host\"\nvalue = { env = \"A\" }\n".to_owned(),
                "belongs to the connection",
            ),
            (oauth2(""), "`token-url` is missing"),
            (oauth2("token-url = \"http://login.example.com/t\""), "must be https"),
            (oauth2("token-url = \"https://me@login.example.com/t\""), "without a user name"),
            (oauth2("token-url = \"https://login.example.com/../t\""), "without . or .."),
            (oauth2("token-url = \"https://login.example.com:0/t\""), "the port"),
            (oauth2("token-url = \"login.example.com\""), "must begin with https"),
            (
                oauth2("token-url = \"https://l.example/t\"\nparameters = { grant_type = \"password\" }"),
                "has a key of its own",
            ),
            (
                "[targets.a.http-auth.oauth2]\ntoken-url = \"https://l.example/t\"\nclient-id = \"u\"\n".to_owned(),
                "needs `client-secret`",
            ),
        ];
        for (text, why) in cases {
            let errors = with(&text).unwrap_err().to_string();
            assert!(errors.contains(why), "{text}: {errors}");
        }
        assert!(
            with(&oauth2(
                "token-url = \"http://[::1]:8080/t\"\nprivate-addresses = true"
            ))
            .is_ok()
        );
    }
}
