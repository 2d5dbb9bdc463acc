//! The transport in a component: standard `wasi:http`.

use std::time::Duration;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::{OutputStream, StreamError};

use super::{Failure, FailureKind, MAX_RESPONSE_BYTES, Request, Response};

/// Largest piece written at once, in bytes: what every host takes without a larger buffer.
const CHUNK_BYTES: usize = 4096;

/// Largest piece read at once, in bytes.
const READ_BYTES: u64 = 64 * 1024;

pub(super) fn transmit(request: &Request, timeout: Option<Duration>) -> Result<Response, Failure> {
    let outgoing = prepare(request)?;
    let body = outgoing
        .body()
        .map_err(|()| malformed("the request has no body to write to"))?;
    let options = options(timeout);
    let future = outgoing_handler::handle(outgoing, options).map_err(|code| failure(&code))?;
    // A failed write is not the cause but a sign of it: the answer, waited for below, tells why.
    let written = write_body(body, request.body.as_deref().unwrap_or_default());
    future.subscribe().block();
    let incoming = match future.get() {
        Some(Ok(Ok(incoming))) => incoming,
        Some(Ok(Err(code))) => return Err(failure(&code)),
        Some(Err(())) | None => return Err(broken("the host gave no answer")),
    };
    // An early answer to a request that was not read to its end (413, say) is an answer all the same.
    let response = read(&incoming)?;
    match written {
        Err(code) if response.is_success() => Err(failure(&code)),
        Ok(()) | Err(_) => Ok(response),
    }
}

fn prepare(request: &Request) -> Result<OutgoingRequest, Failure> {
    let (scheme, rest) = request
        .url
        .split_once("://")
        .ok_or_else(|| malformed("the URL has no scheme"))?;
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return Err(malformed("the URL is neither https nor http")),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => (&rest[..at], &rest[at..]),
        None => (rest, "/"),
    };
    let path = if path.starts_with('?') {
        format!("/{path}")
    } else {
        path.to_owned()
    };
    let headers: Vec<(String, Vec<u8>)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
        .collect();
    let fields =
        Fields::from_list(&headers).map_err(|error| malformed(&format!("a header is refused: {error:?}")))?;
    if let Some(body) = &request.body {
        fields
            .set("Content-Length", &[body.len().to_string().into_bytes()])
            .map_err(|error| malformed(&format!("Content-Length is refused: {error:?}")))?;
    }
    let outgoing = OutgoingRequest::new(fields);
    let set = outgoing
        .set_method(&method(&request.method))
        .and_then(|()| outgoing.set_scheme(Some(&scheme)))
        .and_then(|()| outgoing.set_authority(Some(authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(&path)));
    set.map_err(|()| malformed("the method, host or path is refused"))?;
    Ok(outgoing)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        other => Method::Other(other.to_owned()),
    }
}

fn options(timeout: Option<Duration>) -> Option<RequestOptions> {
    let nanos = u64::try_from(timeout?.as_nanos()).unwrap_or(u64::MAX);
    let options = RequestOptions::new();
    // A host that has no such timeout says so and ends the call itself.
    let _ = options.set_connect_timeout(Some(nanos));
    let _ = options.set_first_byte_timeout(Some(nanos));
    let _ = options.set_between_bytes_timeout(Some(nanos));
    Some(options)
}

fn write_body(body: OutgoingBody, bytes: &[u8]) -> Result<(), ErrorCode> {
    if !bytes.is_empty() {
        let stream = body.write().map_err(|()| ErrorCode::InternalError(None))?;
        write_all(&stream, bytes).map_err(|_| ErrorCode::ConnectionTerminated)?;
    }
    OutgoingBody::finish(body, None)
}

