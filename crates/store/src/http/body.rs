//! The body of a request, in pieces, as fast as the limit lets them pass.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::{Bucket, Moved};

const PIECE: usize = 64 << 10;

pub(super) struct Upload {
    rest: Bytes,
    limit: Option<Arc<Bucket>>,
    moved: Arc<Moved>,
    /// The next piece, and until when it waits.
    next: Option<(Bytes, Pin<Box<Sleep>>)>,
}

impl Upload {
    pub(super) fn new(bytes: Bytes, limit: Option<Arc<Bucket>>, moved: Arc<Moved>) -> Self {
        Self {
            rest: bytes,
            limit,
            moved,
            next: None,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let piece = match (&this.limit, this.next.take()) {
            (_, Some((piece, mut wait))) => {
                if wait.as_mut().poll(cx).is_pending() {
                    this.next = Some((piece, wait));
                    return Poll::Pending;
                }
                piece
            }
            (None, None) => this.rest.split_to(PIECE.min(this.rest.len())),
            (Some(bucket), None) => {
                let piece = this.rest.split_to(bucket.piece().min(this.rest.len()));
                if piece.is_empty() {
                    return Poll::Ready(None);
                }
                let wait = bucket.take(Instant::now(), piece.len());
                let mut wait = Box::pin(tokio::time::sleep(wait));
                if wait.as_mut().poll(cx).is_pending() {
                    this.next = Some((piece, wait));
                    return Poll::Pending;
                }
                piece
            }
        };
        this.moved.mark();
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.next.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let waiting = self.next.as_ref().map_or(0, |(piece, _)| piece.len());
        SizeHint::with_exact((self.rest.len() + waiting) as u64)
    }
}
