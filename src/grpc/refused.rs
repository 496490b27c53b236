//! Logs admin calls that are UNAUTHENTICATED: nobody without a credential can make
//! the sidecar write, so they are not in the audit log.
//!
//! INVARIANT: at most one line a second, with the number of those before it that got
//! none. A line holds the peer and the reason that the caller was told, nothing that
//! the caller sent.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::Peer;
use crate::telemetry::OncePerSecond;

/// Puts the log around services. Clones share the limit.
#[derive(Clone, Debug, Default)]
pub struct LogRefused(Arc<OncePerSecond>);

/// A service of which refused calls are logged.
#[derive(Clone, Debug)]
pub struct Logged<S> {
    inner: S,
    log: LogRefused,
}

impl LogRefused {
    /// Whoever is refused gets an answer that is headers only.
    fn look_at(&self, answer: &HeaderMap, peer: Option<&Peer>) {
        let Some(status) = Status::from_header_map(answer) else { return };
        if status.code() != Code::Unauthenticated {
            return;
        }
        if let Some(unlogged) = self.0.admit() {
            let peer = peer.map(ToString::to_string).unwrap_or_default();
            let reason = status.message();
            tracing::warn!(peer, reason, unlogged, "an admin call was not authenticated");
        }
    }
}

impl<S> Layer<S> for LogRefused {
    type Service = Logged<S>;

    fn layer(&self, inner: S) -> Logged<S> {
        Logged { inner, log: self.clone() }
    }
}

impl<S, A, B> Service<Request<A>> for Logged<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().cloned();
        let (answer, log) = (self.inner.call(request), self.log.clone());
        Box::pin(async move {
            let answer = answer.await?;
            log.look_at(answer.headers(), peer.as_ref());
            Ok(answer)
        })
    }
}
