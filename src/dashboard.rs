//! The web dashboard: Settings → API Keys, as the users' guide describes it.
//!
//! Pages are rendered here and need nothing from elsewhere; the little JavaScript only makes
//! them quicker to use. A page is one walk: `headers` (policies of the answer, requests of other
//! origins), `visitor` (whose session it is, and what its credential may do *now*), a handler, which
//! asks the keyring, the auditor or the authorizer as that caller, and a template.
//!
//! INVARIANT: a handler decides nothing: what a visitor may do is what its credential may do over
//! gRPC, and is found out in the same place. What a page leaves out because the visitor may not do
//! it is refused all the same. Every text is escaped by the templates.

mod address;
mod assets;
mod audit;
mod cookie;
mod fields;
mod frame;
mod headers;
mod keys;
mod problem;
mod roles;
mod session;
mod sign_in;
mod simulate;
mod time;
mod visitor;

use std::sync::Arc;

use axum::{
    Router, middleware,
    response::Redirect,
    routing::{get, post},
};
use tokio::sync::watch;

pub use self::{
    audit::Reading,
    session::{SessionTimes, Sessions},
};
use self::{
    frame::{Frame, Section},
    problem::Problem,
    visitor::{Posted, Visitor},
};
use crate::{
    audit::Auditor, authorizer::Authorizer, clock::Clock, keyring::Keyring,
    operator::OperatorToken, sign_ins::SignIns,
};

/// What the pages ask.
pub struct Dashboard {
    /// Reads and changes keys.
    pub keyring: Keyring,
    /// Reads the audit log.
    pub auditor: Auditor,
    /// Is only asked what it would decide.
    pub authorizer: Arc<Authorizer>,
    /// Signs in with everything.
    pub operator: OperatorToken,
    /// Who may try to sign in.
    pub sign_ins: Arc<SignIns>,
    /// Who is signed in.
    pub sessions: Sessions,
    /// Who reads the audit log.
    pub reading: Reading,
    /// What time pages show things by.
    pub clock: Clock,
    /// Turns true when the sidecar stops: nothing waits for news any more.
    pub stopping: watch::Receiver<bool>,
}

/// The dashboard, as handlers have it.
type App = Arc<Dashboard>;

/// The pages, to be [`guarded`]. Requests are expected to be of a bounded size, with the peer in their extensions.
pub fn router(dashboard: Dashboard) -> Router {
    Router::new()
        .route("/", get(async || Redirect::to("/keys")))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/keys", get(keys::list::show))
        .route("/keys/", get(async |_: Visitor| Redirect::to(address::START)))
        .route("/keys/new", get(keys::new::show).post(keys::new::create))
        .route("/keys/bulk", post(keys::bulk::change))
        .route("/keys/{id}", get(keys::key::show).post(keys::edit::save))
        .route("/keys/{id}/status", post(keys::edit::switch))
        .route("/keys/{id}/rotate", get(keys::rotate::show).post(keys::rotate::rotate))
        .route("/keys/{id}/revoke", get(keys::revoke::show).post(keys::revoke::revoke))
        .route("/roles", get(roles::show))
        .route("/audit", get(audit::show))
        .route("/audit/news", get(audit::news))
        .route("/audit/verify", post(audit::verify))
        .route("/simulate", get(simulate::show))
        .route("/assets/{version}/{name}", get(assets::serve))
        .fallback(async |visitor: Visitor| Problem::no_page().page(&visitor))
        .method_not_allowed_fallback(async |visitor: Visitor| Problem::no_page().page(&visitor))
        .with_state(Arc::new(dashboard))
}

/// `pages`, with what stands around them. It is the outermost: what answers in a page's stead has it,
/// too, and nothing of a request of another site is read.
pub fn guarded(pages: Router) -> Router {
    pages.layer(middleware::from_fn(headers::guard))
}
