//! A new secret for a key, with a time in which the one before is accepted, too.

use std::time::Duration;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{KeyId, KeyView, secret};
use crate::{
    dashboard::{App, Frame, Posted, Problem, Section, Visitor, problem::page, time},
    keyring::Rotated,
};

const HOUR: u64 = 60 * 60;
/// For how long the secret before is accepted: value, words, seconds.
const OVERLAPS: [(&str, &str, u64); 5] = [
    ("1d", "1 day", 24 * HOUR),
    ("1h", "1 hour", HOUR),
    ("7d", "7 days", 7 * 24 * HOUR),
    ("30d", "30 days", 30 * 24 * HOUR),
    ("none", "Not at all: whoever uses it is refused at once", 0),
];

#[derive(Template)]
#[template(path = "keys/rotate.html", config = "src/dashboard/askama.toml")]
struct RotatePage {
    frame: Frame,
    key: KeyView,
    overlaps: &'static [(&'static str, &'static str, u64)],
    /// The key has two secrets, of which the older one ends.
    older_ends: bool,
    /// It is the key that the visitor is signed in with.
    own: bool,
}

pub(in crate::dashboard) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    KeyId(id): KeyId,
) -> Response {
    let key = match app.keyring.get(&visitor.caller, &id) {
        Ok(key) => key,
        Err(error) => return Problem::from(error).page(&visitor),
    };
    let (policy, now) = (app.keyring.policy(), app.clock.now());
    let may = visitor
        .powers
        .require("api_keys.rotate")
        .and_then(|()| visitor.powers.require_over(&key, &policy));
    if let Err(refusal) = may {
        return Problem::from(refusal).page(&visitor);
    }
    page(&RotatePage {
        frame: visitor.frame(Section::Keys),
        older_ends: key.secrets.iter().filter(|secret| secret.is_live(now)).count() > 1,
        own: visitor.is(&key),
        key: KeyView::new(&key, &app.keyring, &policy, now),
        overlaps: &OVERLAPS,
    })
}

pub(in crate::dashboard) async fn rotate(
    State(app): State<App>,
    KeyId(id): KeyId,
    Posted(visitor, fields): Posted,
) -> Response {
    let overlap = fields.get("overlap");
    let Some((_, _, seconds)) = OVERLAPS.iter().find(|(value, ..)| *value == overlap) else {
        return Problem::no_form().page(&visitor);
    };
    // Sent again, it is refused for its etag: nobody rotates twice by accident.
    let (overlap, etag) = (Duration::from_secs(*seconds), fields.get("etag").to_owned());
    if etag.is_empty() {
        return Problem::no_form().page(&visitor);
    }
    match app.keyring.rotate(visitor.caller.clone(), &id, overlap, etag).await {
        Ok(Rotated { key, token, .. }) => {
            let before = key.secrets.get(1).and_then(|before| before.expires);
            let about = match before {
                Some(until) => format!(
                    "The previous secret is accepted until {}; replace it wherever it is used by then.",
                    time::exact(until)
                ),
                None => "The previous secret is no longer accepted.".to_owned(),
            };
            secret::show(&app, visitor.frame(Section::Keys), &key, &token, "rotated", about)
        }
        Err(error) => Problem::from(error).about(&id).page(&visitor),
    }
}
