//! Where the endpoints are: the metadata of a policy decision point.

use axum::response::Response;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, HOST, VARY},
    uri::Authority,
};
use serde_json::json;

use super::{
    EVALUATION, EVALUATIONS,
    answer::{self, Error},
};

/// A proxy in front that ends TLS says so in this header.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The endpoints, as seen by a client that sent these `headers`: clients refuse metadata of another
/// base address than the one that they asked.
pub(super) fn metadata(headers: &HeaderMap) -> Response {
    let Some(host) = host(headers) else {
        let message = "`host` must be a host, with or without a port, once: name this server so";
        return Error::new(StatusCode::BAD_REQUEST, message).response();
    };
    let forwarded = headers.get(FORWARDED_PROTO).and_then(|scheme| scheme.to_str().ok());
    let nearest = forwarded.and_then(|schemes| schemes.split(',').next()).unwrap_or_default();
    let scheme = if nearest.trim().eq_ignore_ascii_case("https") { "https" } else { "http" };
    let base = format!("{scheme}://{host}");
    let metadata = json!({
        "policy_decision_point": base,
        "access_evaluation_endpoint": format!("{base}{EVALUATION}"),
        "access_evaluations_endpoint": format!("{base}{EVALUATIONS}"),
    });
    let mut response = answer::json(StatusCode::OK, &metadata);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    headers.insert(VARY, HeaderValue::from_static("x-forwarded-proto"));
    response
}

fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, None) = (hosts.next()?, hosts.next()) else { return None };
    let host = Authority::try_from(host.as_bytes()).ok()?;
    (!host.as_str().contains('@') && !host.host().is_empty()).then_some(host)
}
