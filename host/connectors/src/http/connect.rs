//! Connections for egress: a name is resolved once, every address it leads to is checked, and the connection goes to what was
//! checked. Nothing resolves the name a second time.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::address::{AddressClass, classify};
use super::allow::{Allowlist, Endpoint};
use crate::journal::Refusal;

/// Longest wait for one connection: three lost SYN packets.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes checked connections for one target.
#[derive(Clone)]
pub(crate) struct CheckedConnector {
    allowlist: Arc<Allowlist>,
}

/// Why there is no connection. Nothing of the request has left then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("{}", .0.what)]
    Refused(Refusal),
    #[error("the name `{0}` cannot be resolved")]
    Name(String),
    #[error("no connection: {0}")]
    Io(std::io::Error),
    #[error("no connection in time")]
    Timeout,
}

impl CheckedConnector {
    pub(crate) fn new(allowlist: Arc<Allowlist>) -> Self {
        Self { allowlist }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, ConnectError> {
        let endpoint = Endpoint::of(&uri).map_err(|why| {
            ConnectError::Refused(Refusal {
                what: why,
                grant: None,
            })
        })?;
        let addresses = resolve(&endpoint).await?;
        check(&self.allowlist, &endpoint, &addresses).map_err(ConnectError::Refused)?;
        let stream = TcpStream::connect(addresses.as_slice())
            .await
            .map_err(ConnectError::Io)?;
        // Requests are written whole; waiting to fill a packet only delays them.
        stream.set_nodelay(true).map_err(ConnectError::Io)?;
        Ok(TokioIo::new(stream))
    }
}

async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, endpoint.port)]);
    }
    let found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(|_| ConnectError::Name(endpoint.host.clone()))?;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() {
        Err(ConnectError::Name(endpoint.host.clone()))
    } else {
        Ok(addresses)
    }
}

/// All addresses must pass: a name that leads to one forbidden address is not trusted with the others.
fn check(allowlist: &Allowlist, endpoint: &Endpoint, addresses: &[SocketAddr]) -> Result<(), Refusal> {
    for address in addresses {
        match classify(address.ip()) {
            AddressClass::Public => {}
            AddressClass::Private if allowlist.private_addresses(endpoint) => {}
            AddressClass::Private => return Err(allowlist.private_not_granted(endpoint)),
            AddressClass::Never => {
                let what = format!(
                    "`{}` leads to {}, an address that is never allowed",
                    endpoint.host,
                    address.ip()
                );
                return Err(Refusal { what, grant: None });
            }
        }
    }
    Ok(())
}

impl Service<Uri> for CheckedConnector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.clone().connect(uri);
        Box::pin(async move {
            tokio::time::timeout(CONNECT_TIMEOUT, connecting)
                .await
                .unwrap_or(Err(ConnectError::Timeout))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use usher_lifecycle::targets::{HttpGrant, HttpScheme};

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
            let result = CheckedConnector::new(Arc::new(allowlist(host, false)))
                .connect(uri)
                .await;
            assert!(
                matches!(result, Err(ConnectError::Refused(_) | ConnectError::Name(_))),
                "{host}: {result:?}"
            );
        }
    }
}
