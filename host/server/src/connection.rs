//! One connection, with limits on how long and how much.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

/// What one connection may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long the other side may be silent, or not take what it is sent.
    pub(crate) idle: Duration,
    /// How long it may last: who sends a byte now and then must not hold it for ever.
    pub(crate) life: Duration,
    /// How much may be read from it, in bytes, all its requests together. Nobody sends a body here, so this bounds headers.
    pub(crate) read_bytes: usize,
}

impl Limits {
    /// Silent for longer than most scrape intervals; lasting for a few dozen scrapes; a hundred requests of an ordinary size.
    pub(crate) const USUAL: Self = Self {
        idle: Duration::from_secs(20),
        life: Duration::from_secs(300),
        read_bytes: 64 * 1024,
    };
}

/// A connection that ends when it has been silent, has lasted or has sent too much.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    stream: S,
    limits: Limits,
    idle: Pin<Box<Sleep>>,
    ends: Instant,
    read_bytes: usize,
    /// Given back when the connection is gone.
    _permit: OwnedSemaphorePermit,
}

impl<S> Connection<S> {
    pub(crate) fn new(stream: S, limits: Limits, permit: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            limits,
            idle: Box::pin(sleep(limits.idle)),
            ends: Instant::now() + limits.life,
            read_bytes: 0,
            _permit: permit,
        }
    }

    /// The other side did something.
    fn stir(&mut self) {
        let until = (Instant::now() + self.limits.idle).min(self.ends);
        self.idle.as_mut().reset(until);
    }

    /// Waits no longer than the limits let it.
    fn silent<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.idle.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Before reading, never after: what was read is not thrown away. So it may be one buffer more.
        if self.read_bytes > self.limits.read_bytes || Instant::now() >= self.ends {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.silent(context),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                self.read_bytes += buffer.filled().len() - before;
                self.stir();
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.silent(context),
            Poll::Ready(written) => {
                self.stir();
                Poll::Ready(written)
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::sync::Semaphore;

    use super::*;

    const SMALL: Limits = Limits {
        idle: Duration::from_millis(50),
        life: Duration::from_millis(250),
        read_bytes: 1_000,
    };

    async fn connection<S>(stream: S) -> Connection<S> {
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        Connection::new(stream, SMALL, permit)
    }

    #[tokio::test]
    async fn a_silent_connection_ends() {
        let (_client, stream) = duplex(64);
        let begun = Instant::now();
        let error = connection(stream).await.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= SMALL.idle);
    }

    #[tokio::test]
    async fn one_that_sends_a_byte_now_and_then_ends_too() {
        let (mut client, stream) = duplex(64);
        let begun = Instant::now();
        let mut connection = connection(stream).await;
        tokio::spawn(async move {
            while client.write_u8(b'x').await.is_ok() {
                sleep(SMALL.idle / 10).await;
            }
        });
        while connection.read_u8().await.is_ok() {}
        assert!(begun.elapsed() >= SMALL.idle);
    }

    #[tokio::test]
    async fn one_that_sends_too_much_ends() {
        let (mut client, stream) = duplex(SMALL.read_bytes * 2);
        client.write_all(&vec![b'x'; SMALL.read_bytes + 1]).await.unwrap();
        let mut all = Vec::new();
        let error = connection(stream).await.read_to_end(&mut all).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn one_that_takes_nothing_ends() {
        let (_client, stream) = duplex(1);
        let error = connection(stream)
            .await
            .write_all(b"more than one")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
