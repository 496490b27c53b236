//! Counts the calls of services, by the code that their answers end with.
//!
//! INVARIANT: changes nothing. The code stands in the headers of an answer without a message, and
//! else in the trailers; who goes away before those leaves a call that was cancelled.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::metrics::{AdminCalls, Call};

/// Puts the count around services.
#[derive(Clone, Debug)]
pub struct CountCalls(AdminCalls);

/// A service of which calls are counted.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    calls: AdminCalls,
}

/// An answer's body; the call is counted when it ends.
#[derive(Debug)]
pub struct CountedBody<B> {
    inner: B,
    call: Option<Call>,
}

impl CountCalls {
    /// Counts with `calls`.
    pub fn new(calls: AdminCalls) -> Self {
        Self(calls)
    }
}

impl<S> Layer<S> for CountCalls {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, calls: self.0.clone() }
    }
}

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<CountedBody<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let mut call = Some(self.calls.start(request.uri().path()));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            end(&mut call, answer.headers());
            Ok(answer.map(|inner| CountedBody { inner, call }))
        })
    }
}

/// Ends `call` if `headers`, or trailers, have a code.
fn end(call: &mut Option<Call>, headers: &HeaderMap) {
    if let Some(status) = Status::from_header_map(headers)
        && let Some(call) = call.take()
    {
        call.end(status.code().into());
    }
}

impl<B: Body + Unpin> Body for CountedBody<B> {
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
                    end(&mut self.call, trailers);
                }
            }
            // An end without a code is one that the caller makes a code of itself.
            Some(Err(_)) | None => {
                if let Some(call) = self.call.take() {
                    call.end(Code::Unknown.into());
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
