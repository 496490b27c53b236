//! Who asks for a page, and what it may do.
//!
//! INVARIANT: what a visitor may do is found out anew for every request, from its credential as it
//! stands in the store: a key that was revoked or switched off, whose secret was rotated out, or that has expired, ends its
//! session with the next request.

use std::time::{Duration, Instant};

use askama::Template;
use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{Method, header, request::Parts},
    response::{IntoResponse as _, Redirect, Response},
};

use super::{
    App, Frame, Problem, Section, address, cookie, fields::Fields, frame::Notice, problem::page,
    session::Sent,
};
use crate::{
    change::Refusal,
    grpc::{Peer, request_id_of},
    keyring::{Caller, KeyringError, NewKey, Powers},
    policy::Policy,
    record::KeyRecord,
    store::CommitError,
    token::{KeyId, Token},
};

/// Somebody who is signed in.
pub(super) struct Visitor {
    /// As the keyring and the auditor take it.
    pub(super) caller: Caller,
    /// What it may do now.
    pub(super) powers: Powers,
    /// What every form has to carry.
    pub(super) form_token: String,
    /// How long its session lasts if nothing is done any more.
    pub(super) left: Duration,
    app: App,
    session: String,
}

/// A form that a visitor has sent from a page of ours.
pub(super) struct Posted(pub(super) Visitor, pub(super) Fields);

/// Leads on to the page that was asked for, from a page of ours.
#[derive(Template)]
#[template(path = "onward.html", config = "src/dashboard/askama.toml")]
struct OnwardPage<'a> {
    frame: Frame,
    to: &'a str,
}

/// Asks for news and not for a page.
const NEWS: &str = "/audit/news";
/// Larger than any form of ours; bodies are bounded before.
const MAX_FORM: usize = 1 << 20;

impl Visitor {
    /// Whether it has the right to `action`.
    pub(super) fn may(&self, action: &'static str) -> bool {
        self.powers.require(action).is_ok()
    }

    /// Whether it may do `action` to `key`.
    pub(super) fn may_to(&self, action: &'static str, key: &KeyRecord, policy: &Policy) -> bool {
        self.may(action) && self.powers.require_over(key, policy).is_ok()
    }

    /// Whether it is the operator.
    pub(super) fn is_operator(&self) -> bool {
        matches!(self.powers, Powers::All)
    }

    /// The key that it is signed in with; `None`: it is the operator.
    pub(super) fn own_key(&self) -> Option<KeyId> {
        match &self.powers {
            Powers::All => None,
            Powers::Of(own) => Some(own.id()),
        }
    }

    /// Whether it is signed in with `key`.
    pub(super) fn is(&self, key: &KeyRecord) -> bool {
        self.own_key() == Some(key.id)
    }

    /// What stands around its pages. Takes the notice that waits.
    pub(super) fn frame(&self, section: Section) -> Frame {
        Frame::of(self, section, self.app.sessions.take_notice(&self.session))
    }

    /// Sends it to `path`, which says `notice`.
    pub(super) fn go(&self, path: &str, notice: Notice) -> Response {
        self.app.sessions.notify(&self.session, notice);
        Redirect::to(path).into_response()
    }

    /// Whether the form `name` is sent for the first time.
    pub(super) fn send(&self, name: &str) -> Sent {
        self.app.sessions.send(&self.session, name)
    }

    /// Creates the key that the form `form` asks for, also when nobody waits for the answer any more:
    /// so it is known what became of the form.
    pub(super) async fn create(
        &self,
        form: &str,
        new: NewKey,
    ) -> Result<(KeyRecord, Token), KeyringError> {
        let (app, caller) = (App::clone(&self.app), self.caller.clone());
        let (session, form) = (self.session.clone(), form.to_owned());
        let creating = tokio::spawn(async move {
            let created = app.keyring.create(caller, new).await;
            match &created {
                Ok((key, _)) => app.sessions.done(&session, &form, Some(key.id)),
                // It may have been made.
                Err(KeyringError::Commit(CommitError::InDoubt)) => {}
                Err(_) => app.sessions.done(&session, &form, None),
            }
            created
        });
        creating.await.map_err(|_| KeyringError::BrokenOff)?
    }
}

