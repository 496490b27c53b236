//! Addresses of ours.
//!
//! INVARIANT: no redirect leads out of the dashboard, whatever was asked for; and no address that it
//! makes holds the text of a key: what is in an address is kept and shown in many places.

use axum::http::Uri;
use percent_encoding::percent_decode_str;

use super::fields::Fields;
use crate::token::{KeyId, redacted};

/// Where to go instead of to what is not here.
pub(super) const START: &str = "/keys";

/// `path` if it is one of the dashboard, with or without a query; else [`START`]. A second slash
/// would begin the name of another host, and browsers read `\` as one.
pub(super) fn here(path: &str) -> &str {
    let is_here = path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_here { path } else { START }
}

/// `asked` with the id of a key wherever its whole text stands; `None`: none does.
pub(super) fn without_secrets(asked: &Uri) -> Option<String> {
    let query = Fields::parse(asked.query().unwrap_or_default().as_bytes());
    let clean_query = query.without_secrets();
    let clean = |part: &str| {
        let text = without_secret(&percent_decode_str(part).decode_utf8_lossy())?;
        Some(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>())
    };
    let parts = || asked.path().split('/');
    if clean_query.is_none() && !parts().any(|part| clean(part).is_some()) {
        return None;
    }
    let parts: Vec<_> =
        parts().map(|part| clean(part).unwrap_or_else(|| part.to_owned())).collect();
    let (path, query) = (parts.join("/"), clean_query.unwrap_or(query).with("", ""));
    Some(if query.is_empty() { path } else { format!("{path}?{query}") })
}

/// `text`, or the id alone of the key whose text stands in it; `None`: no secret does.
pub(super) fn without_secret(text: &str) -> Option<String> {
    let redacted = redacted(text)?;
    let id = text.find("octv_").and_then(|at| text.get(at + 5..at + 15));
    let id = id.filter(|id| id.parse::<KeyId>().is_ok());
    Some(id.map_or(redacted, str::to_owned))
}
