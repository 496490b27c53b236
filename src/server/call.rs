//! One call, from its head to the end of its answer: turned away when there are too many, given up
//! when it takes too long.
//!
//! INVARIANT: what is answered here was not decided: gRPC hears an error, HTTP a 503 or 408.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    BoxError, Router,
    body::{Body, Bytes},
    routing::future::RouteFuture,
};
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower::Service as _;

use super::{
    api::{Api, Held, Waiting},
    connections::{Activity, InFlight},
    refusal,
};
use crate::grpc::Peer;

/// How an HTTP request is named by its client.
const REQUEST_ID: &str = "x-request-id";

/// Answers the calls of one connection.
pub(super) struct Calls {
    api: Api,
    activity: Arc<Activity>,
    peer: Peer,
}

impl Calls {
    /// Those that `peer` makes of `api`.
    pub(super) fn new(api: Api, activity: Arc<Activity>, peer: Peer) -> Self {
        Self { api, activity, peer }
    }
}

impl hyper::service::Service<Request<Incoming>> for Calls {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Call;

    fn call(&self, mut request: Request<Incoming>) -> Call {
        let in_flight = Some(self.activity.begin());
        let client = Client::of(request.headers());
        let Some(waiting) = self.api.begin() else {
            let max = self.api.limits().max_in_flight;
            let response = Some(client.name(refusal::too_many(client.is_grpc(), max)));
            return Call { state: State::Refused { response }, in_flight };
        };
        let limit = self.api.limits().request_timeout;
        let timeout = client_timeout(request.headers()).map_or(limit, |own| own.min(limit));
        request.extensions_mut().insert(self.peer.clone());
        let mut router: Router = self.api.router().clone();
        let held = waiting.held();
        let answering = router.call(request.map(|body| Body::new(Question { body, held })));
        let state = State::Answering { answering, waiting, timeout, over: None, client };
        Call { state, in_flight }
    }
}

pin_project! {
    /// A call that waits for its answer.
    pub(super) struct Call {
        #[pin]
        state: State,
        in_flight: Option<InFlight>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State {
        Refused { response: Option<Response<Body>> },
        Answering {
            #[pin]
            answering: RouteFuture<Infallible>,
            waiting: Waiting,
            timeout: Duration,
            #[pin]
            over: Option<Sleep>,
            client: Client,
        },
    }
}

impl Future for Call {
    type Output = Result<Response<Answer>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let response = match this.state.as_mut().project() {
            StateProjection::Refused { response } => match response.take() {
                Some(response) => response,
                // Nobody asks twice.
                None => return Poll::Pending,
            },
            StateProjection::Answering { answering, timeout, mut over, client, .. } => {
                let response = match answering.poll(cx) {
                    Poll::Ready(Ok(response)) => say_oversize(response),
                    Poll::Ready(Err(never)) => match never {},
                    Poll::Pending => {
                        // Most are answered at once, and need no timer.
                        if over.is_none() {
                            over.set(Some(sleep(*timeout)));
                        }
                        if let Some(over) = over.as_pin_mut() {
                            ready!(over.poll(cx));
                        }
                        refusal::too_late(client.is_grpc(), *timeout)
                    }
                };
                client.name(response)
            }
        };
        let mut in_flight = this.in_flight.take();
        if let Some(in_flight) = &mut in_flight {
            in_flight.answered();
        }
        Poll::Ready(Ok(response.map(|body| Answer { body, in_flight })))
    }
}

/// The message of a call, as it arrives.
struct Question {
    body: Incoming,
    held: Arc<Held>,
}

impl http_body::Body for Question {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let len = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len));
        if len.is_some_and(|len| !self.held.arrived(len)) {
            return Poll::Ready(Some(Err(refusal::no_room().into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer; the call is in flight until it ends.
pub(super) struct Answer {
    body: Body,
    in_flight: Option<InFlight>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        // It is asked for more once what there was is taken.
        if let Some(in_flight) = &mut this.in_flight {
            in_flight.taken();
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if frame.is_some()
            && let Some(in_flight) = &mut this.in_flight
        {
            in_flight.given();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Who calls, as far as an answer needs to know.
enum Client {
    Grpc,
    /// And the id that it gave its request.
    Http(Option<HeaderValue>),
}

impl Client {
    fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
            Self::Grpc
        } else {
            Self::Http(headers.get(REQUEST_ID).cloned())
        }
    }

    fn is_grpc(&self) -> bool {
        matches!(self, Self::Grpc)
    }

    /// The same answer, with the request's id.
    fn name(&self, mut response: Response<Body>) -> Response<Body> {
        if let Self::Http(Some(id)) = self {
            response.headers_mut().insert(REQUEST_ID, id.clone());
        }
        response
    }
}

/// How long a gRPC client waits. A header that is wrong is no time-out, as tonic has it.
fn client_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let digits: u64 =
        Some(digits).filter(|digits| (1..=8).contains(&digits.len()))?.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(digits.saturating_mul(3600)),
        "M" => Duration::from_secs(digits.saturating_mul(60)),
        "S" => Duration::from_secs(digits),
        "m" => Duration::from_millis(digits),
        "u" => Duration::from_micros(digits),
        "n" => Duration::from_nanos(digits),
        _ => return None,
    })
}

/// tonic answers OUT_OF_RANGE to a message that is too large, which nothing else
/// here says; the contract is INVALID_ARGUMENT.
fn say_oversize(mut response: Response<Body>) -> Response<Body> {
    const OUT_OF_RANGE: &[u8] = b"11";
    const INVALID_ARGUMENT: HeaderValue = HeaderValue::from_static("3");
    if let Some(status) = response.headers_mut().get_mut("grpc-status")
        && status.as_bytes() == OUT_OF_RANGE
    {
        *status = INVALID_ARGUMENT;
    }
    response
}
