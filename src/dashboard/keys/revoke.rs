//! The end of a key, once its name was typed.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};

use super::{KeyId, KeyView};
use crate::{
    dashboard::{App, Frame, Posted, Problem, Section, Visitor, frame::Notice, problem::page},
    keyring::Revoked,
    record::KeyRecord,
};

#[derive(Template)]
#[template(path = "keys/revoke.html", config = "src/dashboard/askama.toml")]
struct RevokePage {
    frame: Frame,
    key: KeyView,
    allowed: Option<u64>,
    /// It is the key that the visitor is signed in with.
    own: bool,
    /// What was typed is not its name.
    mistyped: bool,
}

pub(in crate::dashboard) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    KeyId(id): KeyId,
) -> Response {
    match app.keyring.get(&visitor.caller, &id) {
        Ok(key) => ask(&app, &visitor, &key, false),
        Err(error) => Problem::from(error).page(&visitor),
    }
}

pub(in crate::dashboard) async fn revoke(
    State(app): State<App>,
    KeyId(id): KeyId,
    Posted(visitor, fields): Posted,
) -> Response {
    let key = match app.keyring.get(&visitor.caller, &id) {
        Ok(key) => key,
        Err(error) => return Problem::from(error).page(&visitor),
    };
    let typed = fields.get("name");
    // Some names are hard to type; ids are not.
    if typed != key.name && typed != key.id.as_str() {
        return ask(&app, &visitor, &key, true);
    }
    let etag = fields.get("etag").to_owned();
    if etag.is_empty() {
        return Problem::no_form().page(&visitor);
    }
    match app.keyring.revoke(visitor.caller.clone(), &id, etag, false).await {
        Ok(Revoked { key, .. }) => visitor.go(
            "/keys",
            Notice::from(format!("{} was revoked. Whoever uses it is refused.", key.name)),
        ),
        Err(error) => Problem::from(error).about(&id).page(&visitor),
    }
}

fn ask(app: &App, visitor: &Visitor, key: &KeyRecord, mistyped: bool) -> Response {
    let (policy, now) = (app.keyring.policy(), app.clock.now());
    let may = visitor
        .powers
        .require("api_keys.revoke")
        .and_then(|()| visitor.powers.require_over(key, &policy));
    if let Err(refusal) = may {
        return Problem::from(refusal).page(visitor);
    }
    let answer = page(&RevokePage {
        frame: visitor.frame(Section::Keys),
        allowed: app.keyring.usage(key).map(|(usage, _)| usage.allowed),
        own: visitor.is(key),
        key: KeyView::new(key, &app.keyring, &policy, now),
        mistyped,
    });
    if mistyped { (StatusCode::UNPROCESSABLE_ENTITY, answer).into_response() } else { answer }
}
