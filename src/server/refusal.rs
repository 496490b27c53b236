//! What a client hears whose call was not looked at, in gRPC and in HTTP.

use std::time::Duration;

use axum::body::Body;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use tonic::Status;

/// Why a call was not looked at.
pub(super) enum Refusal {
    /// More than so many calls are in flight.
    TooMany(usize),
    /// It took longer than this.
    TooLate(Duration),
    /// Nobody vouches for the client's certificate any more.
    Distrusted,
}

impl Refusal {
    /// In gRPC.
    pub(super) fn status(&self) -> Status {
        match self {
            Self::TooMany(max) => Status::resource_exhausted(too_many(*max)),
            Self::TooLate(timeout) => Status::deadline_exceeded(format!(
                "not answered within {timeout:?}; a change may have been made all the same: look \
                 before it is sent anew"
            )),
            Self::Distrusted => distrusted(),
        }
    }

    /// In HTTP.
    pub(super) fn http(&self) -> Response<Body> {
        match self {
            Self::TooMany(max) => {
                let mut response = http(StatusCode::SERVICE_UNAVAILABLE, &too_many(*max));
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
            Self::TooLate(timeout) => {
                let message = format!(
                    "the request did not arrive, or was not answered, within {timeout:?}: if it was \
                     to change something, look before it is sent anew"
                );
                http(StatusCode::REQUEST_TIMEOUT, &message)
            }
            Self::Distrusted => http(StatusCode::FORBIDDEN, DISTRUSTED),
        }
    }
}

const DISTRUSTED: &str = "the CA of this connection's certificate is not trusted any more: connect \
     anew with a certificate of one that is";

fn too_many(max: usize) -> String {
    format!("more than {max} calls are in flight: try again in a moment")
}

/// Nobody vouches for the client's certificate any more.
pub(super) fn distrusted() -> Status {
    Status::unauthenticated(DISTRUSTED)
}

/// What has arrived of all calls together takes too much room.
pub(super) fn no_room() -> Status {
    Status::resource_exhausted(
        "messages that have not arrived whole take too much room: try again in a moment",
    )
}

/// What clients have not taken of their answers takes too much room, and most of it is this one's.
pub(super) fn owes_too_much() -> Status {
    Status::resource_exhausted("answers that were not taken take too much room")
}

/// A refusal over plain HTTP.
pub(super) fn http(status: StatusCode, message: &str) -> Response<Body> {
    let error = serde_json::json!({ "error": { "status": status.as_u16(), "message": message } });
    let mut response = Response::new(Body::from(error.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
