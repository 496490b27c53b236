//! Stands before the admin API: a source that failed to sign in too often is not listened to, and
//! what failed is told.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Layer, Service};

use super::Peer;
use crate::{operator::OperatorToken, sign_ins::SignIns};

/// The services that a credential is for. Health and reflection, which ask for none, are answered
/// whatever a tool sends along.
const SIGNED_IN: &str = "/octavia.authz.";

/// Puts it before services. Clones share the limit.
#[derive(Clone, Debug)]
pub struct GuardSignIns(Arc<Guard>);

#[derive(Debug)]
struct Guard {
    sign_ins: Arc<SignIns>,
    operator: OperatorToken,
}

/// A service that is guarded.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    guard: GuardSignIns,
}

impl GuardSignIns {
    /// Asks `sign_ins` who may try.
    pub fn new(sign_ins: Arc<SignIns>, operator: OperatorToken) -> Self {
        Self(Arc::new(Guard { sign_ins, operator }))
    }

    /// Whether the operator calls. Nobody guesses that token, and nobody is to keep it from revoking
    /// a key.
    fn is_operator(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next().filter(|_| values.next().is_none());
        let text =
            value.and_then(|value| value.to_str().ok()).and_then(|text| text.split_once(' '));
        text.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer") && self.0.operator.is(token.trim())
        })
    }

    /// Whoever is refused gets an answer that is headers only.
    fn look_at(&self, answer: &HeaderMap, peer: Option<&Peer>, tried: bool) {
        let Some(status) = Status::from_header_map(answer) else { return };
        if status.code() != Code::Unauthenticated {
            return;
        }
        let sign_ins = &self.0.sign_ins;
        // Who sends no credential guesses none.
        if tried {
            sign_ins.failed(Peer::source(peer));
        }
        let peer = peer.map(ToString::to_string).unwrap_or_default();
        sign_ins.tell("admin", &peer, status.message());
    }
}

fn refusal(wait: Duration) -> Response<Body> {
    let seconds = wait.as_secs().saturating_add(1);
    let message = format!(
        "too many sign-ins from here have failed, and for the next {seconds} s none is looked at; \
         mend the credential of whoever tries"
    );
    let details = ErrorDetails::with_retry_info(Some(wait));
    Status::with_error_details(Code::ResourceExhausted, message, details).into_http()
}

impl<S> Layer<S> for GuardSignIns {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, guard: self.clone() }
    }
}

impl<S, A> Service<Request<A>> for Guarded<S>
where
    S: Service<Request<A>, Response = Response<Body>>,
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
        let signs_in = request.uri().path().starts_with(SIGNED_IN);
        let tried = signs_in && request.headers().contains_key(AUTHORIZATION);
        if tried
            && let Some(wait) = self.guard.0.sign_ins.refused(Peer::source(peer.as_ref()))
            && !self.guard.is_operator(request.headers())
        {
            return Box::pin(async move { Ok(refusal(wait)) });
        }
        let (answer, guard) = (self.inner.call(request), self.guard.clone());
        Box::pin(async move {
            let answer = answer.await?;
            guard.look_at(answer.headers(), peer.as_ref(), tried);
            Ok(answer)
        })
    }
}
