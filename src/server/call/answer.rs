//! The body of an answer, piece by piece.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{BoxError, body::Body};
use http_body::{Frame, SizeHint};

use crate::server::{
    connections::{InFlight, Piece},
    refusal,
};

/// The body of an answer; the call is in flight until HTTP has all of it, and each of its pieces is
/// owed until the client has taken it.
pub(in crate::server) struct Answer {
    body: Body,
    /// What is there of the body, and was not handed over yet.
    rest: Option<Piece>,
    in_flight: Option<InFlight>,
}

impl Answer {
    pub(super) fn new(body: Body, in_flight: Option<InFlight>) -> Self {
        Self { body, rest: None, in_flight }
    }
}

impl http_body::Body for Answer {
    type Data = Piece;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        let this = &mut *self;
        let piece = match this.rest.take() {
            Some(rest) => rest.anew(),
            None => {
                let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx)) else {
                    return Poll::Ready(None);
                };
                let data = match frame?.into_data() {
                    Ok(data) => data,
                    Err(other) => match other.into_trailers() {
                        Ok(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                        // There is no third kind.
                        Err(_) => return Poll::Ready(None),
                    },
                };
                let Some(in_flight) = &this.in_flight else { return Poll::Ready(None) };
                let Some(piece) = Piece::new(data, in_flight.activity()) else {
                    return Poll::Ready(Some(Err(refusal::owes_too_much().into())));
                };
                piece
            }
        };
        if let Some(in_flight) = &this.in_flight {
            in_flight.goes_on();
        }
        let (first, rest) = piece.split();
        this.rest = rest;
        Poll::Ready(Some(Ok(Frame::data(first))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.rest.is_some() { SizeHint::default() } else { self.body.size_hint() }
    }
}
