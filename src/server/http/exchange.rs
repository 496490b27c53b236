//! One request and its answer: a body is read whole before a router sees the request, the answer
//! comes in time, and the id that the client gave its request goes back with it.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    BoxError, Router,
    body::{Body, Bytes, HttpBody},
};
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use tokio_stream::StreamExt as _;
use tower::{Service, ServiceExt as _};

use super::Limits;

/// How a request is named by its client.
const REQUEST_ID: &str = "x-request-id";
/// Of a body that is too large, so much more is read and thrown away: a client that still writes
/// would not see the answer.
const THROWN_AWAY: usize = 8 << 20;

/// Counts the requests of a connection.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<AtomicU64>);

/// A request that is under way, until it is dropped.
struct Turn(Turns);

impl Turns {
    /// Another number whenever a request begins and whenever it is answered.
    pub(super) fn number(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether a request is under way when this is the number.
    pub(super) fn is_under_way(number: u64) -> bool {
        number % 2 == 1
    }

    fn begin(&self) -> Turn {
        self.0.fetch_add(1, Ordering::Relaxed);
        Turn(self.clone())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Answers the requests of one connection.
#[derive(Clone)]
pub(super) struct Exchange {
    router: Router,
    turns: Turns,
    limits: Limits,
}

impl Exchange {
    /// Answers with `router`.
    pub(super) fn new(router: Router, turns: Turns, limits: Limits) -> Self {
        Self { router, turns, limits }
    }
}

impl<B> Service<Request<B>> for Exchange
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let turn = self.turns.begin();
        let id = request.headers().get(REQUEST_ID).cloned();
        let (limits, answered) = (self.limits, answer(self.router.clone(), request, self.limits));
        Box::pin(async move {
            let answered = tokio::time::timeout(limits.request, answered).await;
            let mut response = answered.unwrap_or_else(|_| {
                let problem = format!(
                    "the request did not arrive, or was not answered, within {:?}: send it anew",
                    limits.request
                );
                refused(StatusCode::REQUEST_TIMEOUT, &problem)
            });
            if let Some(id) = id {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            drop(turn);
            Ok(response)
        })
    }
}

async fn answer<B>(router: Router, request: Request<B>, limits: Limits) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (head, body) = request.into_parts();
    let body = match whole(Body::new(body), limits.body).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let answered = router.oneshot(Request::from_parts(head, Body::from(body))).await;
    answered.unwrap_or_else(|never| match never {})
}

/// The whole of `body`, or the answer to one that has more than `max` bytes or breaks off.
async fn whole(body: Body, max: usize) -> Result<Vec<u8>, Response<Body>> {
    let mut chunks = body.into_data_stream();
    let (mut kept, mut len) = (Vec::new(), 0_usize);
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else {
            return Err(refused(StatusCode::BAD_REQUEST, "the body did not arrive whole"));
        };
        len = len.saturating_add(chunk.len());
        if len <= max {
            kept.extend_from_slice(&chunk);
        } else {
            kept = Vec::new();
        }
        if len > max.saturating_add(THROWN_AWAY) {
            break;
        }
    }
    if len <= max {
        return Ok(kept);
    }
    let problem = format!("the body has more than {max} bytes: send less at once");
    Err(refused(StatusCode::PAYLOAD_TOO_LARGE, &problem))
}

fn refused(status: StatusCode, message: &str) -> Response<Body> {
    let error = serde_json::json!({ "error": { "status": status.as_u16(), "message": message } });
    let mut response = Response::new(Body::from(error.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
