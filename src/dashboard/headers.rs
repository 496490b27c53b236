//! What stands around every page: who may embed, load, keep and call it.
//!
//! INVARIANT: a request that changes something comes from a page of ours. A browser says where a
//! request comes from (`Sec-Fetch-Site`, or `Origin`); one that says another origin is refused before
//! anything is looked at. Beside that, every form carries its session's token.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

/// Only what is ours, nothing inline, and in no frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

const ALWAYS: [(&str, &str); 8] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    // `no-referrer` would make browsers send `Origin: null` with our own forms.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("x-robots-tag", "noindex"),
];

pub(super) async fn guard(request: Request, next: Next) -> Response {
    let mut answer = if is_ours(&request) {
        next.run(request).await
    } else {
        let message = "This form comes from another site, so nothing was done. Open the dashboard \
                       itself, and try there.\n";
        (StatusCode::FORBIDDEN, message).into_response()
    };
    let headers = answer.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What names a version may be kept; what a visitor sees is for nobody after it.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// Whether a request that may change something comes from a page of ours, as far as its browser says.
/// Who is no browser says nothing, and has no cookie that it was tricked into sending.
fn is_ours(request: &Request) -> bool {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return true;
    }
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site") {
        // `none`: the visitor's own doing.
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = text("origin") else { return true };
    let origin = origin.split_once("://").map(|(_, host)| host);
    origin.is_some() && origin == host(request.headers(), request.uri())
}

/// The host and port that the request is for.
pub(super) fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let authority = uri.authority().map(Authority::as_str);
    authority.or_else(|| headers.get(header::HOST)?.to_str().ok())
}
