//! One request over `wasi:http`, with nothing between the test and the host's egress.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingBody, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

/// What came back: the status and the body, or the error code as text.
pub fn request(settings: &serde_json::Value) -> Result<(u16, Vec<u8>), String> {
    let text = |name: &str| settings[name].as_str().unwrap_or_default();
    let headers = Fields::new();
    for (name, value) in settings["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default().as_bytes();
        headers
            .append(name, value)
            .map_err(|error| format!("header {name}: {error:?}"))?;
    }
    let request = OutgoingRequest::new(headers);
    let refused = |()| "refused before it was sent".to_owned();
    request.set_method(&method(text("method"))).map_err(refused)?;
    let scheme = if text("scheme") == "http" {
        Scheme::Http
    } else {
        Scheme::Https
    };
    request.set_scheme(Some(&scheme)).map_err(refused)?;
    request.set_authority(Some(text("authority"))).map_err(refused)?;
    request.set_path_with_query(Some(text("path"))).map_err(refused)?;
    let outgoing = request.body().map_err(refused)?;
    let response = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    write(outgoing, settings["body-bytes"].as_u64().unwrap_or_default());
    let ready = response.subscribe();
    let response = loop {
        match response.get() {
            Some(answer) => break answer.map_err(refused)?.map_err(|code| format!("{code:?}"))?,
            None => ready.block(),
        }
    };
    let status = response.status();
    Ok((status, read(response.consume().map_err(refused)?)?))
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
fn write(body: OutgoingBody, bytes: u64) {
    if let Ok(stream) = body.write() {
        let chunk = [b'x'; 4096];
        let mut left = bytes;
        while left > 0 {
            let now = left.min(4096) as usize;
            if stream.blocking_write_and_flush(&chunk[..now]).is_err() {
                break;
            }
            left -= now as u64;
        }
    }
    let _ = OutgoingBody::finish(body, None);
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
