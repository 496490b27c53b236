//! Hears how a call ends, for who counts or traces it.
//!
//! INVARIANT: changes nothing. The code stands in the headers of an answer without a message, and
//! else in the trailers; who goes away before those leaves a call that hears nothing.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tonic::{Code, Status};

/// A call under way. When it is dropped before it is told, its caller went away.
pub(super) trait Ends {
    /// It has ended with `code`; of plain HTTP that is none.
    fn end(self, code: Code);
}

/// An answer's body; the call is told when it ends.
#[derive(Debug)]
pub struct EndedBody<B, C> {
    inner: B,
    call: Option<C>,
}

/// Tells `call` if `headers`, or trailers, have a code.
pub(super) fn tell(call: &mut Option<impl Ends>, headers: &HeaderMap) {
    if let Some(status) = Status::from_header_map(headers)
        && let Some(call) = call.take()
    {
        call.end(status.code());
    }
}

impl<B, C> EndedBody<B, C> {
    /// `inner`, the answer to `call`; `None` if that has been told.
    pub(super) fn new(inner: B, call: Option<C>) -> Self {
        Self { inner, call }
    }
}

impl<B: Body + Unpin, C: Ends + Unpin> Body for EndedBody<B, C> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    tell(&mut self.call, trailers);
                }
            }
            // An end without a code is one that the caller makes a code of itself.
            Some(Err(_)) | None => {
                if let Some(call) = self.call.take() {
                    call.end(Code::Unknown);
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
