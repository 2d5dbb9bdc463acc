//! One request to a token endpoint: what is sent, and what its answer means. Nothing is kept here.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use percent_encoding::utf8_percent_encode;
use serde_json::Value;
use usher_lifecycle::connector::ErrorKind;
use usher_lifecycle::targets::{ClientAuth, OAuth2};
use zeroize::Zeroizing;

use super::super::auth::{RESERVED, basic, sensitive};
use super::super::{FetchError, Fetcher};
use crate::guest_text::line_of;
use crate::journal::HostFailure;
use crate::secrets::SecretString;

/// Largest answer of a token endpoint, in bytes: the longest tokens seen are about 10 KB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest token that is taken, in bytes: every answer of the target is searched for it, and what is searched for is built anew with each.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Longest wait for a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a token is taken to be good when the answer does not say: short, because nobody knows.
const LIFE_UNKNOWN: Duration = Duration::from_secs(300);
/// Longest life that is believed: a day. What lives longer is fetched anew, which costs nothing.
const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest code of an error that is shown, in bytes.
const CODE_BYTES_MAX: usize = 64;
/// What is sent: the configuration with its secrets in place.
pub(super) struct Credentials<'c> {
    pub(super) oauth2: &'c OAuth2,
    pub(super) client_secret: Option<&'c SecretString>,
    pub(super) refresh_token: Option<&'c SecretString>,
}

/// What a token endpoint gave.
pub(super) struct Grant {
    pub(super) access_token: SecretString,
    pub(super) good_until: Instant,
    /// A refresh token in place of the one sent.
    pub(super) refresh_token: Option<SecretString>,
}

/// Why there is no token.
#[derive(Clone, Debug)]
pub(super) struct NoToken {
    pub(super) failure: HostFailure,
    /// The server says that the refresh token is not good (any more).
    pub(super) invalid_grant: bool,
}

/// Asks for a token.
pub(super) async fn exchange(fetcher: &Fetcher, credentials: &Credentials<'_>) -> Result<Grant, NoToken> {
    let url = &credentials.oauth2.token_url;
    let began = Instant::now();
    let request = request(credentials).map_err(|why| no_token(ErrorKind::Misconfigured, why, None))?;
    let answer = fetcher
        .fetch(request, ANSWER_BYTES_MAX, began + TOKEN_TIMEOUT)
        .await;
    let answer = answer.map_err(|error| {
        let kind = match &error {
            FetchError::Refused(_) => ErrorKind::Misconfigured,
            FetchError::Unreachable(_) | FetchError::Lost(_) | FetchError::TooLarge(_) => {
                ErrorKind::Unavailable
            }
        };
        no_token(kind, format!("no access token from {url}: {error}"), None)
    })?;
    read(&answer, began).map_err(|mut refused| {
        refused.failure.message = format!("no access token from {url}: {}", refused.failure.message);
        refused
    })
}

fn no_token(kind: ErrorKind, message: String, retry_after: Option<Duration>) -> NoToken {
    let retry_after_ms = retry_after.and_then(|wait| u64::try_from(wait.as_millis()).ok());
    NoToken {
        failure: HostFailure {
            kind,
            message,
            retry_after_ms,
        },
        invalid_grant: false,
    }
}

fn request(credentials: &Credentials<'_>) -> Result<Request<Bytes>, String> {
    let oauth2 = credentials.oauth2;
    let mut form = Form::default();
    match credentials.refresh_token {
        Some(token) => {
            form.add("grant_type", "refresh_token");
            form.add("refresh_token", token.expose());
        }
        None => form.add("grant_type", "client_credentials"),
    }
    if let Some(scope) = &oauth2.scope {
        form.add("scope", scope);
    }
    if let Some(audience) = &oauth2.audience {
        form.add("audience", audience);
    }
    for (name, value) in &oauth2.parameters {
        form.add(name, value);
    }
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(oauth2.token_url.to_string())
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    match (credentials.client_secret, oauth2.client_auth) {
        (Some(secret), ClientAuth::Basic) => {
            // RFC 6749, 2.3.1: both parts are form-encoded before they are joined.
            let id = utf8_percent_encode(&oauth2.client_id, RESERVED);
            let secret = Zeroizing::new(utf8_percent_encode(secret.expose(), RESERVED).to_string());
            let value = basic(&id.to_string(), &secret);
            request = request.header(AUTHORIZATION, sensitive(&value)?);
        }
        (Some(secret), ClientAuth::Body) => {
            form.add("client_id", &oauth2.client_id);
            form.add("client_secret", secret.expose());
        }
        (None, _) => form.add("client_id", &oauth2.client_id),
    }
    request
        .body(Bytes::copy_from_slice(form.0.as_bytes()))
        .map_err(|error| format!("the token request cannot be made: {error}"))
}

