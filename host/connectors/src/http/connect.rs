//! Making connections: the name is resolved once, every address is checked, and the connection goes to what was
//! checked. Nothing resolves the name a second time. Behind a proxy it is the proxy that resolves the target's name.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service;
use usher_lifecycle::targets::{HttpScheme, Proxy};

use super::address::{AddressClass, classify};
use super::allow::{Allowlist, Endpoint};
use super::proxy;
use super::stream::Stream;
use super::tls;
use super::tls_failure::TlsFailure;
use super::transport::Wire;
use crate::journal::Refusal;

/// Makes checked connections for one target.
#[derive(Clone)]
pub(super) struct CheckedConnector {
    allowlist: Arc<Allowlist>,
    wire: Wire,
}

/// Why there is no connection. Nothing of the request has left then.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{}", .0.what)]
    Refused(Refusal),
    #[error("the name `{0}` cannot be resolved")]
    Name(String),
    #[error("no connection to {0}: {1}")]
    Io(String, std::io::Error),
    #[error("no connection to {0} within {limit} ms", limit = .1.as_millis())]
    Timeout(String, Duration),
    #[error("{0}")]
    Proxy(String),
    #[error("{}", .0.what())]
    Tls(TlsFailure),
}

impl CheckedConnector {
    pub(super) fn new(allowlist: Arc<Allowlist>, wire: Wire) -> Self {
        Self { allowlist, wire }
    }

    async fn connect(self, uri: Uri) -> Result<Stream, ConnectError> {
        let endpoint =
            Endpoint::of(&uri).map_err(|what| ConnectError::Refused(Refusal { what, grant: None }))?;
        let reaching = async {
            match &self.wire.proxy {
                None => self.reach(&endpoint).await,
                Some(proxy) => self.reach_through(proxy, &endpoint).await,
            }
        };
        let times = &self.wire.times;
        let late = |_| ConnectError::Timeout(format!("{}:{}", endpoint.host, endpoint.port), times.connect);
        let tcp = tokio::time::timeout(times.connect, reaching)
            .await
            .map_err(late)??;
        match endpoint.scheme {
            HttpScheme::Http => Ok(Stream::plain(tcp, self.wire.proxy.is_some())),
            HttpScheme::Https => {
                let config = self.wire.tls.config(times.tls_look).await;
                tls::handshake(config, &endpoint.host, tcp, times.handshake)
                    .await
                    .map(Stream::tls)
                    .map_err(ConnectError::Tls)
            }
        }
    }

    async fn reach(&self, endpoint: &Endpoint) -> Result<TcpStream, ConnectError> {
        let addresses = self.wire.resolver.addresses(&endpoint.host, endpoint.port).await;
        check(&self.allowlist, endpoint, &addresses).map_err(ConnectError::Refused)?;
        dial(&endpoint.host, &addresses, self.wire.times.connect).await
    }

    async fn reach_through(&self, proxy: &Proxy, endpoint: &Endpoint) -> Result<TcpStream, ConnectError> {
        // The proxy resolves names; what is an address already can be checked here all the same.
        if let Ok(address) = endpoint.host.parse::<IpAddr>() {
            let address = SocketAddr::new(address, endpoint.port);
            check(&self.allowlist, endpoint, &[address]).map_err(ConnectError::Refused)?;
        }
        let addresses = self.wire.resolver.addresses(&proxy.host, proxy.port).await;
        check_proxy(proxy, &addresses).map_err(ConnectError::Refused)?;
        let tcp = dial(&proxy.host, &addresses, self.wire.times.connect).await?;
        match endpoint.scheme {
            HttpScheme::Http => Ok(tcp),
            HttpScheme::Https => {
                let credentials = self.wire.proxy_credentials().await.map_err(ConnectError::Proxy)?;
                proxy::tunnel(proxy, credentials, tcp, endpoint)
                    .await
                    .map_err(ConnectError::Proxy)
            }
        }
    }
}

