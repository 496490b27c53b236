//! The denial of a question that was not decided: gRPC has errors for that, and a proxy may be
//! configured to let pass what ends in one.

use axum::body::Body;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tonic::Code;

use super::{
    answer,
    wire::{CheckResponse, RpcStatus},
};
use crate::gateway::Status as HttpStatus;

/// Flag and length before a message.
const PREFIX_LEN: usize = 5;

/// The answer to a `Check` that would have ended with `status`: a denial with 503 that says why.
/// As metadata it has the reason alone: nothing else is known.
pub fn undecided(status: &tonic::Status) -> Response<Body> {
    let message = format!("could not decide: {}", status.message());
    let reason: &[u8] = match status.code() {
        Code::InvalidArgument => b"REQUEST_INVALID",
        _ => b"UNAVAILABLE",
    };
    let dynamic_metadata = Some(answer::fields([("reason", Bytes::from_static(reason))]));
    let denied = Some(answer::denied(HttpStatus::Unavailable, &message, Vec::new()));
    let status = Some(RpcStatus { code: Code::Unavailable.into(), message });
    let check = CheckResponse { status, ok: None, denied, dynamic_metadata };
    let mut body = BytesMut::with_capacity(PREFIX_LEN + check.encoded_len());
    body.put_u8(0);
    // It has a few hundred bytes.
    body.put_u32(u32::try_from(check.encoded_len()).unwrap_or(u32::MAX));
    body.put(Bytes::from(check.encode_to_vec()));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(body.freeze()).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
