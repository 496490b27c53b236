//! The message of a call, as it arrives.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{BoxError, body::Bytes};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use crate::server::{api::Held, connections::Activity, refusal};

/// What a client sends; how much of it there is, is told to [`Held`].
pub(super) struct Question {
    body: Incoming,
    held: Arc<Held>,
    activity: Arc<Activity>,
}

impl Question {
    pub(super) fn new(body: Incoming, held: Arc<Held>, activity: &Arc<Activity>) -> Self {
        let question = Self { body, held, activity: Arc::clone(activity) };
        question.note_end();
        question
    }

    fn note_end(&self) {
        if http_body::Body::is_end_stream(&self.body) {
            self.held.has_arrived();
        }
    }
}

impl http_body::Body for Question {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // What was in flight is answered; a stream goes no further.
        if frame.is_some() && self.activity.is_distrusted() && !self.held.waits() {
            return Poll::Ready(Some(Err(refusal::distrusted().into())));
        }
        let len = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len));
        if len.is_some_and(|len| !self.held.arrived(len)) {
            return Poll::Ready(Some(Err(refusal::no_room().into())));
        }
        match &frame {
            Some(_) => self.note_end(),
            None => self.held.has_arrived(),
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