fn write_all(stream: &OutputStream, mut rest: &[u8]) -> Result<(), StreamError> {
    while !rest.is_empty() {
        let allowed = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if allowed == 0 {
            stream.subscribe().block();
            continue;
        }
        let (chunk, after) = rest.split_at(rest.len().min(allowed).min(CHUNK_BYTES));
        stream.write(chunk)?;
        rest = after;
    }
    Ok(())
}

fn read(incoming: &IncomingResponse) -> Result<Response, Failure> {
    let status = incoming.status();
    let headers = incoming
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
        .collect();
    let body = incoming
        .consume()
        .map_err(|()| broken("the answer has no body"))?;
    let stream = body
        .stream()
        .map_err(|()| broken("the body of the answer cannot be read"))?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(READ_BYTES) {
            Ok(chunk) if bytes.len() + chunk.len() > MAX_RESPONSE_BYTES => {
                return Err(broken(&format!(
                    "the answer is longer than {MAX_RESPONSE_BYTES} bytes"
                )));
            }
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(Response::new(status, headers, bytes)),
            Err(StreamError::LastOperationFailed(error)) => {
                let why = wasip2::http::types::http_error_code(&error);
                return Err(why.map_or_else(
                    || broken("the connection broke in the middle of the answer"),
                    // Part of an answer came, so the request was there.
                    |code| Failure {
                        effect: crate::Effect::Unknown,
                        ..failure(&code)
                    },
                ));
            }
        }
    }
}

/// What an error of the host says about how far the request came.
fn failure(code: &ErrorCode) -> Failure {
    use FailureKind::{Broken, Denied, Malformed, Timeout, Unreachable};
    let (kind, sent, why) = match code {
        ErrorCode::HttpRequestDenied => (
            Denied,
            false,
            "the host does not allow it; look at the target's http grants",
        ),
        ErrorCode::DestinationIpProhibited => (
            Denied,
            false,
            "the address is not allowed; private addresses must be granted",
        ),
        ErrorCode::DnsTimeout | ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => {
            (Unreachable, false, "the host name has no address")
        }
        ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => {
            (Unreachable, false, "there is no way to the system")
        }
        ErrorCode::ConnectionRefused => (Unreachable, false, "the connection was refused"),
        ErrorCode::ConnectionTimeout => (Timeout, false, "no connection in time"),
        ErrorCode::ConnectionLimitReached => (Unreachable, false, "too many connections"),
        ErrorCode::TlsCertificateError => {
            (Unreachable, false, "the certificate of the system is not trusted")
        }
        ErrorCode::HttpRequestLengthRequired
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_) => {
            (Malformed, false, "the request is not one that can be sent")
        }
        ErrorCode::HttpRequestBodySize(_) => (Malformed, false, "the body of the request is too long"),
        ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => (Timeout, true, "no answer in time"),
        ErrorCode::ConnectionTerminated | ErrorCode::HttpResponseIncomplete => {
            (Broken, true, "the connection broke")
        }
        ErrorCode::TlsProtocolError | ErrorCode::TlsAlertReceived(_) => (Broken, true, "TLS failed"),
        ErrorCode::HttpResponseBodySize(_) => (Broken, true, "the answer is longer than the host allows"),
        ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_)
        | ErrorCode::HttpResponseTransferCoding(_)
        | ErrorCode::HttpResponseContentCoding(_)
        | ErrorCode::HttpUpgradeFailed
        | ErrorCode::HttpProtocolError
        | ErrorCode::LoopDetected => (Broken, true, "the answer is not proper HTTP"),
        ErrorCode::ConfigurationError | ErrorCode::InternalError(_) => (Broken, true, "the host failed"),
    };
    let effect = if sent {
        crate::Effect::Unknown
    } else {
        crate::Effect::None
    };
    Failure {
        kind,
        effect,
        message: why.to_owned(),
    }
}

fn malformed(why: &str) -> Failure {
    Failure::before_sending(FailureKind::Malformed, why)
}

fn broken(why: &str) -> Failure {
    Failure::after_sending(FailureKind::Broken, why)
}
