//! How the host authenticates HTTP requests of a target.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::grants::wrong_host;
use super::secrets::{SecretReference, read_secret};
use super::{HttpGrant, HttpScheme};
use crate::document::item::Item;
use crate::document::reader::Table;
use crate::policy::LABEL_CHARS_MAX;

/// Headers that belong to the transport; setting one could smuggle a second request or name another host.
const TRANSPORT_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Parameters of a token request that have keys of their own, or that the host sets.
const TOKEN_PARAMETERS: [&str; 6] = [
    "audience",
    "client_id",
    "client_secret",
    "grant_type",
    "refresh_token",
    "scope",
];
/// Most further parameters of a token request: servers know two or three.
const PARAMETERS_MAX: usize = 20;
/// Longest text of a token request, in characters: scopes of one large vendor are URLs, dozens of them.
const TOKEN_TEXT_CHARS_MAX: usize = 4_096;

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

/// How access tokens are fetched. With a refresh token that grant is used, else client credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OAuth2 {
    /// Where tokens are given.
    pub token_url: TokenUrl,
    /// Allows a token endpoint at a loopback or private address.
    pub private_addresses: bool,
    /// Who asks.
    pub client_id: String,
    /// The client's secret; a public client with a refresh token has none.
    pub client_secret: Option<SecretReference>,
    /// How the client shows who it is.
    pub client_auth: ClientAuth,
    /// The refresh token to begin with.
    pub refresh_token: Option<SecretReference>,
    /// The scope asked for.
    pub scope: Option<String>,
    /// The audience asked for.
    pub audience: Option<String>,
    /// Further parameters of the request.
    pub parameters: BTreeMap<String, String>,
}

/// How a client shows a token endpoint who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuth {
    /// By HTTP Basic: every server of the standard takes it.
    #[default]
    Basic,
    /// As `client_id` and `client_secret` in the body.
    Body,
}

/// Address of a token endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenUrl {
    /// `https`, or `http` inside a private network.
    pub scheme: HttpScheme,
    /// Exact host name or IP literal without brackets, lower case.
    pub host: String,
    /// Port; the scheme's own when not given.
    pub port: Option<u16>,
    /// From `/`, perhaps with a query.
    pub path_and_query: String,
}

impl TokenUrl {
    fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("https", rest)) => (HttpScheme::Https, rest),
            Some(("http", rest)) => (HttpScheme::Http, rest),
            _ => return Err("must begin with https://".to_owned()),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = split_port(authority);
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return Err("the port must be a number from 1 to 65535".to_owned()),
        };
        if let Some(wrong) = wrong_host(host) {
            return Err(format!("the host {wrong}"));
        }
        let path = if path.is_empty() { "/" } else { path };
        let detour = path.split('/').any(|part| part == "." || part == "..");
        if !path.starts_with('/')
            || detour
            || !path.bytes().all(|b| b.is_ascii_graphic())
            || path.contains('#')
        {
            return Err("after the host comes a path from /, without . or .. parts and without #".to_owned());
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port,
            path_and_query: path.to_owned(),
        })
    }

    /// The only thing that may be reached to fetch a token.
    pub fn grant(&self, private_addresses: bool) -> HttpGrant {
        let path = self.path_and_query.split('?').next().unwrap_or("/");
        HttpGrant {
            scheme: self.scheme,
            host: self.host.clone(),
            port: self.port,
            methods: vec!["POST".to_owned()],
            path_prefix: Some(path.to_owned()),
            private_addresses,
        }
    }
}

/// `host:port`, `[v6]:port` or either without a port; the host without brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':'));
    }
    match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

impl fmt::Display for TokenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            HttpScheme::Https => "https",
            HttpScheme::Http => "http",
        };
        write!(f, "{scheme}://")?;
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path_and_query)
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
    let lower = text.to_ascii_lowercase();
    if !text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    {
        item.mistake("the name of a header has letters, digits, - and _");
        None
    } else if TRANSPORT_HEADERS.contains(&lower.as_str()) {
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

fn read_oauth2(item: &Item<'_, '_>) -> Option<OAuth2> {
    let table = item.table()?;
    let text = |key: &str| {
        table.take(key).map_or(Some(None), |item| {
            Some(Some(item.label(TOKEN_TEXT_CHARS_MAX)?.to_owned()))
        })
    };
    let secret = |key: &str| {
        table
            .take(key)
            .map_or(Some(None), |item| read_secret(&item).map(Some))
    };
    let private_addresses = table
        .take("private-addresses")
        .map_or(Some(false), |item| item.flag());
    let token_url = table
        .need("token-url", "where access tokens are given")
        .and_then(|item| read_token_url(&item, private_addresses == Some(true)));
    let client_id = table
        .need("client-id", "the name Usher is registered under")
        .and_then(|item| Some(item.label(LABEL_CHARS_MAX)?.to_owned()));
    let (client_secret, refresh_token) = (secret("client-secret"), secret("refresh-token"));
    let client_auth = table.take("client-auth").map_or(Some(ClientAuth::Basic), |item| {
        item.choice(&[("basic", ClientAuth::Basic), ("body", ClientAuth::Body)])
    });
    let (scope, audience) = (text("scope"), text("audience"));
    let parameters = table
        .take("parameters")
        .map_or(Some(BTreeMap::new()), |item| read_parameters(&item));
    table.finish();
    if matches!((&client_secret, &refresh_token), (Some(None), Some(None))) {
        table.mistake("needs `client-secret`, or `refresh-token`, or both");
        return None;
    }
    Some(OAuth2 {
        token_url: token_url?,
        private_addresses: private_addresses?,
        client_id: client_id?,
        client_secret: client_secret?,
        client_auth: client_auth?,
        refresh_token: refresh_token?,
        scope: scope?,
        audience: audience?,
        parameters: parameters?,
    })
}

fn read_token_url(item: &Item<'_, '_>, private_addresses: bool) -> Option<TokenUrl> {
    match TokenUrl::parse(item.label(TOKEN_TEXT_CHARS_MAX)?) {
        Ok(url) if url.scheme == HttpScheme::Http && !private_addresses => {
            item.mistake(
                "must be https, or the client's secret can be read on the way (http only together with private-addresses = true)",
            );
            None
        }
        Ok(url) => Some(url),
        Err(why) => {
            item.mistake(format!(
                "must be an address like \"https://login.example.com/oauth2/token\": {why}"
            ));
            None
        }
    }
}

fn read_parameters(item: &Item<'_, '_>) -> Option<BTreeMap<String, String>> {
    let entries = item.table()?.entries();
    if entries.len() > PARAMETERS_MAX {
        item.mistake(format!("more than {PARAMETERS_MAX} parameters"));
        return None;
    }
    let parameters: Vec<Option<(String, String)>> = entries
        .iter()
        .map(|(name, item)| {
            if TOKEN_PARAMETERS.contains(name) {
                item.mistake_of_key("has a key of its own, or is set by the host");
                return None;
            }
            Some(((*name).to_owned(), item.label(TOKEN_TEXT_CHARS_MAX)?.to_owned()))
        })
        .collect();
    parameters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Targets, parse};
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
