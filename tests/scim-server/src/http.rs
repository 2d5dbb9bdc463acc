//! HTTP around the directory: the token, faults, the journal, headers.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query as Parameters, Request as HttpRequest, State};
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use serde_json::Value;

use crate::answer::{Answer, Query};
use crate::directory::Directory;
use crate::error::ScimError;
use crate::faults::Faults;
use crate::journal::Journal;
use crate::requests::Request;

/// Largest body taken, in bytes: a group of many thousand members still fits.
const BODY_BYTES_MAX: usize = 4 << 20;
/// The media type of SCIM.
const SCIM_JSON: &str = "application/scim+json";

/// What the server works with.
pub(crate) struct Server {
    /// The token every request must bring.
    pub(crate) token: String,
    /// Waited before each answer.
    pub(crate) delay: Duration,
    /// Where everything is saved after each write.
    pub(crate) state_file: Option<PathBuf>,
    /// One request at a time: the order in the journal is the order of effects.
    pub(crate) inner: Mutex<Inner>,
}

/// What a request may change.
pub(crate) struct Inner {
    pub(crate) directory: Directory,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
}

/// The one route.
pub(crate) fn router(server: Server) -> Router {
    Router::new().fallback(handle).with_state(Arc::new(server))
}

async fn handle(State(server): State<Arc<Server>>, request: HttpRequest) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await;
    if !server.delay.is_zero() {
        tokio::time::sleep(server.delay).await;
    }
    let body = match body {
        Ok(body) => body,
        Err(_) => return respond(ScimError::new(413, "the body is too large").into(), None),
    };
    let (answer, retry_after_s) = server.serve(head.method.as_str(), &head.uri, &head.headers, &body);
    respond(answer, retry_after_s)
}

impl Server {
    /// Serves and journals one request: the journal line is written before the answer leaves.
    fn serve(&self, method: &str, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> (Answer, Option<u64>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let retry_after_s = inner.faults.retry_after_s(Instant::now());
        let parameters = Parameters::<Vec<(String, String)>>::try_from_uri(uri).map(|found| found.0);
        let parsed = if body.is_empty() {
            Ok(None)
        } else {
            serde_json::from_slice::<Value>(body).map(Some)
        };
        let result = match retry_after_s {
            Some(_) => Err(ScimError::new(429, "too many requests")),
            None => self.check(headers, body).and_then(|()| {
                let parameters = parameters
                    .as_deref()
                    .map_err(|error| ScimError::new(400, error.to_string()))?;
                let query = Query::read(parameters)?;
                let body = parsed
                    .as_ref()
                    .map_err(|error| ScimError::bad("invalidSyntax", format!("not JSON: {error}")))?;
                let if_match = headers
                    .get(header::IF_MATCH)
                    .and_then(|value| value.to_str().ok());
                let request = Request {
                    method,
                    path: uri.path(),
                    query: &query,
                    if_match,
                    body: body.as_ref(),
                };
                self.answer(&mut inner, &request)
            }),
        };
        let answer = result.unwrap_or_else(Answer::from);
        let shown = parsed.ok().flatten();
        match inner.journal.write(
            method,
            uri.path(),
            parameters.as_deref().unwrap_or_default(),
            shown.as_ref(),
            &answer,
        ) {
            Ok(()) => (answer, retry_after_s),
            Err(error) => (
                ScimError::new(500, format!("the journal cannot be written: {error:#}")).into(),
                None,
            ),
        }
    }

    fn answer(&self, inner: &mut Inner, request: &Request<'_>) -> Result<Answer, ScimError> {
        let answer = inner.directory.answer(request)?;
        if request.method == "GET" {
            return Ok(answer);
        }
        if let Some(file) = &self.state_file {
            save(&inner.directory, file).map_err(|error| ScimError::new(500, format!("{error:#}")))?;
        }
        if inner.faults.fails(request.method) {
            return Err(ScimError::new(500, "failed as asked, after the change was made"));
        }
        Ok(answer)
    }

    fn check(&self, headers: &HeaderMap, body: &Bytes) -> Result<(), ScimError> {
        let authorization = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if authorization.strip_prefix("Bearer ") != Some(self.token.as_str()) {
            return Err(ScimError::new(401, "the bearer token is missing or wrong"));
        }
        let media_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if body.is_empty() || media_type == SCIM_JSON || media_type == "application/json" {
            Ok(())
        } else {
            Err(ScimError::new(
                415,
                format!("the body must be {SCIM_JSON}, not `{media_type}`"),
            ))
        }
    }
}

/// Saves by writing aside and renaming: a kill leaves the old or the new file.
fn save(directory: &Directory, file: &PathBuf) -> anyhow::Result<()> {
    let aside = file.with_extension("new");
    std::fs::write(&aside, serde_json::to_vec(directory)?)
        .with_context(|| format!("writing {}", aside.display()))?;
    std::fs::rename(&aside, file).with_context(|| format!("renaming to {}", file.display()))
}

fn respond(answer: Answer, retry_after_s: Option<u64>) -> Response<Body> {
    let mut response = Response::new(match answer.body {
        Some(body) => Body::from(body.to_string()),
        None => Body::empty(),
    });
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let mut put = |name, value: String| {
        if let Ok(value) = value.try_into() {
            headers.insert(name, value);
        }
    };
    put(header::CONTENT_TYPE, SCIM_JSON.to_owned());
    answer.etag.into_iter().for_each(|etag| put(header::ETAG, etag));
    answer
        .location
        .into_iter()
        .for_each(|location| put(header::LOCATION, location));
    retry_after_s
        .into_iter()
        .for_each(|seconds| put(header::RETRY_AFTER, seconds.to_string()));
    if answer.status == 401 {
        put(header::WWW_AUTHENTICATE, "Bearer".to_owned());
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn server(faults: Faults) -> Server {
        let inner = Inner {
            directory: Directory::default(),
            faults,
            journal: Journal::to_nowhere(),
        };
        Server {
            token: "t0ken".into(),
            delay: Duration::ZERO,
            state_file: None,
            inner: Mutex::new(inner),
        }
    }

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn create(server: &Server, headers: &HeaderMap) -> u16 {
        let body =
            json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "a"}).to_string();
        server
            .serve("POST", &Uri::from_static("/Users"), headers, &Bytes::from(body))
            .0
            .status
    }

