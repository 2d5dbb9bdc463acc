//! Reaching a target through the operator's proxy. `https` goes through a tunnel (CONNECT), in which TLS is spoken with the target itself;
//! `http` is handed to the proxy with its whole address, because proxies commonly refuse tunnels to other ports than 443.

use bytes::Bytes;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use usher_lifecycle::targets::{Proxy, ProxyAuth};

use super::allow::Endpoint;
use super::transport::{RESPONSE_HEAD_BYTES_MAX, RESPONSE_HEADERS_MAX};
use crate::secrets::Secrets;

/// What the proxy wants to be told, if it wants anything.
pub(super) async fn credentials(proxy: &Proxy, secrets: &dyn Secrets) -> Result<Option<HeaderValue>, String> {
    let Some(ProxyAuth { username, password }) = &proxy.auth else {
        return Ok(None);
    };
    let password = secrets
        .resolve(password)
        .await
        .map_err(|why| format!("the proxy's password cannot be had: {why}"))?;
    // Base64 can always stand in a header.
    super::auth::sensitive(&super::auth::basic(username, password.expose())).map(Some)
}

/// What is said when the proxy does not accept who we are.
pub(super) fn wants_credentials(proxy: &Proxy) -> String {
    let asked = match proxy.auth {
        Some(_) => "did not accept `username` and `password`",
        None => "asks for `username` and `password`",
    };
    format!("the proxy {}:{} {asked} (407)", proxy.host, proxy.port)
}

/// Asks the proxy to connect to a target; what is sent afterwards goes there.
pub(super) async fn tunnel(
    proxy: &Proxy,
    credentials: Option<HeaderValue>,
    tcp: TcpStream,
    endpoint: &Endpoint,
) -> Result<TcpStream, String> {
    let broken = |why: hyper::Error| format!("the proxy {}:{} failed: {why}", proxy.host, proxy.port);
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(RESPONSE_HEADERS_MAX)
        .max_buf_size(RESPONSE_HEAD_BYTES_MAX)
        .handshake(TokioIo::new(tcp))
        .await
        .map_err(broken)?;
    // Ends when the connection is handed out, or with what is dropped below.
    tokio::spawn(connection.with_upgrades());
    let request = connect_request(endpoint, credentials)
        .map_err(|why| format!("the proxy cannot be asked for `{}`: {why}", endpoint.host))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    match response.status() {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => return Err(wants_credentials(proxy)),
        status if !status.is_success() => {
            return Err(format!(
                "the proxy {}:{} does not connect to {}:{}: it answered {status}",
                proxy.host, proxy.port, endpoint.host, endpoint.port
            ));
        }
        _ => {}
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
        // In TLS the client speaks first; these bytes are not the target's.
        Ok(_) | Err(_) => Err(format!(
            "the proxy {}:{} sent something before it was asked",
            proxy.host, proxy.port
        )),
    }
}

fn connect_request(
    endpoint: &Endpoint,
    credentials: Option<HeaderValue>,
) -> Result<Request<Empty<Bytes>>, http::Error> {
    let authority = if endpoint.host.contains(':') {
        format!("[{}]:{}", endpoint.host, endpoint.port)
    } else {
        format!("{}:{}", endpoint.host, endpoint.port)
    };
    let mut request = Request::connect(authority.as_str()).header(HOST, authority.as_str());
    if let Some(credentials) = credentials {
        request = request.header(PROXY_AUTHORIZATION, credentials);
    }
    request.body(Empty::new())
}