/// Whoever presents `identity` with this request.
pub(super) fn caller(identity: crate::keyring::Identity, head: &Parts) -> Caller {
    let peer = head.extensions.get::<Peer>().map(ToString::to_string).unwrap_or_default();
    let request_id = head.headers.get("x-request-id").and_then(|id| id.to_str().ok());
    Caller { identity, peer, request_id: request_id_of(request_id) }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(head: &mut Parts, app: &App) -> Result<Self, Response> {
        if let Some(clean) = address::without_secrets(&head.uri) {
            return Err(match head.method {
                Method::GET | Method::HEAD => Redirect::to(address::here(&clean)).into_response(),
                _ => Problem::secret_in_address().bare(),
            });
        }
        let used = !by_itself(head);
        let Some(session) = cookie::session(head) else {
            return Err(match is_from_elsewhere(head) {
                true => page(&OnwardPage { frame: Frame::of_nobody(), to: asked(head) }),
                false => sign_in_first(head, ""),
            });
        };
        let Some(signed) = app.sessions.find(&session, Instant::now(), used) else {
            return Err(sign_in_first(head, "ended"));
        };
        let caller = caller(signed.identity, head);
        let (form_token, left) = (signed.form_token, signed.left);
        match app.keyring.authenticate(&caller) {
            Ok(powers) if powers.require(super::sign_in::RIGHT).is_err() => {
                app.sessions.close(&session);
                Err(sign_in_first(head, "may_not"))
            }
            Ok(powers) => {
                Ok(Self { caller, powers, form_token, left, app: App::clone(app), session })
            }
            Err(CommitError::Refused(Refusal::Unauthenticated(_))) => {
                app.sessions.close(&session);
                Err(sign_in_first(head, "refused"))
            }
            Err(error) => Err(Problem::from(error).bare()),
        }
    }
}

impl FromRequest<App> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut head, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut head, app).await?;
        let body = to_bytes(body, MAX_FORM).await;
        let body = body.map_err(|_| Problem::no_form().page(&visitor))?;
        let fields = Fields::parse(&body);
        // Both are random: what is learnt of one from the time this takes helps nobody who does not
        // have the cookie.
        if fields.get("form_token") != visitor.form_token {
            return Err(Problem::not_ours().page(&visitor));
        }
        Ok(Self(visitor, fields))
    }
}

/// Whether a page asks this by itself, for news or to be shown anew: that is nothing that its visitor
/// does.
fn by_itself(head: &Parts) -> bool {
    let query = Fields::parse(head.uri.query().unwrap_or_default().as_bytes());
    head.uri.path() == NEWS || (head.method == Method::GET && query.get("again") == "1")
}

/// The way to the page that was asked for, past the sign-in. Why it is needed: `ended` after too long,
/// `refused` when the credential is not accepted any more.
fn sign_in_first(head: &Parts, why: &str) -> Response {
    if head.uri.path() == NEWS {
        return Problem::signed_out().bare();
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    // What was sent is not sent again.
    let next = match head.method {
        Method::GET => asked(head),
        _ => page_of_form(head.uri.path()),
    };
    if next != address::START {
        query.append_pair("next", next);
    }
    if !why.is_empty() {
        query.append_pair("why", why);
    }
    if head.method != Method::GET {
        query.append_pair("lost", "yes");
    }
    let query = query.finish();
    let path = if query.is_empty() { "/sign-in".to_owned() } else { format!("/sign-in?{query}") };
    let mut answer = Redirect::to(&path).into_response();
    if !why.is_empty() {
        cookie::set(answer.headers_mut(), head, "");
    }
    answer.headers_mut().insert(header::CACHE_CONTROL, super::assets::NO_STORE);
    answer
}

/// The page that was asked for.
fn asked(head: &Parts) -> &str {
    head.uri.path_and_query().map_or(address::START, |path| address::here(path.as_str()))
}

/// Whether somebody follows a link of another site. A browser keeps the session's cookie to itself
/// then, and gives it once a page of ours leads on.
fn is_from_elsewhere(head: &Parts) -> bool {
    let site = head.headers.get("sec-fetch-site");
    head.method == Method::GET
        && head.uri.path() != NEWS
        && site.is_some_and(|site| site.as_bytes() == b"cross-site")
}

/// The page on which the form stands that is sent to `path`.
fn page_of_form(path: &str) -> &str {
    match path {
        "/sign-out" | "/keys/bulk" => "/keys",
        "/audit/verify" => "/audit",
        path => path.strip_suffix("/status").unwrap_or(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_asks_by_itself_is_not_what_its_visitor_does() {
        let asked = |method: Method, address: &str| {
            let request = Request::builder().method(method).uri(address);
            by_itself(&request.body(()).unwrap().into_parts().0)
        };
        assert!(asked(Method::GET, "/audit/news?after=3"));
        assert!(asked(Method::GET, "/audit?live=on&again=1"));
        assert!(!asked(Method::GET, "/audit?live=on"));
        assert!(!asked(Method::GET, "/audit?again=2"));
        assert!(!asked(Method::POST, "/audit/verify?again=1"));
    }
}
