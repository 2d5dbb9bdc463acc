//! One connection, ready for HTTP: in the clear or in TLS, and what became of it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::tls_failure;

/// A connection.
#[derive(Debug)]
pub(super) struct Stream {
    io: Io,
    /// It ends at a proxy that is told the whole address of each request.
    proxied: bool,
    has_answered: bool,
    fate: Fate,
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why a connection ended before the peer sent anything over it. With TLS 1.3 a peer refuses our certificate only after our side of
/// the handshake is over and requests are under way; it has looked at none of them then.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate(Arc<OnceLock<String>>);

impl Fate {
    pub(super) fn refused(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

impl Stream {
    pub(super) fn plain(tcp: TcpStream, proxied: bool) -> Self {
        Self::new(Io::Plain(tcp), proxied)
    }

    pub(super) fn tls(tls: TlsStream<TcpStream>) -> Self {
        Self::new(Io::Tls(Box::new(tls)), false)
    }

    fn new(io: Io, proxied: bool) -> Self {
        Self {
            io,
            proxied,
            has_answered: false,
            fate: Fate::default(),
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.proxied).extra(self.fate.clone());
        match &self.io {
            Io::Tls(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2") => connected.negotiated_h2(),
            Io::Tls(_) | Io::Plain(_) => connected,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = ready!(match &mut this.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Io::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        });
        match &read {
            Ok(()) => this.has_answered |= buffer.filled().len() > before,
            Err(error) if !this.has_answered => {
                if let Some(why) = tls_failure::client_certificate_refused(error) {
                    this.fate.0.get_or_init(|| why);
                }
            }
            Err(_) => {}
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Io::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Io::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Io::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, parts),
            Io::Tls(tls) => Pin::new(tls).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(tcp) => tcp.is_write_vectored(),
            Io::Tls(tls) => tls.is_write_vectored(),
        }
    }
}
