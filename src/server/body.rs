//! Reads the body of an HTTP request whole before a router sees the request.

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use http::StatusCode;
use tokio_stream::StreamExt as _;
use tonic::Status;

use super::refusal;

/// Of a body that is too large, so much more is read and thrown away: a client that still writes
/// would not see the answer.
const THROWN_AWAY: usize = 8 << 20;

/// `router`, which sees only bodies that have arrived, of `max` bytes at most.
pub(super) fn read_whole(router: Router, max: usize) -> Router {
    router.layer(middleware::from_fn(move |request, next| answer(request, next, max)))
}

async fn answer(request: Request, next: Next, max: usize) -> Response {
    let (head, body) = request.into_parts();
    match whole(body, max).await {
        Ok(body) => next.run(Request::from_parts(head, Body::from(body))).await,
        Err(refusal) => refusal,
    }
}

/// The whole of `body`, or the answer to one that has more than `max` bytes or breaks off.
async fn whole(body: Body, max: usize) -> Result<Vec<u8>, Response> {
    let mut chunks = body.into_data_stream();
    let (mut kept, mut len) = (Vec::new(), 0_usize);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| match error.into_inner().downcast::<Status>() {
            Ok(no_room) => refusal::http(StatusCode::SERVICE_UNAVAILABLE, no_room.message()),
            Err(_) => refusal::http(StatusCode::BAD_REQUEST, "the body did not arrive whole"),
        })?;
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
    let message = format!("the body has more than {max} bytes: send less at once");
    Err(refusal::http(StatusCode::PAYLOAD_TOO_LARGE, &message))
}
