//! Signing in and out.
//!
//! INVARIANT: a credential is looked at only as often as its source may fail; the operator's always
//! is. It is in the body of a request alone, and never shown, logged or kept.

use std::time::Instant;

use askama::Template;
use axum::{
    extract::{RawQuery, Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Redirect, Response},
};

use super::{
    App, Frame, Posted, Problem, address, cookie,
    fields::Fields,
    problem::{page, sentence},
    visitor::caller,
};
use crate::{change::Refusal, grpc::Peer, keyring::Identity, store::CommitError};

/// Larger than any credential.
const MAX_BODY: usize = 16 << 10;
/// Who gets in.
pub(super) const RIGHT: &str = "api_keys.read";

#[derive(Template)]
#[template(path = "sign_in.html", config = "src/dashboard/askama.toml")]
struct SignInPage {
    frame: Frame,
    /// Where to go then.
    next: String,
    /// Why it is asked for.
    why: &'static str,
    error: String,
}

/// The form.
pub(super) async fn show(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    head: Parts,
) -> Response {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let next = next(&fields);
    let signed = cookie::session(&head)
        .and_then(|session| app.sessions.find(&session, Instant::now(), false));
    if signed.is_some() {
        return Redirect::to(&next).into_response();
    }
    let why = match (fields.get("why"), fields.get("lost")) {
        ("ended", "yes") => "Your session had ended, so what you sent was not done.",
        ("ended", _) => "Your session has ended.",
        ("may_not", _) => "Your key may not see API keys any more.",
        ("refused", "yes") => "Your key is not accepted any more, so what you sent was not done.",
        ("refused", _) => {
            "Your key is not accepted any more: it expired, was switched off, rotated or revoked."
        }
        (_, "yes") => "You were not signed in, so what you sent was not done.",
        ("out", _) => "You are signed out.",
        _ => "",
    };
    page(&SignInPage { frame: Frame::of_nobody(), next, why, error: String::new() })
}

/// Signs in whoever presents a good credential.
pub(super) async fn sign_in(State(app): State<App>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "/keys".to_owned(), "that is no credential");
    };
    let fields = Fields::parse(&body);
    let next = next(&fields);
    let credential = fields.get("credential");
    if credential.is_empty() {
        return refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            next,
            "give the operator token or an API key",
        );
    }
    let peer = head.extensions.get::<Peer>();
    let source = Peer::source(peer);
    let is_operator = app.operator.is(credential);
    if !is_operator && let Some(wait) = app.sign_ins.refused(source) {
        let seconds = wait.as_secs().saturating_add(1);
        let error = format!(
            "too many sign-ins from your address have failed; for the next {seconds} s none is looked at"
        );
        let mut answer = refuse(StatusCode::TOO_MANY_REQUESTS, next, &error);
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        return answer;
    }
    let failed = |error: &str| {
        app.sign_ins.failed(source);
        let peer = peer.map(ToString::to_string).unwrap_or_default();
        app.sign_ins.tell("dashboard", &peer, error);
    };
    let Some(identity) = Identity::of(credential, &app.operator, app.keyring.digester()) else {
        let error = "this is neither the operator token nor an API key";
        failed(error);
        return refuse(StatusCode::UNAUTHORIZED, next, error);
    };
    let powers = match app.keyring.authenticate(&caller(identity.clone(), &head)) {
        Ok(powers) => powers,
        Err(CommitError::Refused(Refusal::Unauthenticated(error))) => {
            failed(error);
            return refuse(StatusCode::UNAUTHORIZED, next, error);
        }
        Err(error) => return Problem::from(error).bare(),
    };
    if powers.require(RIGHT).is_err() {
        let error = format!(
            "this key is good, but may not see API keys: it needs the right {RIGHT}, which Super Admin has, \
             and Admin where it is granted"
        );
        return refuse(StatusCode::FORBIDDEN, next, &error);
    }
    // Another name for whoever has one: nobody can have planted it.
    if let Some(before) = cookie::session(&head) {
        app.sessions.close(&before);
    }
    match app.sessions.open(identity, powers.team(), Instant::now()) {
        Ok(name) => {
            let mut answer = Redirect::to(&next).into_response();
            cookie::set(answer.headers_mut(), &head, &name);
            answer
        }
        Err(error) => Problem::unavailable(&error).bare(),
    }
}

/// Ends the session.
pub(super) async fn sign_out(State(app): State<App>, head: Parts, Posted(..): Posted) -> Response {
    if let Some(session) = cookie::session(&head) {
        app.sessions.close(&session);
    }
    let mut answer = Redirect::to("/sign-in?why=out").into_response();
    cookie::set(answer.headers_mut(), &head, "");
    answer
}

fn refuse(status: StatusCode, next: String, error: &str) -> Response {
    let error = sentence(error);
    (status, page(&SignInPage { frame: Frame::of_nobody(), next, why: "", error })).into_response()
}

/// Where to go, on this dashboard and nowhere else.
fn next(fields: &Fields) -> String {
    address::here(fields.get("next")).to_owned()
}
