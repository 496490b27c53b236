//! Logs admin calls that are UNAUTHENTICATED: nobody without a credential can make
//! the sidecar write, so they are not in the audit log.
//!
//! INVARIANT: at most one line a second, with the number of those before it that got
//! none. A line holds the peer and the reason that the caller was told, nothing that
//! the caller sent.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::Peer;

/// From one line to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// Puts the log around services. Clones share the limit.
#[derive(Clone, Debug, Default)]
pub struct LogRefused(Arc<Mutex<Limit>>);

/// A service of which refused calls are logged.
#[derive(Clone, Debug)]
pub struct Logged<S> {
    inner: S,
    log: LogRefused,
}

#[derive(Debug, Default)]
struct Limit {
    last: Option<Instant>,
    unlogged: u64,
}

impl Limit {
    /// What happens at `now` gets a line if this is some: how many before it did not.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            self.unlogged = self.unlogged.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

impl LogRefused {
    /// Whoever is refused gets an answer that is headers only.
    fn look_at(&self, answer: &HeaderMap, peer: Option<&Peer>) {
        let Some(status) = Status::from_header_map(answer) else { return };
        if status.code() != Code::Unauthenticated {
            return;
        }
        let admitted = self.0.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
        if let Some(unlogged) = admitted {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_counts_those_between() {
        let (mut limit, start) = (Limit::default(), Instant::now());
        assert_eq!(limit.admit(start), Some(0));
        assert_eq!(limit.admit(start), None);
        assert_eq!(limit.admit(start + INTERVAL - Duration::from_nanos(1)), None);
        assert_eq!(limit.admit(start + INTERVAL), Some(2));
        assert_eq!(limit.admit(start + 2 * INTERVAL), Some(0));
    }
}