/// Tries one address after the other; each gets its share of the time that is left, so that a dead one does not use up all of it.
async fn dial(host: &str, addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, ConnectError> {
    let until = Instant::now() + limit;
    let mut last = ConnectError::Name(host.to_owned());
    for (tried, address) in addresses.iter().enumerate() {
        let share = until.saturating_duration_since(Instant::now()) / (addresses.len() - tried) as u32;
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are written whole; waiting to fill a packet only delays them.
                let ready = stream.set_nodelay(true).map(|()| stream);
                return ready.map_err(|error| ConnectError::Io(format!("{host} ({address})"), error));
            }
            Ok(Err(error)) => last = ConnectError::Io(format!("{host} ({address})"), error),
            Err(_) => last = ConnectError::Timeout(format!("{host} ({address})"), share),
        }
    }
    Err(last)
}

/// All addresses must pass: a name that leads to one forbidden address is not trusted with the others.
fn check(allowlist: &Allowlist, endpoint: &Endpoint, addresses: &[SocketAddr]) -> Result<(), Refusal> {
    for address in addresses {
        match classify(address.ip()) {
            AddressClass::Public => {}
            AddressClass::Private if allowlist.private_addresses(endpoint) => {}
            AddressClass::Private => return Err(allowlist.private_not_granted(endpoint)),
            AddressClass::Never => return Err(never(&endpoint.host, address)),
        }
    }
    Ok(())
}

fn check_proxy(proxy: &Proxy, addresses: &[SocketAddr]) -> Result<(), Refusal> {
    for address in addresses {
        match classify(address.ip()) {
            AddressClass::Public => {}
            AddressClass::Private if proxy.private_addresses => {}
            AddressClass::Private => {
                let what = format!(
                    "the proxy `{}` has a loopback or private address; if it should, add private-addresses = true to the target's `proxy`",
                    proxy.host
                );
                return Err(Refusal { what, grant: None });
            }
            AddressClass::Never => return Err(never(&proxy.host, address)),
        }
    }
    Ok(())
}

fn never(host: &str, address: &SocketAddr) -> Refusal {
    Refusal {
        what: format!(
            "`{host}` leads to {}, an address that is never allowed",
            address.ip()
        ),
        grant: None,
    }
}

impl Service<Uri> for CheckedConnector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.clone().connect(uri);
        Box::pin(async move { connecting.await.map(TokioIo::new) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::FixedSecrets;
    use usher_lifecycle::targets::{HttpGrant, HttpScheme, Tls};

    fn allowlist(host: &str, private_addresses: bool) -> Allowlist {
        let grant = HttpGrant {
            scheme: HttpScheme::Http,
            host: host.to_owned(),
            port: Some(80),
            methods: vec![],
            path_prefix: None,
            private_addresses,
        };
        Allowlist::new("app".to_owned(), vec![grant])
    }

    fn checked(host: &str, private: bool, addresses: &[&str]) -> Result<(), Refusal> {
        let endpoint = Endpoint {
            scheme: HttpScheme::Http,
            host: host.to_owned(),
            port: 80,
        };
        let addresses: Vec<_> = addresses
            .iter()
            .map(|a| SocketAddr::new(a.parse().unwrap(), 80))
            .collect();
        check(&allowlist(host, private), &endpoint, &addresses)
    }

    #[test]
    fn every_address_of_a_name_must_pass() {
        assert!(checked("a.example", false, &["8.8.8.8", "1.1.1.1"]).is_ok());
        let refused = checked("a.example", false, &["8.8.8.8", "10.0.0.1"]).unwrap_err();
        assert!(refused.grant.unwrap().ends_with("private-addresses = true\n"));
        assert!(checked("a.example", true, &["8.8.8.8", "10.0.0.1"]).is_ok());
        let refused = checked("a.example", true, &["8.8.8.8", "169.254.169.254"]).unwrap_err();
        assert!(refused.what.contains("169.254.169.254") && refused.grant.is_none());
    }

    #[tokio::test]
    async fn numeric_spellings_of_loopback_do_not_pass() {
        for host in ["127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]"] {
            let Ok(uri) = format!("http://{host}:80/").parse::<Uri>() else {
                continue;
            };
            let wire = Wire::new(&Tls::default(), None, Arc::new(FixedSecrets::none())).await;
            let result = CheckedConnector::new(Arc::new(allowlist(host, false)), wire.unwrap())
                .connect(uri)
                .await;
            assert!(
                matches!(result, Err(ConnectError::Refused(_) | ConnectError::Name(_))),
                "{host}: {result:?}"
            );
        }
    }
}
