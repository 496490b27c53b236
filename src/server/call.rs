//! One call, from its head to the end of its answer: turned away when there are too many, or when
//! nobody vouches for its client any more; given up when it takes too long.
//!
//! INVARIANT: what is answered here was not decided: gRPC hears an error, a proxy's question a
//! denial, HTTP a 503, 408 or 403.

mod answer;
mod client;
mod question;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, routing::future::RouteFuture};
use http::{Request, Response};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower::Service as _;

use self::{answer::Answer, client::Client, question::Question};
use super::{
    api::{Api, Arriving, Waiting},
    connections::{Activity, InFlight},
    refusal::Refusal,
};
use crate::grpc::Peer;

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
        let client = Client::of(&request);
        let limits = *self.api.limits();
        let refused = |refusal: Refusal| State::Refused { response: Some(client.refuse(&refusal)) };
        if self.activity.is_distrusted() {
            return Call { state: refused(Refusal::Distrusted), in_flight };
        }
        let Some(waiting) = self.api.begin() else {
            return Call { state: refused(Refusal::TooMany(limits.max_in_flight)), in_flight };
        };
        let limit = limits.request_timeout;
        let timeout = client::timeout(request.headers()).map_or(limit, |own| own.min(limit));
        request.extensions_mut().insert(self.peer.clone());
        let mut router: Router = self.api.router().clone();
        let question = |body| Question::new(body, waiting.held(), &self.activity);
        let answering = router.call(request.map(|body| Body::new(question(body))));
        let (over, arriving) = (None, None);
        let state = State::Answering { answering, waiting, timeout, over, arriving, client };
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
            // While its message has not arrived whole.
            arriving: Option<Arriving>,
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
            StateProjection::Answering {
                answering,
                waiting,
                timeout,
                mut over,
                arriving,
                client,
            } => {
                match answering.poll(cx) {
                    Poll::Ready(Ok(response)) => client.speak(response),
                    Poll::Ready(Err(never)) => match never {},
                    Poll::Pending => {
                        // Most are answered at once, and need no timer.
                        if over.is_none() {
                            over.set(Some(sleep(*timeout)));
                            *arriving = Some(waiting.arriving());
                        }
                        let is_late =
                            over.as_pin_mut().is_some_and(|over| over.poll(cx).is_ready());
                        if waiting.has_arrived() {
                            *arriving = None;
                        }
                        let makes_room = |arriving: &mut Arriving| arriving.poll(cx).is_ready();
                        if is_late {
                            client.refuse(&Refusal::TooLate(*timeout))
                        } else if arriving.as_mut().is_some_and(makes_room) {
                            client.refuse(&Refusal::TooMany(waiting.max()))
                        } else {
                            return Poll::Pending;
                        }
                    }
                }
            }
        };
        let mut in_flight = this.in_flight.take();
        if let Some(in_flight) = &mut in_flight {
            in_flight.answered();
        }
        Poll::Ready(Ok(response.map(|body| Answer::new(body, in_flight))))
    }
}
