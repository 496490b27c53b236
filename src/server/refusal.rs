//! What a client hears whose call was not looked at, in its own protocol.

use std::time::Duration;

use axum::body::Body;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use tonic::Status;

/// Too many calls are in flight.
pub(super) fn too_many(is_grpc: bool, max: usize) -> Response<Body> {
    let message = format!("more than {max} calls are in flight: try again in a moment");
    if is_grpc {
        return Status::resource_exhausted(message).into_http();
    }
    let mut response = http(StatusCode::SERVICE_UNAVAILABLE, &message);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// What has arrived of all calls together takes too much room.
pub(super) fn no_room() -> Status {
    Status::resource_exhausted(
        "messages that have not arrived whole take too much room: try again in a moment",
    )
}

/// A call took longer than `timeout`.
pub(super) fn too_late(is_grpc: bool, timeout: Duration) -> Response<Body> {
    if is_grpc {
        let message = format!(
            "not answered within {timeout:?}; a change may have been made all the same: look before \
             it is sent anew"
        );
        Status::deadline_exceeded(message).into_http()
    } else {
        let message = format!(
            "the request did not arrive, or was not answered, within {timeout:?}: send it anew"
        );
        http(StatusCode::REQUEST_TIMEOUT, &message)
    }
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
