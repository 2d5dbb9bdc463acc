//! Headers of a guest's request: those that belong to the host are taken off, those that change what a request means are decided on.

use http::header::{HeaderMap, HeaderName};
use http::{Method, Uri};
use usher_lifecycle::targets::belongs_to_connection;
use wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS;

/// Headers by which some servers take a request for one with another method.
const OTHER_METHOD: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];
/// Headers by which some servers take a request for one to another path.
const OTHER_PATH: [HeaderName; 2] = [
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// Takes off what the host itself decides: it frames the message. Its length is that of the body it read, its host that of the address it checked.
pub(super) fn strip(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| belongs_to_connection(name.as_str()))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}

/// Whether a guest cannot even set a header; the others of the host are taken off silently, because common libraries set them.
pub(super) fn is_forbidden(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name)
}

/// All that a request may be to the server behind it: its method first, then those that override it. Each must be granted.
pub(super) fn methods(method: &Method, headers: &HeaderMap) -> Result<Vec<Method>, String> {
    let mut methods = vec![method.clone()];
    for (_, value) in headers.iter().filter(|(name, _)| is_one_of(name, &OTHER_METHOD)) {
        let other = value
            .to_str()
            .ok()
            .and_then(|text| text.trim().to_ascii_uppercase().parse().ok())
            .ok_or("a header overrides the method with something that is none")?;
        methods.push(other);
    }
    Ok(methods)
}

/// Refuses a request that names another path than the one that is decided on.
pub(super) fn one_path(headers: &HeaderMap) -> Result<(), String> {
    match headers.keys().find(|name| is_one_of(name, &OTHER_PATH)) {
        Some(name) => Err(format!(
            "the header `{name}` could lead to a path that is not granted"
        )),
        None => Ok(()),
    }
}

/// Whether a server may read a header's name as one of these: some hand headers on as variables, where `-` and `_` are the same.
fn is_one_of(name: &HeaderName, known: &[HeaderName]) -> bool {
    let name = name.as_str().replace('_', "-");
    known.iter().any(|known| *known == *name)
}

/// Whether a request with one of these methods can change something.
pub(super) fn can_write(methods: &[Method]) -> bool {
    methods
        .iter()
        .any(|method| !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS))
}

/// Size of a request's head, in bytes, as HTTP/1.1 writes it.
pub(super) fn request_head_bytes(uri: &Uri, headers: &HeaderMap) -> usize {
    let path = uri.path_and_query().map_or(1, |path| path.as_str().len());
    path + super::body::head_bytes(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> HeaderMap {
        let name: HeaderName = name.parse().unwrap();
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn what_frames_the_message_is_the_host_s() {
        for name in [
            "Host",
            "Connection",
            "Keep-Alive",
            "Proxy-Connection",
            "Proxy-Authorization",
            "Transfer-Encoding",
            "Content-Length",
            "Proxy-Authenticate",
            "Upgrade",
            "HTTP2-Settings",
            "TE",
            "Trailer",
            "Expect",
            "Transfer_Encoding",
            "content_length",
        ] {
            let mut headers = with(name, "x");
            strip(&mut headers);
            assert!(headers.is_empty(), "{name}");
        }
        for name in DEFAULT_FORBIDDEN_HEADERS {
            assert!(belongs_to_connection(name.as_str()), "{name}");
        }
        let mut headers = with("X-Trace", "7");
        strip(&mut headers);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn an_overridden_method_counts_too() {
        let overridden = methods(&Method::POST, &with("X-HTTP-Method-Override", " delete ")).unwrap();
        assert_eq!(overridden, [Method::POST, Method::DELETE]);
        assert!(can_write(
            &methods(&Method::GET, &with("X-Method-Override", "PUT")).unwrap()
        ));
        assert!(!can_write(&methods(&Method::GET, &HeaderMap::new()).unwrap()));
        assert!(methods(&Method::GET, &with("X-HTTP-Method", "a b")).is_err());
        assert!(one_path(&with("X-Original-URL", "/admin")).is_err());
        assert!(one_path(&with("X-Trace", "/admin")).is_ok());
        for name in ["X_HTTP_METHOD_OVERRIDE", "x-http_method", "X_Method-Override"] {
            let overridden = methods(&Method::POST, &with(name, "delete")).unwrap();
            assert_eq!(overridden, [Method::POST, Method::DELETE], "{name}");
        }
        assert!(one_path(&with("X_Original_URL", "/admin")).is_err());
    }
}
