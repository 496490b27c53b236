//! How an answer is worded for who asked: in gRPC, as a proxy's denial, or in HTTP.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use tonic::{Code, Status};

use crate::{
    grpc::{CHECK, undecided},
    server::refusal::Refusal,
};

/// How an HTTP request is named by its client.
const REQUEST_ID: &str = "x-request-id";

/// Who calls, as far as an answer needs to know.
pub(super) enum Client {
    Grpc,
    /// A proxy that asks about a request. It may be configured to let pass what gRPC calls an error.
    Proxy,
    /// And the id that it gave its request.
    Http(Option<HeaderValue>),
}

impl Client {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if !kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
            Self::Http(request.headers().get(REQUEST_ID).cloned())
        } else if request.uri().path() == CHECK {
            Self::Proxy
        } else {
            Self::Grpc
        }
    }

    /// What it hears whose call was not looked at.
    pub(super) fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        match self {
            Self::Grpc => refusal.status().into_http(),
            Self::Proxy => undecided(&refusal.status()),
            Self::Http(_) => self.speak(refusal.http()),
        }
    }

    /// `response`, as it is for this client.
    pub(super) fn speak(&self, mut response: Response<Body>) -> Response<Body> {
        match self {
            Self::Grpc => say_oversize(&mut response),
            Self::Proxy => {
                say_oversize(&mut response);
                let status = Status::from_header_map(response.headers());
                if let Some(status) = status.filter(|status| status.code() != Code::Ok) {
                    return undecided(&status);
                }
            }
            Self::Http(Some(id)) => {
                response.headers_mut().insert(REQUEST_ID, id.clone());
            }
            Self::Http(None) => {}
        }
        response
    }
}

/// How long a gRPC client waits. A header that is wrong is no time-out, as tonic has it.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
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
fn say_oversize(response: &mut Response<Body>) {
    const OUT_OF_RANGE: &[u8] = b"11";
    const INVALID_ARGUMENT: HeaderValue = HeaderValue::from_static("3");
    if let Some(status) = response.headers_mut().get_mut("grpc-status")
        && status.as_bytes() == OUT_OF_RANGE
    {
        *status = INVALID_ARGUMENT;
    }
}
