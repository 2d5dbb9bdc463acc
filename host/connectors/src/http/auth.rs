//! Authentication of HTTP requests. Added by the host after the decision, so that a connector never sees a secret and a
//! request that was refused never carries one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use usher_lifecycle::targets::{HttpAuth, SecretReference};

use crate::secrets::{SecretString, Secrets};

/// Whether an authentication can be used as written.
pub(crate) fn check(auth: &HttpAuth) -> Result<(), String> {
    match auth {
        HttpAuth::Bearer(_) => Ok(()),
        HttpAuth::Basic { username, .. } if username.contains(':') => {
            Err("http-auth.basic: a user name cannot hold `:`".to_owned())
        }
        HttpAuth::Basic { .. } => Ok(()),
        HttpAuth::Header { name, .. } => header_name(name).map(|_| ()),
    }
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("http-auth.header: `{}` is not a header name", name.escape_debug()))?;
    let framing = wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS.contains(&header)
        || header == http::header::CONTENT_LENGTH;
    if framing {
        Err(format!("http-auth.header: `{header}` belongs to the host"))
    } else {
        Ok(header)
    }
}

/// Adds the authentication, over anything the connector put there itself.
pub(crate) async fn add(
    headers: &mut HeaderMap,
    auth: &HttpAuth,
    secrets: &dyn Secrets,
) -> Result<(), String> {
    // A connector that sends its own credentials beside ours would make it unclear whose account is used.
    headers.remove(AUTHORIZATION);
    let (name, value) = match auth {
        HttpAuth::Bearer(reference) => {
            let token = resolve(secrets, reference).await?;
            (AUTHORIZATION, sensitive(&format!("Bearer {}", token.expose()))?)
        }
        HttpAuth::Basic { username, password } => {
            let password = resolve(secrets, password).await?;
            let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
            (AUTHORIZATION, sensitive(&format!("Basic {pair}"))?)
        }
        HttpAuth::Header { name, value } => (
            header_name(name)?,
            sensitive(resolve(secrets, value).await?.expose())?,
        ),
    };
    headers.insert(name, value);
    Ok(())
}

async fn resolve(secrets: &dyn Secrets, reference: &SecretReference) -> Result<SecretString, String> {
    secrets
        .resolve(reference)
        .await
        .map_err(|why| format!("the target's secret cannot be had: {why}"))
}

fn sensitive(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| "the target's secret holds characters that cannot stand in an HTTP header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::FixedSecrets;

    async fn added(auth: HttpAuth) -> HeaderMap {
        let secrets = FixedSecrets::none().with("S", "pa:ss");
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer guest"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer guest-2"));
        add(&mut headers, &auth, &secrets).await.unwrap();
        headers
    }

    #[tokio::test]
    async fn the_host_s_authentication_replaces_the_guest_s() {
        let secret = || SecretReference::Env("S".to_owned());
        let bearer = added(HttpAuth::Bearer(secret())).await;
        assert_eq!(
            bearer.get_all(AUTHORIZATION).iter().collect::<Vec<_>>(),
            ["Bearer pa:ss"]
        );
        assert!(!format!("{bearer:?}").contains("pa:ss"));
        let basic = added(HttpAuth::Basic {
            username: "me".to_owned(),
            password: secret(),
        })
        .await;
        assert_eq!(basic[AUTHORIZATION], "Basic bWU6cGE6c3M=");
        let header = added(HttpAuth::Header {
            name: "X-Api-Key".to_owned(),
            value: secret(),
        })
        .await;
        assert_eq!(header["x-api-key"], "pa:ss");
        assert!(!header.contains_key(AUTHORIZATION));
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_an_error_without_the_secret() {
        let secrets = FixedSecrets::none().with("S", "line\nbreak");
        let auth = HttpAuth::Bearer(SecretReference::Env("S".to_owned()));
        let error = add(&mut HeaderMap::new(), &auth, &secrets).await.unwrap_err();
        assert!(!error.contains("break"), "{error}");
        let auth = HttpAuth::Bearer(SecretReference::Env("MISSING".to_owned()));
        assert!(
            add(&mut HeaderMap::new(), &auth, &secrets)
                .await
                .unwrap_err()
                .contains("MISSING")
        );
    }

    #[test]
    fn headers_that_frame_the_message_cannot_be_configured() {
        for name in ["Host", "transfer-encoding", "Content-Length", "bad name"] {
            let value = SecretReference::Env("S".to_owned());
            assert!(
                check(&HttpAuth::Header {
                    name: name.to_owned(),
                    value
                })
                .is_err(),
                "{name}"
            );
        }
    }
}