/// A body of `application/x-www-form-urlencoded`.
#[derive(Default)]
struct Form(Zeroizing<String>);

impl Form {
    fn add(&mut self, name: &str, value: &str) {
        let join = if self.0.is_empty() { "" } else { "&" };
        let name = utf8_percent_encode(name, RESERVED);
        let pair = Zeroizing::new(format!("{join}{name}={}", utf8_percent_encode(value, RESERVED)));
        self.0.push_str(&pair);
    }
}

fn read(answer: &Response<Bytes>, began: Instant) -> Result<Grant, NoToken> {
    let status = answer.status();
    if status != StatusCode::OK {
        return Err(refused(status, answer));
    }
    let broken = |why: &str| {
        no_token(
            ErrorKind::Unavailable,
            format!("its answer cannot be used: {why}"),
            None,
        )
    };
    let body: Value = serde_json::from_slice(answer.body()).map_err(|_| broken("it is not JSON"))?;
    let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty());
    let token = text("access_token").ok_or_else(|| broken("`access_token` is missing"))?;
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(broken("`access_token` cannot stand in a header"));
    }
    for name in ["access_token", "refresh_token"] {
        let bytes = text(name).map_or(0, str::len);
        if bytes > TOKEN_BYTES_MAX {
            return Err(broken(&format!(
                "`{name}` has {bytes} bytes; at most {TOKEN_BYTES_MAX} are taken"
            )));
        }
    }
    if text("token_type").is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(broken("its `token_type` is not `bearer`"));
    }
    Ok(Grant {
        access_token: SecretString::new(token),
        good_until: began + life(&body["expires_in"]),
        refresh_token: text("refresh_token").map(SecretString::new),
    })
}

