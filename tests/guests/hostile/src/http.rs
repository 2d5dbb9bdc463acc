//! Requests over `wasi:http`, with nothing between the test and the host's egress.

use serde_json::Value;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    Scheme,
};
use wasip2::io::streams::StreamError;

use crate::{number, text};

/// What came back: the status and the body, or the error code as text.
pub(crate) fn request(settings: &Value) -> Result<(u16, Vec<u8>), String> {
    let response = response(&send(settings)?)?;
    let status = response.status();
    Ok((status, read(response.consume().map_err(refused)?)?))
}

/// Follows the redirect that comes back, as a careless client would.
pub(crate) fn follow(settings: &Value) -> Result<(u16, Vec<u8>), String> {
    let response = response(&send(settings)?)?;
    let place = response.headers().get("location").into_iter().next();
    let place = String::from_utf8(place.ok_or("no redirect")?).map_err(|error| error.to_string())?;
    let (scheme, rest) = place.split_once("://").ok_or("not an absolute place")?;
    let (authority, path) = rest.split_once('/').ok_or("no path")?;
    let mut settings = settings.clone();
    settings["scheme"] = scheme.into();
    settings["authority"] = authority.into();
    settings["path"] = format!("/{path}").into();
    request(&settings)
}

/// Sends a request and leaves it at that: its answer is never waited for.
pub(crate) fn leave_open(settings: &Value) -> Result<String, String> {
    let under_way = send(settings)?;
    // Until the request has left.
    wasip2::clocks::monotonic_clock::subscribe_duration(number(settings, "wait-ms") * 1_000_000).block();
    std::mem::forget(under_way);
    Ok("left open".to_owned())
}

/// Begins a body and never ends it.
pub(crate) fn half_sent(settings: &Value) -> Result<String, String> {
    let request = prepare(settings)?;
    let body = request.body().map_err(refused)?;
    let stream = body.write().map_err(refused)?;
    let under_way = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    let _ = stream.blocking_write_and_flush(b"half of it");
    std::mem::forget((stream, body, under_way));
    Ok("half sent".to_owned())
}

/// Starts many requests at a time and keeps them all.
pub(crate) fn hoard(settings: &Value) -> Result<String, String> {
    let count = number(settings, "count");
    let started: Vec<_> = (0..count).map(|_| send(settings)).collect();
    for under_way in started.iter().rev() {
        response(under_way.as_ref().map_err(Clone::clone)?)?;
    }
    Ok(format!("{count} answered"))
}

fn refused<T>(_: T) -> String {
    "refused before it was sent".to_owned()
}

fn prepare(settings: &Value) -> Result<OutgoingRequest, String> {
    let request = OutgoingRequest::new(headers(settings)?);
    request
        .set_method(&method(text(settings, "method")))
        .map_err(refused)?;
    let scheme = match text(settings, "scheme") {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_scheme(Some(&scheme)).map_err(refused)?;
    request
        .set_authority(Some(text(settings, "authority")))
        .map_err(refused)?;
    request
        .set_path_with_query(Some(text(settings, "path")))
        .map_err(refused)?;
    Ok(request)
}

/// Members of `headers`; one that is an array is sent once for each of its items.
fn headers(settings: &Value) -> Result<Fields, String> {
    let headers = Fields::new();
    for (name, values) in settings["headers"].as_object().into_iter().flatten() {
        let values = match values {
            Value::Array(values) => values.clone(),
            one => vec![one.clone()],
        };
        for value in values {
            let value = value.as_str().unwrap_or_default().as_bytes();
            headers
                .append(name, value)
                .map_err(|error| format!("header {name}: {error:?}"))?;
        }
    }
    Ok(headers)
}

fn send(settings: &Value) -> Result<FutureIncomingResponse, String> {
    let request = prepare(settings)?;
    let outgoing = request.body().map_err(refused)?;
    let under_way = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    write(outgoing, settings)?;
    Ok(under_way)
}

fn response(under_way: &FutureIncomingResponse) -> Result<IncomingResponse, String> {
    let ready = under_way.subscribe();
    loop {
        match under_way.get() {
            Some(answer) => return answer.map_err(refused)?.map_err(|code| format!("{code:?}")),
            None => ready.block(),
        }
    }
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        other => Method::Other(other.to_owned()),
    }
}

/// Errors show in the answer, which is waited for next.
fn write(body: OutgoingBody, settings: &Value) -> Result<(), String> {
    if let Ok(stream) = body.write() {
        let chunk = [b'x'; 4096];
        let mut left = number(settings, "body-bytes");
        while left > 0 {
            let now = left.min(4096) as usize;
            if stream.blocking_write_and_flush(&chunk[..now]).is_err() {
                break;
            }
            left -= now as u64;
        }
    }
    let trailers = match settings["trailers"].as_object() {
        Some(trailers) => {
            let fields = Fields::new();
            for (name, value) in trailers {
                fields
                    .append(name, value.as_str().unwrap_or_default().as_bytes())
                    .map_err(|error| format!("trailer {name}: {error:?}"))?;
            }
            Some(fields)
        }
        None => None,
    };
    let _ = OutgoingBody::finish(body, trailers);
    Ok(())
}

fn read(body: IncomingBody) -> Result<Vec<u8>, String> {
    let stream = body.stream().map_err(|()| "no body".to_owned())?;
    let mut read = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(bytes) => read.extend(bytes),
            Err(StreamError::Closed) => return Ok(read),
            Err(error) => return Err(format!("body: {error:?}")),
        }
    }
}
