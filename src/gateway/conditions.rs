//! Conditions as the service behind reads them, in `x-octavia-conditions`.
//!
//! `resource.state=published|resource.owner=Kx81bQz0aa`: one of the alternatives between `|` has to
//! hold, each part of it between `&`; between commas stand the conditions of several actions, which
//! all have to hold. Values are percent-encoded.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{policy::ConditionSet, resolved_key::ResolvedKey};

/// What is not unreserved in RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `value`, so that it can stand in a header and among conditions.
pub fn encoded(value: &str) -> String {
    utf8_percent_encode(value, RESERVED).to_string()
}

/// `sets`, of which one condition each has to hold, for a request of `key`.
pub(super) fn conditions(sets: &[ConditionSet], key: Option<&ResolvedKey>) -> String {
    let subject = key.map(ResolvedKey::subject).unwrap_or_default();
    let mut texts: Vec<String> = Vec::new();
    for set in sets {
        let alternatives = set.iter().map(|condition| {
            let parts = condition.needs(subject);
            let parts = parts.map(|(attribute, value)| format!("{attribute}={}", encoded(value)));
            parts.collect::<Vec<_>>().join("&")
        });
        let text = alternatives.collect::<Vec<_>>().join("|");
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join(",")
}