/// How long a token is used: until shortly before its end, so that it does not end on the way.
fn life(expires_in: &Value) -> Duration {
    // Some servers write the number as a text.
    let seconds = match expires_in {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    let life = seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or(LIFE_UNKNOWN)
        .min(LIFE_MAX);
    life - (life / 4).min(Duration::from_secs(60))
}

/// Sorts a refusal by what the operator can do about it.
fn refused(status: StatusCode, answer: &Response<Bytes>) -> NoToken {
    let said: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    // Only the code is shown: a description may repeat what was sent.
    let code = line_of(said["error"].as_str().unwrap_or_default(), CODE_BYTES_MAX);
    let wait = retry_after(answer.headers());
    let (kind, what_to_do) = match (status.as_u16(), code.as_str()) {
        (_, "invalid_client") | (401, _) => (
            ErrorKind::AuthFailed,
            "the client is not accepted; check client-id, client-secret and client-auth",
        ),
        (_, "invalid_grant") => (
            ErrorKind::AuthFailed,
            "the refresh token is not accepted (any more); authorise Usher again and set the new one",
        ),
        (_, "unauthorized_client" | "access_denied") | (403, _) => (
            ErrorKind::AuthFailed,
            "the client may not have such a token; check its registration there",
        ),
        (_, "slow_down") | (429, _) => (ErrorKind::RateLimited, "asked too often"),
        (408 | 425 | 500..=599, _) | (_, "temporarily_unavailable" | "server_error") => {
            (ErrorKind::Unavailable, "the server fails")
        }
        (_, "invalid_scope") => (ErrorKind::Misconfigured, "check scope"),
        (_, "unsupported_grant_type") => (
            ErrorKind::Misconfigured,
            "the server does not know this kind of grant",
        ),
        (300..=399, _) => (
            ErrorKind::Misconfigured,
            "it redirects, which is not followed; check token-url",
        ),
        _ => (
            ErrorKind::Misconfigured,
            "check token-url, scope, audience and parameters",
        ),
    };
    let code = if code.is_empty() {
        String::new()
    } else {
        format!(" `{code}`")
    };
    let message = format!("it answered {}{code}: {what_to_do}", status.as_u16());
    NoToken {
        invalid_grant: said["error"] == "invalid_grant",
        ..no_token(kind, message, wait)
    }
}

/// Only whole seconds: token endpoints do not send dates, and a wrong clock here would make one up.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u32 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(u64::from(seconds)))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &Value) -> Response<Bytes> {
        Response::builder()
            .status(status)
            .body(Bytes::from(body.to_string()))
            .unwrap()
    }

    #[test]
    fn what_is_refused_is_sorted_by_what_to_do() {
        let cases = [
            (401, json!({"error": "invalid_client"}), ErrorKind::AuthFailed),
            (400, json!({"error": "invalid_client"}), ErrorKind::AuthFailed),
            (400, json!({"error": "invalid_grant"}), ErrorKind::AuthFailed),
            (
                400,
                json!({"error": "unauthorized_client"}),
                ErrorKind::AuthFailed,
            ),
            (403, json!("<html>"), ErrorKind::AuthFailed),
            (400, json!({"error": "invalid_scope"}), ErrorKind::Misconfigured),
            (404, json!("<html>"), ErrorKind::Misconfigured),
            (302, json!(""), ErrorKind::Misconfigured),
            (429, json!(""), ErrorKind::RateLimited),
            (500, json!(""), ErrorKind::Unavailable),
            (
                503,
                json!({"error": "temporarily_unavailable"}),
                ErrorKind::Unavailable,
            ),
        ];
        for (status, body, kind) in cases {
            let refused = read(&answer(status, &body), Instant::now()).err().unwrap();
            assert_eq!(refused.failure.kind, kind, "{status} {body}");
            assert_eq!(refused.invalid_grant, body["error"] == "invalid_grant");
        }
    }

    #[test]
    fn a_description_that_repeats_the_secret_is_not_shown() {
        let body = json!({"error": "invalid_client", "error_description": "hunter2 is wrong"});
        let refused = read(&answer(401, &body), Instant::now()).err().unwrap();
        assert!(!format!("{refused:?}").contains("hunter2"));
    }

    #[test]
    fn tokens_that_cannot_be_used_are_refused() {
        for body in [
            json!("token"),
            json!({}),
            json!({"access_token": ""}),
            json!({"access_token": "a\r\nb"}),
            json!({"access_token": "a", "token_type": "mac"}),
        ] {
            assert!(read(&answer(200, &body), Instant::now()).is_err(), "{body}");
        }
    }

    #[test]
    fn tokens_have_a_longest_length() {
        let longest = "t".repeat(TOKEN_BYTES_MAX);
        let longer = format!("{longest}t");
        let fits = json!({"access_token": longest, "refresh_token": longest});
        assert!(read(&answer(200, &fits), Instant::now()).is_ok());
        for (name, body) in [
            ("access_token", json!({"access_token": longer})),
            (
                "refresh_token",
                json!({"access_token": "a", "refresh_token": longer}),
            ),
        ] {
            let refused = read(&answer(200, &body), Instant::now()).err().unwrap();
            let said = refused.failure.message;
            assert!(
                said.contains(&format!("`{name}` has 16385 bytes; at most 16384")),
                "{said}"
            );
        }
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        let seconds = |value: Value| life(&value).as_secs();
        assert_eq!(seconds(json!(3600)), 3540);
        assert_eq!(seconds(json!("3600")), 3540);
        assert_eq!(seconds(json!(4)), 3);
        assert_eq!(seconds(json!(0)), 0);
        assert_eq!(seconds(json!(null)), 240);
        assert_eq!(seconds(json!(-5)), 240);
        assert_eq!(seconds(json!(1e300)), seconds(json!(null)));
        assert_eq!(seconds(json!(1e9)), 24 * 3600 - 60);
    }

    #[test]
    fn the_client_shows_who_it_is_in_either_way() {
        let oauth2 = |client_auth| {
            let text = format!(
                "[targets.a]\nconnector = \"c\"\n[[targets.a.grants.http]]\nscheme = \"https\"\nhost = \"a.example\"\n\
                 [targets.a.http-auth.oauth2]\ntoken-url = \"https://l.example/t\"\nclient-id = \"a:b\"\nclient-auth = \"{client_auth}\"\n\
                 client-secret = {{ env = \"C\" }}\nscope = \"x y\"\nparameters = {{ resource = \"r\" }}\n"
            );
            let mut targets = usher_lifecycle::targets::parse("t.toml", &text).unwrap().targets;
            match targets.pop_first().unwrap().1.http_auth {
                Some(usher_lifecycle::targets::HttpAuth::OAuth2(oauth2)) => oauth2,
                other => panic!("{other:?}"),
            }
        };
        let secret = SecretString::new("s&cret");
        let send = |oauth2: &OAuth2| {
            let credentials = Credentials {
                oauth2,
                client_secret: Some(&secret),
                refresh_token: None,
            };
            request(&credentials).unwrap()
        };
        let basic = send(&oauth2("basic"));
        assert_eq!(
            basic.headers()[AUTHORIZATION],
            format!("Basic {}", STANDARD.encode("a%3Ab:s%26cret"))
        );
        assert_eq!(
            basic.body(),
            "grant_type=client_credentials&scope=x%20y&resource=r"
        );
        assert!(basic.headers()[AUTHORIZATION].is_sensitive());
        let body = send(&oauth2("body"));
        assert!(!body.headers().contains_key(AUTHORIZATION));
        assert_eq!(
            body.body(),
            "grant_type=client_credentials&scope=x%20y&resource=r&client_id=a%3Ab&client_secret=s%26cret"
        );
    }
}
