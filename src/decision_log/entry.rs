//! What is said of a decision, and how texts of clients are shown.

use std::fmt;

use http::{Extensions, HeaderMap};

use crate::{
    authorizer::Outcome,
    gateway::HttpRequest,
    resolved_key::ResolvedKey,
    store::Revision,
    telemetry::{Noted, Traceparent},
    token::redacted,
};

/// The longest text of a client's that is logged, in characters.
const MAX_TEXT: usize = 256;

/// A call that decisions are asked for in.
#[derive(Copy, Clone, Debug)]
pub struct Call<'a> {
    /// The API, as it is logged.
    pub api: &'static str,
    /// The call's headers.
    pub headers: &'a HeaderMap,
    /// Who is at the other end stands in these, and the span.
    pub extensions: &'a Extensions,
    /// Who is at the other end, out of `extensions`.
    pub peer: fn(&Extensions) -> Option<&dyn fmt::Display>,
}

/// A decision.
#[derive(Copy, Clone, Debug, Default)]
pub struct Decided<'a> {
    /// What was decided; `None` when nothing could be.
    pub outcome: Option<Outcome>,
    /// The key; `None` unless it has proven itself.
    pub key: Option<&'a ResolvedKey>,
    /// The service that was asked about; empty is the default one.
    pub service: &'a str,
    /// The action, or several with commas between.
    pub action: &'a str,
    /// What would be acted on.
    pub resource_id: &'a str,
    /// What the request is called by who asks.
    pub correlation_id: &'a str,
    /// The revision that was decided on.
    pub revision: Revision,
    /// The HTTP request that a proxy asks about.
    pub http: Option<Http<'a>>,
}

/// An HTTP request that a proxy asks about.
#[derive(Copy, Clone, Debug)]
pub struct Http<'a> {
    /// It, as the proxy describes it.
    pub request: &'a HttpRequest<'a>,
    /// What it is answered with; 200 if it passes.
    pub status: u16,
    /// What the service behind has to keep to.
    pub conditions: &'a str,
}

impl<'a> Http<'a> {
    /// Without the query.
    pub(super) fn path(&self) -> &'a str {
        self.request.target.split('?').next().unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.request.header(name).next()
    }
}

impl Call<'_> {
    /// The call's id, or that of the HTTP request it is about.
    pub(super) fn request_id(&self, decided: &Decided<'_>) -> String {
        const NAME: &str = "x-request-id";
        let id = match decided.http {
            Some(http) => http.header(NAME),
            None => self.headers.get(NAME).map(|id| id.as_bytes()),
        };
        shown(&String::from_utf8_lossy(id.unwrap_or_default()))
    }

    /// The trace that the call belongs to, or the HTTP request that it is about; empty is none.
    pub(super) fn trace_id(&self, decided: &Decided<'_>) -> String {
        let noted = || self.extensions.get::<Noted>().map(Noted::trace);
        let own = Traceparent::of(self.headers).map(|parent| parent.trace);
        let about = || Some(Traceparent::parse(decided.http?.header("traceparent")?)?.trace);
        own.or_else(about).or_else(noted).map(|trace| trace.to_string()).unwrap_or_default()
    }

    pub(super) fn peer(&self) -> String {
        (self.peer)(self.extensions).map(ToString::to_string).unwrap_or_default()
    }
}

/// `text` without secrets, cut.
pub(super) fn shown(text: &str) -> String {
    // Before it is cut: half a secret is not recognised any more.
    let text = redacted(text).unwrap_or_else(|| text.to_owned());
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}
