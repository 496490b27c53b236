//! The cookie that holds a session's name.
//!
//! INVARIANT: scripts do not see it, and no other site makes a browser send it. Where the page came
//! over TLS it goes over nothing else, and no other host can set it (`__Host-`,
//! <https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#name-the-__host-prefix>).
//! Browsers do not tell the ports of a host apart, so the port is in the name: two dashboards behind
//! two forwarded ports do not sign each other out.

use axum::http::{HeaderMap, HeaderValue, header, request::Parts};
use cookie::{Cookie, SameSite};

use super::headers;
use crate::grpc::Peer;

/// The name of the session in the cookie of this request.
pub(super) fn session(head: &Parts) -> Option<String> {
    let name = name(head);
    let cookies = head.headers.get_all(header::COOKIE).iter();
    let texts = cookies.filter_map(|value| value.to_str().ok());
    let mut cookies = texts.flat_map(Cookie::split_parse).flatten();
    cookies.find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}

/// Puts the cookie for `session`; an empty one takes it away.
pub(super) fn set(headers: &mut HeaderMap, head: &Parts, session: &str) {
    let cookie = Cookie::build((name(head), session))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(is_secure(head));
    let cookie = match session {
        "" => cookie.max_age(cookie::time::Duration::ZERO),
        _ => cookie,
    };
    // INVARIANT: a name of ours is a header's value.
    if let Ok(value) = HeaderValue::try_from(cookie.build().to_string()) {
        headers.append(header::SET_COOKIE, value);
    }
}

fn name(head: &Parts) -> String {
    let host = headers::host(&head.headers, &head.uri).unwrap_or_default();
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    let port: String = port.chars().filter(char::is_ascii_digit).take(5).collect();
    let prefix = if is_secure(head) { "__Host-" } else { "" };
    format!("{prefix}octavia-session{port}")
}

/// Whether the browser speaks TLS: with us, or with a proxy that says so. Who lies about it harms
/// only its own session.
fn is_secure(head: &Parts) -> bool {
    let forwarded = head.headers.get("x-forwarded-proto");
    matches!(head.extensions.get::<Peer>(), Some(Peer::Tls(..)))
        || forwarded
            .and_then(|proto| proto.to_str().ok()?.split(',').next())
            .is_some_and(|first| first.trim().eq_ignore_ascii_case("https"))
}
