//! Counts the calls of services, by the code that their answers end with.
//!
//! INVARIANT: changes nothing. A caller that goes away leaves a call that was cancelled.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::Code;
use tower::{Layer, Service};

use super::ended::{self, EndedBody, Ends};
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
    type Response = Response<EndedBody<B, Call>>;
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
            ended::tell(&mut call, answer.headers());
            Ok(answer.map(|inner| EndedBody::new(inner, call)))
        })
    }
}

impl Ends for Call {
    fn end(self, code: Code) {
        Call::end(self, code.into());
    }
}
