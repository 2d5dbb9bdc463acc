//! The body of an answer on its way to the guest: counted, and never waited for too long.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::Error;

use crate::journal::Journal;

/// Longest silence within an answer.
const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(30);

/// A body with a cap.
pub(crate) struct CappedBody {
    inner: Incoming,
    bytes_left: usize,
    response_kib: u32,
    journal: Arc<Journal>,
    silence_max: Duration,
    silence: Pin<Box<Sleep>>,
}

impl CappedBody {
    pub(crate) fn new(
        inner: Incoming,
        response_kib: u32,
        asked: Option<Duration>,
        journal: Arc<Journal>,
    ) -> Self {
        let silence_max = asked.unwrap_or(BETWEEN_BYTES_TIMEOUT).min(BETWEEN_BYTES_TIMEOUT);
        Self {
            inner,
            bytes_left: response_kib as usize * 1024,
            response_kib,
            journal,
            silence_max,
            silence: Box::pin(tokio::time::sleep(silence_max)),
        }
    }
}

impl Body for CappedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
            ready!(this.silence.as_mut().poll(context));
            return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
        };
        this.silence.as_mut().reset(Instant::now() + this.silence_max);
        let Some(frame) = frame else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(Error::Hyper)?;
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let Some(left) = this.bytes_left.checked_sub(bytes) else {
            this.journal
                .limit_reached(format!("response-kib = {}", this.response_kib));
            return Poll::Ready(Some(Err(Error::HttpResponseBodySize(None))));
        };
        this.bytes_left = left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}
