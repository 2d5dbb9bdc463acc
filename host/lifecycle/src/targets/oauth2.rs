//! How the host fetches access tokens.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::grants::wrong_host;
use super::secrets::{SecretReference, read_secret};
use super::{HttpGrant, HttpScheme};
use crate::document::item::Item;
use crate::policy::LABEL_CHARS_MAX;

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

/// `http-auth.oauth2` of a target.
pub(super) fn read_oauth2(item: &Item<'_, '_>) -> Option<OAuth2> {
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
