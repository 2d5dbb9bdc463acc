//! The way to a database server: a name is resolved once, every address it leads to is checked, and the connection goes to one of
//! them. What is read from it is metered.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::http::address::{AddressClass, classify};

/// Why an address may not be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AddressError {
    /// The name leads nowhere.
    Name,
    /// An address is private, and that was not granted.
    Private(IpAddr),
    /// An address that is never allowed.
    Never(IpAddr),
}

/// The addresses a host name leads to, if all of them may be used: a name that leads to one forbidden address is not trusted with
/// the others.
pub(super) async fn addresses(
    host: &str,
    port: u16,
    private_addresses: bool,
) -> Result<Vec<SocketAddr>, AddressError> {
    let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => tokio::net::lookup_host((host, port))
            .await
            .map_err(|_| AddressError::Name)?
            .collect(),
    };
    for address in &found {
        match classify(address.ip()) {
            AddressClass::Public => {}
            AddressClass::Private if private_addresses => {}
            AddressClass::Private => return Err(AddressError::Private(address.ip())),
            AddressClass::Never => return Err(AddressError::Never(address.ip())),
        }
    }
    if found.is_empty() {
        Err(AddressError::Name)
    } else {
        Ok(found)
    }
}

/// Where a connection has gone to, so that a second one (to cancel what runs) goes to the same place.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    Socket(String),
}

impl Peer {
    /// Connects again.
    pub(super) async fn connect(&self) -> io::Result<Wire> {
        match self {
            Self::Tcp(address) => Ok(Wire::tcp(&[*address]).await?.0),
            Self::Socket(path) => Ok(Wire::Socket(UnixStream::connect(path).await?)),
        }
    }
}

/// A connection before TLS.
pub(super) enum Wire {
    Tcp(TcpStream),
    Socket(UnixStream),
}

impl Wire {
    /// To the first of these addresses that answers, and which it was.
    pub(super) async fn tcp(addresses: &[SocketAddr]) -> io::Result<(Self, Peer)> {
        let stream = TcpStream::connect(addresses).await?;
        // Messages are written whole; waiting to fill a packet only delays them.
        stream.set_nodelay(true)?;
        let peer = Peer::Tcp(stream.peer_addr()?);
        Ok((Self::Tcp(stream), peer))
    }
}

/// How many bytes may still be read from a connection.
#[derive(Debug)]
pub(super) struct Meter(AtomicUsize);

impl Meter {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(bytes)))
    }

    /// Allows this many more, whatever is left.
    pub(super) fn refill(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Whether it has been used up.
    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// A connection that ends when more is read from it than its meter allows: one row can be larger than this host's memory, and the
/// client library keeps a row whole.
pub(super) struct Metered {
    wire: Wire,
    meter: Arc<Meter>,
}

impl Metered {
    pub(super) fn new(wire: Wire, meter: Arc<Meter>) -> Self {
        Self { wire, meter }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.meter.is_empty() {
            return Poll::Ready(Err(io::Error::other("more was sent than may be read")));
        }
        let before = buffer.filled().len();
        let polled = match &mut self.wire {
            Wire::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Wire::Socket(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let read = buffer.filled().len() - before;
        let left = self.meter.0.load(Ordering::Relaxed).saturating_sub(read);
        self.meter.0.store(left, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Wire::Socket(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Wire::Socket(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Wire::Socket(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn addresses_are_checked_before_anything_is_sent() {
        let private = addresses("127.0.0.1", 1, false).await.unwrap_err();
        assert_eq!(private, AddressError::Private("127.0.0.1".parse().unwrap()));
        assert!(addresses("localhost", 1, false).await.is_err());
        assert!(addresses("127.0.0.1", 1, true).await.is_ok());
        for never in ["169.254.169.254", "fe80::1", "::ffff:127.0.0.1", "0.0.0.0"] {
            let refused = addresses(never, 1, true).await.unwrap_err();
            assert_eq!(refused, AddressError::Never(never.parse().unwrap()));
        }
        assert_eq!(
            addresses("nowhere.invalid", 1, true).await.unwrap_err(),
            AddressError::Name
        );
    }

    #[tokio::test]
    async fn a_meter_that_is_empty_ends_the_connection() {
        let (mut server, client) = UnixStream::pair().unwrap();
        let meter = Meter::new(10);
        let mut metered = Metered::new(Wire::Socket(client), Arc::clone(&meter));
        server.write_all(&[7; 30]).await.unwrap();
        let mut ten = [0; 10];
        metered.read_exact(&mut ten).await.unwrap();
        assert!(meter.is_empty() && metered.read_u8().await.is_err());
        meter.refill(1);
        assert_eq!(metered.read_u8().await.unwrap(), 7);
    }
}
