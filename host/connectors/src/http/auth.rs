//! Authentication of HTTP requests. Added by the host after the decision, so that a connector never sees a secret and a
//! request that was refused never carries one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use usher_lifecycle::connector::ErrorKind;
use usher_lifecycle::targets::{HttpAuth, SecretReference, Target, belongs_to_connection};
use zeroize::Zeroizing;

use super::Fetcher;
use super::oauth2::{AccessToken, TokenSource};
use super::resolved::Resolved;
use super::transport::Wire;
use crate::journal::HostFailure;
use crate::secrets::{SecretString, Secrets};

/// All but what RFC 3986 (2.3) calls unreserved, which stays as it is: some servers do not take `%5F` for `_`.
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How the requests of one generation are authenticated.
pub(crate) struct Authenticator {
    kind: Kind,
}

enum Kind {
    Bearer(SecretReference),
    Basic {
        username: String,
        password: SecretReference,
    },
    Header {
        name: HeaderName,
        prefix: String,
        value: SecretReference,
    },
    Query {
        name: String,
        value: SecretReference,
    },
    OAuth2(Arc<TokenSource>),
}

/// What was added to a request.
#[derive(Default)]
pub(crate) struct Added {
    /// In the forms in which it left: none may come back.
    pub(crate) secrets: Vec<SecretString>,
    /// The access token, where one was used: it may be thrown away and another be fetched.
    pub(crate) token: Option<Arc<AccessToken>>,
}

impl Authenticator {
    /// Of one target; an error says what of its configuration cannot be used.
    pub(crate) fn new(
        target: &Target,
        wire: &Wire,
        secrets: &Arc<dyn Secrets>,
    ) -> Result<Option<Self>, String> {
        let Some(auth) = &target.http_auth else {
            return Ok(None);
        };
        let kind = match auth.clone() {
            HttpAuth::Bearer(reference) => Kind::Bearer(reference),
            HttpAuth::Basic { username, .. } if username.contains(':') => {
                return Err("http-auth.basic: a user name cannot hold `:`".to_owned());
            }
            HttpAuth::Basic { username, password } => Kind::Basic { username, password },
            HttpAuth::Header { name, prefix, value } => Kind::Header {
                name: header_name(&name)?,
                prefix,
                value,
            },
            HttpAuth::Query { name, value } => Kind::Query { name, value },
            HttpAuth::OAuth2(oauth2) => {
                let rule = oauth2.token_url.grant(oauth2.private_addresses);
                let fetcher = Fetcher::new(wire, target.name.to_string(), rule);
                let source = TokenSource::new(target.name.clone(), oauth2, fetcher, Arc::clone(secrets));
                Kind::OAuth2(Arc::new(source))
            }
        };
        Ok(Some(Self { kind }))
    }

    /// Adds the authentication, over anything the connector put there itself: its own credentials beside ours would make it unclear
    /// whose account is used.
    pub(crate) async fn add(&self, parts: &mut Parts, resolved: &Resolved) -> Result<Added, HostFailure> {
        parts.headers.remove(AUTHORIZATION);
        match &self.kind {
            Kind::Bearer(reference) => {
                let token = resolved.get(reference)?;
                let value = Zeroizing::new(format!("Bearer {}", token.expose()));
                set(parts, AUTHORIZATION, &value, token)
            }
            Kind::Basic { username, password } => {
                let password = resolved.get(password)?;
                let value = basic(username, password.expose());
                let mut added = set(parts, AUTHORIZATION, &value, password)?;
                added
                    .secrets
                    .push(SecretString::new(value.trim_start_matches("Basic ")));
                Ok(added)
            }
            Kind::Header { name, prefix, value } => {
                let secret = resolved.get(value)?;
                let value = Zeroizing::new(format!("{prefix}{}", secret.expose()));
                set(parts, name.clone(), &value, secret)
            }
            Kind::Query { name, value } => {
                let secret = resolved.get(value)?;
                with_parameter(parts, name, &secret).map_err(unusable)?;
                Ok(Added {
                    secrets: vec![secret],
                    token: None,
                })
            }
            Kind::OAuth2(source) => {
                let token = source.token(resolved).await?;
                let secret = token.secret().clone();
                let value = Zeroizing::new(format!("Bearer {}", secret.expose()));
                let mut added = set(parts, AUTHORIZATION, &value, secret)?;
                added.secrets.extend(token.beside().iter().cloned());
                added.token = Some(token);
                Ok(added)
            }
        }
    }

    /// The target did not accept an access token. Whether another one is worth a try.
    pub(crate) async fn renew(&self, refused: &Arc<AccessToken>) -> bool {
        match &self.kind {
            Kind::OAuth2(source) => source.throw_away(refused).await,
            Kind::Bearer(_) | Kind::Basic { .. } | Kind::Header { .. } | Kind::Query { .. } => false,
        }
    }
}

fn set(parts: &mut Parts, name: HeaderName, value: &str, secret: SecretString) -> Result<Added, HostFailure> {
    parts.headers.insert(name, sensitive(value).map_err(unusable)?);
    Ok(Added {
        secrets: vec![secret],
        token: None,
    })
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("http-auth.header: `{}` is not a header name", name.escape_debug()))?;
    if belongs_to_connection(header.as_str()) {
        Err(format!("http-auth.header: `{header}` belongs to the host"))
    } else {
        Ok(header)
    }
}

