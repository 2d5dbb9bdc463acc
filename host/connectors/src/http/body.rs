//! The body of an answer on its way to the guest: counted, and never waited for too long.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::Error;

use crate::journal::Journal;

/// A body with a cap.
pub(crate) struct CappedBody {
    inner: Incoming,
    bytes_left: usize,
    response_kib: u32,
    journal: Arc<Journal>,
    /// The answer is to a request that may have changed something, and has come whole so far.
    writes: bool,
    silence_max: Duration,
    silence: Pin<Box<Sleep>>,
}

impl CappedBody {
    pub(crate) fn new(
        inner: Incoming,
        response_kib: u32,
        silence_max: Duration,
        journal: Arc<Journal>,
        writes: bool,
    ) -> Self {
        let until = Instant::now() + silence_max;
        Self {
            inner,
            bytes_left: response_kib as usize * 1024,
            response_kib,
            silence: Box::pin(tokio::time::sleep_until(until.min(journal.deadline.into()))),
            silence_max,
            journal,
            writes,
        }
    }

    /// Counts what came; nothing when it is more than may come.
    fn take(&mut self, frame: &Frame<Bytes>) -> Option<()> {
        let bytes = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => data.len(),
            (None, Some(trailers)) => head_bytes(trailers),
            (None, None) => 0,
        };
        let Some(left) = self.bytes_left.checked_sub(bytes) else {
            self.journal
                .limit_reached(format!("response-kib = {}", self.response_kib));
            return None;
        };
        self.bytes_left = left;
        self.journal.take_transfer(bytes).then_some(())
    }
}

/// Size of headers or trailers as HTTP/1.1 writes them.
pub(super) fn head_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum()
}

impl CappedBody {
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) else {
            ready!(self.silence.as_mut().poll(context));
            self.journal.trouble(format!(
                "the answer stopped in the middle: nothing more for {} ms",
                self.silence_max.as_millis()
            ));
            return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
        };
        let until = Instant::now() + self.silence_max;
        self.silence
            .as_mut()
            .reset(until.min(self.journal.deadline.into()));
        match frame {
            None => Poll::Ready(None),
            Some(Ok(frame)) if self.take(&frame).is_some() => Poll::Ready(Some(Ok(frame))),
            Some(Ok(_)) => Poll::Ready(Some(Err(Error::HttpResponseBodySize(None)))),
            Some(Err(error)) => {
                self.journal.trouble("the answer was cut off".to_owned());
                Poll::Ready(Some(Err(Error::Hyper(error))))
            }
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
        let next = ready!(this.next(context));
        // Without all of the answer the guest cannot tell what its write did.
        if matches!(next, Some(Err(_))) && std::mem::take(&mut this.writes) {
            this.journal.answer_withheld();
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}