    #[test]
    fn nothing_is_served_without_the_token_or_the_media_type() {
        let server = server(Faults::default());
        let json = (header::CONTENT_TYPE, "application/scim+json; charset=utf-8");
        assert_eq!(create(&server, &headers(std::slice::from_ref(&json))), 401);
        assert_eq!(
            create(
                &server,
                &headers(&[(header::AUTHORIZATION, "Bearer other"), json.clone()])
            ),
            401
        );
        let token = (header::AUTHORIZATION, "Bearer t0ken");
        assert_eq!(
            create(
                &server,
                &headers(&[token.clone(), (header::CONTENT_TYPE, "text/plain")])
            ),
            415
        );
        assert_eq!(create(&server, &headers(&[token, json])), 201);
    }

    #[test]
    fn a_failing_write_is_applied_all_the_same() {
        let server = server(Faults::new(Some(1), None));
        let headers = headers(&[
            (header::AUTHORIZATION, "Bearer t0ken"),
            (header::CONTENT_TYPE, SCIM_JSON),
        ]);
        assert_eq!(create(&server, &headers), 500);
        let found = server.serve(
            "GET",
            &Uri::from_static("/Users?filter=userName%20eq%20%22A%22"),
            &headers,
            &Bytes::new(),
        );
        assert_eq!(found.0.body.unwrap()["totalResults"], 1);
    }

    #[test]
    fn too_many_requests_are_told_when_to_come_back() {
        let server = server(Faults::new(None, Some(1)));
        let headers = headers(&[(header::AUTHORIZATION, "Bearer t0ken")]);
        let uri = Uri::from_static("/ServiceProviderConfig");
        let answers = [(); 2].map(|()| server.serve("GET", &uri, &headers, &Bytes::new()));
        assert_eq!([answers[0].0.status, answers[1].0.status], [200, 429]);
        assert_eq!(answers[1].1, Some(1));
    }
}