/// Puts a parameter at the end of the query, in place of any of that name.
fn with_parameter(parts: &mut Parts, name: &str, secret: &SecretString) -> Result<(), String> {
    let query = parts.uri.query().unwrap_or_default();
    let others = query.split('&').filter(|pair| {
        let written = pair.split('=').next().unwrap_or_default().replace('+', " ");
        !pair.is_empty() && percent_decode_str(&written).decode_utf8_lossy() != name
    });
    let mut text = Zeroizing::new(format!("{}?", parts.uri.path()));
    for pair in others {
        text.push_str(pair);
        text.push('&');
    }
    let value = Zeroizing::new(utf8_percent_encode(secret.expose(), RESERVED).to_string());
    text.push_str(&format!("{}=", utf8_percent_encode(name, RESERVED)));
    text.push_str(&value);
    let wrong = |_| "the address with the target's secret in it is too long".to_owned();
    let mut uri = parts.uri.clone().into_parts();
    uri.path_and_query = Some(text.parse::<PathAndQuery>().map_err(wrong)?);
    parts.uri = http::Uri::from_parts(uri).map_err(|_| "the address cannot be made".to_owned())?;
    Ok(())
}

/// `Basic …` (RFC 7617).
pub(super) fn basic(username: &str, password: &str) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{username}:{password}"));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

fn unusable(what: String) -> HostFailure {
    HostFailure::of(ErrorKind::Misconfigured, what)
}

pub(super) fn sensitive(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| "the target's secret holds characters that cannot stand in an HTTP header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Request};

    use super::*;
    use crate::secrets::FixedSecrets;

    async fn add(kind: Kind, parts: &mut Parts, secrets: FixedSecrets) -> Result<Added, HostFailure> {
        let resolved = Resolved::of(&[env()], &secrets).await;
        Authenticator { kind }.add(parts, &resolved).await
    }

    fn env() -> SecretReference {
        SecretReference::Env("S".to_owned())
    }

    async fn parts_with(kind: Kind, uri: &str) -> Parts {
        let request = Request::get(uri)
            .header(AUTHORIZATION, "Bearer guest")
            .header(AUTHORIZATION, "Bearer guest-2");
        let mut parts = request.body(()).unwrap().into_parts().0;
        let secrets = FixedSecrets::none().with("S", "pa:ss");
        add(kind, &mut parts, secrets).await.unwrap();
        parts
    }

    async fn headers_with(kind: Kind) -> HeaderMap {
        parts_with(kind, "https://a.example/").await.headers
    }

    #[tokio::test]
    async fn the_host_s_authentication_replaces_the_guest_s() {
        let bearer = headers_with(Kind::Bearer(env())).await;
        assert_eq!(
            bearer.get_all(AUTHORIZATION).iter().collect::<Vec<_>>(),
            ["Bearer pa:ss"]
        );
        assert!(!format!("{bearer:?}").contains("pa:ss"));
        let basic = headers_with(Kind::Basic {
            username: "me".to_owned(),
            password: env(),
        })
        .await;
        assert_eq!(basic[AUTHORIZATION], "Basic bWU6cGE6c3M=");
        let header = headers_with(Kind::Header {
            name: HeaderName::from_static("x-api-key"),
            prefix: "Token ".to_owned(),
            value: env(),
        })
        .await;
        assert_eq!(header["x-api-key"], "Token pa:ss");
        assert!(!header.contains_key(AUTHORIZATION));
    }

    #[tokio::test]
    async fn a_parameter_replaces_the_guest_s_however_it_is_written() {
        for (before, after) in [
            ("https://a.example/x", "/x?api_key=pa%3Ass"),
            (
                "https://a.example/x?a=1&api_key=mine&b",
                "/x?a=1&b&api_key=pa%3Ass",
            ),
            (
                "https://a.example/?api%5fkey=mine&%61pi_key=mine",
                "/?api_key=pa%3Ass",
            ),
        ] {
            let query = Kind::Query {
                name: "api_key".to_owned(),
                value: env(),
            };
            let parts = parts_with(query, before).await;
            assert_eq!(parts.uri.path_and_query().unwrap(), after);
            assert_eq!(parts.uri.host(), Some("a.example"));
            assert!(!parts.headers.contains_key(AUTHORIZATION));
        }
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_an_error_without_the_secret() {
        let failed = async |secrets: FixedSecrets| {
            let mut parts = Request::get("/").body(()).unwrap().into_parts().0;
            let added = add(Kind::Bearer(env()), &mut parts, secrets).await;
            added.err().unwrap()
        };
        let error = failed(FixedSecrets::none().with("S", "line\nbreak")).await;
        assert!(!error.message.contains("break"), "{error:?}");
        let error = failed(FixedSecrets::none()).await;
        assert!(error.message.contains("`S`"), "{error:?}");
        assert_eq!(error.kind, ErrorKind::Misconfigured);
    }

    #[test]
    fn headers_that_frame_the_message_cannot_be_configured() {
        for name in ["Host", "transfer-encoding", "Content-Length", "bad name"] {
            assert!(header_name(name).is_err(), "{name}");
        }
    }
}
