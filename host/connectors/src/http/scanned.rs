//! The body of an answer that could hold a secret, on its way to the guest: nothing of a secret leaves, not even its beginning.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use wasmtime_wasi_http::Error;

use super::reflection::Scanner;
use crate::journal::Journal;

/// Least that is looked through at a time, in bytes: small pieces would be looked through again and again.
const PIECE_BYTES: usize = 16 * 1024;

/// A body in which secrets are looked for.
pub(crate) struct ScannedBody<B> {
    inner: B,
    scanner: Arc<Scanner>,
    journal: Arc<Journal>,
    /// What to note when a secret is found.
    found: Found,
    /// Not handed on yet. Its last `reach` bytes may be the beginning of a secret.
    held: BytesMut,
    /// Comes after all that is held.
    trailers: Option<Frame<Bytes>>,
    ended: bool,
}

/// What a secret in an answer means for the call.
#[derive(Clone)]
pub(crate) struct Found {
    /// Who answered, for the operator.
    pub(crate) from: String,
    /// The answer was to a request that may have changed something: with the answer withheld nobody can tell.
    pub(crate) writes: bool,
}

impl Found {
    /// Notes it.
    pub(crate) fn note(&self, journal: &Journal) {
        journal.refuse(super::withheld(&format!(
            "the answer of {} held the target's secret and was withheld from the connector; a secret that was made at random is never met by chance",
            self.from
        )));
    }
}

impl<B> ScannedBody<B> {
    pub(crate) fn new(inner: B, scanner: Arc<Scanner>, journal: Arc<Journal>, found: Found) -> Self {
        Self {
            inner,
            scanner,
            journal,
            found,
            held: BytesMut::new(),
            trailers: None,
            ended: false,
        }
    }

    fn withhold(&mut self) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.found.note(&self.journal);
        if self.found.writes {
            self.journal.answer_withheld();
        }
        self.held.clear();
        self.trailers = None;
        self.ended = true;
        Poll::Ready(Some(Err(Error::HttpRequestDenied)))
    }
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for ScannedBody<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let reach = this.scanner.reach();
        while !this.ended {
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.held.extend_from_slice(&data),
                    Err(frame) => {
                        let trailers = frame.trailers_ref();
                        if trailers.is_some_and(|trailers| this.scanner.finds_in_headers(trailers)) {
                            return this.withhold();
                        }
                        this.trailers = Some(frame);
                        continue;
                    }
                },
                Some(Err(error)) => {
                    this.ended = true;
                    this.held.clear();
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.ended = true;
                    if this.scanner.finds_in(&this.held) {
                        return this.withhold();
                    }
                    break;
                }
            }
            if this.held.len() >= reach + reach.max(PIECE_BYTES) {
                if this.scanner.finds_in(&this.held) {
                    return this.withhold();
                }
                let clean = this.held.split_to(this.held.len() - reach).freeze();
                return Poll::Ready(Some(Ok(Frame::data(clean))));
            }
        }
        if !this.held.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(this.held.split().freeze()))));
        }
        Poll::Ready(this.trailers.take().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.trailers.is_none() && (self.ended || self.inner.is_end_stream())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use http_body_util::BodyExt as _;

    use super::*;
    use crate::http::reflection::KnownSecrets;
    use crate::secrets::SecretString;

    const SECRET: &str = "s3cr3t/t0ken";

    struct Pieces(std::vec::IntoIter<Frame<Bytes>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            Poll::Ready(self.0.next().map(Ok))
        }
    }

    /// What the guest gets of a body that comes in pieces of this size, and whether it was cut.
    async fn received(body: &[u8], piece_bytes: usize) -> (Vec<u8>, bool) {
        let pieces = body.chunks(piece_bytes).map(Bytes::copy_from_slice);
        let pieces: Vec<_> = pieces.map(Frame::data).collect();
        let scanner = KnownSecrets::default()
            .scanner(&[SecretString::new(SECRET)])
            .await
            .unwrap()
            .unwrap();
        let journal = Arc::new(Journal::new(Instant::now(), 1, 1));
        let found = Found {
            from: "a.example".to_owned(),
            writes: true,
        };
        let mut scanned = ScannedBody::new(Pieces(pieces.into_iter()), scanner, Arc::clone(&journal), found);
        let (mut received, mut cut) = (Vec::new(), false);
        while let Some(frame) = scanned.frame().await {
            match frame {
                Ok(frame) => received.extend_from_slice(frame.data_ref().unwrap()),
                Err(_) => cut = true,
            }
        }
        assert!(scanned.is_end_stream());
        assert_eq!(journal.refusal().is_some(), cut);
        assert_eq!(journal.has_unanswered_write(), cut);
        (received, cut)
    }

    #[tokio::test]
    async fn nothing_of_a_secret_leaves_wherever_it_is_cut() {
        let escaped: String = SECRET.bytes().map(|b| format!("\\u{b:04x}")).collect();
        for form in [SECRET.to_owned(), SECRET.replace('/', "%2F"), escaped] {
            for at in [0, 1, 100, 16_000, 16_384, 40_000, 100_000] {
                let mut body = vec![b'.'; at];
                body.extend_from_slice(form.as_bytes());
                body.extend_from_slice(&[b'-'; 50_000]);
                for piece_bytes in [1, 7, 1_000, 16_384, 1_000_000] {
                    let (received, cut) = received(&body, piece_bytes).await;
                    assert!(cut, "{form} at {at} in pieces of {piece_bytes}");
                    assert!(
                        received.iter().all(|&b| b == b'.'),
                        "{form} at {at} in pieces of {piece_bytes}"
                    );
                }
            }
        }
    }

    #[tokio::test]
    async fn what_holds_none_comes_through_as_it_was() {
        for length in [0, 1, 1_000, 16_384, 200_000] {
            let body: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            for piece_bytes in [1, 4_096, 1_000_000] {
                assert_eq!(received(&body, piece_bytes).await, (body.clone(), false));
            }
        }
    }

    #[tokio::test]
    async fn trailers_are_looked_through() {
        for (value, cut) in [("fine", false), (SECRET, true)] {
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-sum", value.parse().unwrap());
            let frames = vec![
                Frame::data(Bytes::from_static(b"body")),
                Frame::trailers(trailers),
            ];
            let scanner = KnownSecrets::default()
                .scanner(&[SecretString::new(SECRET)])
                .await
                .unwrap()
                .unwrap();
            let found = Found {
                from: "a.example".to_owned(),
                writes: false,
            };
            let journal = Arc::new(Journal::new(Instant::now(), 1, 1));
            let body = Pieces(frames.into_iter());
            let collected = ScannedBody::new(body, scanner, journal, found).collect().await;
            assert_eq!(collected.is_err(), cut, "{value}");
            if let Ok(collected) = collected {
                assert_eq!(collected.trailers().unwrap()["x-sum"], "fine");
            }
        }
    }
}
