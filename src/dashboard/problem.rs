//! Pages that say why there is no other.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Frame, Section, Visitor, assets};
use crate::{
    audit::AuditError, change::Refusal, keyring::KeyringError, store::CommitError, token::KeyId,
};

/// Why there is no other page: what went wrong, and what to do.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    pub(super) text: String,
    /// The key that it is about.
    key: Option<String>,
    /// The query of the list that the visitor came from.
    back: String,
}

#[derive(Template)]
#[template(path = "problem.html", config = "src/dashboard/askama.toml")]
struct ProblemPage {
    frame: Frame,
    problem: Problem,
}

impl Problem {
    pub(super) fn new(status: StatusCode, title: &'static str, text: impl Into<String>) -> Self {
        Self { status, title, text: text.into(), key: None, back: String::new() }
    }

    pub(super) fn no_page() -> Self {
        let text =
            "There is nothing at this address. What you look for may have been moved or revoked.";
        Self::new(StatusCode::NOT_FOUND, "Page not found", text)
    }

    pub(super) fn no_form() -> Self {
        let text = "The form did not arrive whole. Nothing was done; go back and send it again.";
        Self::new(StatusCode::BAD_REQUEST, "The form did not arrive", text)
    }

    pub(super) fn secret_in_address() -> Self {
        let text = "The address holds the whole text of a key or an operator token, and none of ours \
                    does. Nothing was done. Addresses are kept in many places: rotate what was in it.";
        Self::new(StatusCode::BAD_REQUEST, "A secret in the address", text)
    }

    pub(super) fn not_ours() -> Self {
        let text = "The form is from another session, or from another site. Nothing was done; go \
                    back, reload the page, and send it again.";
        Self::new(StatusCode::FORBIDDEN, "This form is not accepted", text)
    }

    pub(super) fn too_many() -> Self {
        let text = "Other lists with your credential are still being made. Wait until they are there, \
                    and open this page again.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many pages at once", text)
    }

    pub(super) fn signed_out() -> Self {
        let text = "Sign in, and open the page again.";
        Self::new(StatusCode::UNAUTHORIZED, "You are not signed in", text)
    }

    /// The same, with a way to the key `id`: to its page, or to its trail when it is gone.
    pub(super) fn about(mut self, id: &str) -> Self {
        self.key = id.parse::<KeyId>().is_ok().then(|| id.to_owned());
        self
    }

    /// The same, with the way back to the list of `query`.
    pub(super) fn back_to(mut self, query: String) -> Self {
        self.back = query;
        self
    }

    fn is_gone(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// The page for `visitor`.
    pub(super) fn page(self, visitor: &Visitor) -> Response {
        self.within(Frame::of(visitor, Section::None, None))
    }

    /// The page for nobody in particular.
    pub(super) fn bare(self) -> Response {
        self.within(Frame::of_nobody())
    }

    fn within(self, frame: Frame) -> Response {
        let status = self.status;
        (status, page(&ProblemPage { frame, problem: self })).into_response()
    }
}

/// The page that `template` makes.
pub(super) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => {
            let kind = HeaderValue::from_static("text/html; charset=utf-8");
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, assets::NO_STORE)], text)
                .into_response()
        }
        // Writing to a text does not fail; a template that does is a defect.
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            (StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made.\n").into_response()
        }
    }
}

impl From<KeyringError> for Problem {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::Commit(error) => error.into(),
            KeyringError::TooManyLooks => Self::too_many(),
            other => Self::unavailable(&other),
        }
    }
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Caller(error) => error.into(),
            other => Self::unavailable(&other),
        }
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused(refusal) => refusal.into(),
            CommitError::Read(error) => Self::unavailable(&error),
            // Not `SERVICE_UNAVAILABLE`, which invites to repeat it.
            CommitError::InDoubt => Self::failed(
                &error,
                StatusCode::INTERNAL_SERVER_ERROR,
                "Not known whether it was done",
                "Whether it was done is not known: look at the key again before you repeat it.",
            ),
            CommitError::NotWritten(_) => Self::failed(
                &error,
                StatusCode::SERVICE_UNAVAILABLE,
                "Nothing was done",
                "Nothing was done: the journal could not be written. Is the disk full?",
            ),
            CommitError::Closed => Self::failed(
                &error,
                StatusCode::SERVICE_UNAVAILABLE,
                "The sidecar stops",
                "Nothing was done: the sidecar stops. Do it again when it has started.",
            ),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let text = in_words(&refusal);
        let key = match &refusal {
            Refusal::NotFound(id) => id.clone(),
            _ => String::new(),
        };
        let (status, title) = match refusal {
            Refusal::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "You are not signed in"),
            Refusal::Forbidden(_) => (StatusCode::FORBIDDEN, "You may not do this"),
            Refusal::NotFound(_) => (StatusCode::NOT_FOUND, "Key not found"),
            Refusal::StaleEtag { .. } => (StatusCode::CONFLICT, "The key was changed meanwhile"),
            Refusal::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "This cannot be done"),
        };
        Self::new(status, title, text).about(&key)
    }
}

impl Problem {
    /// Something failed that is not the visitor's fault.
    pub(super) fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        let text = "The sidecar could not answer, and says why in its log. Nothing that was \
                    confirmed is lost; try again in a moment.";
        Self::failed(error, StatusCode::SERVICE_UNAVAILABLE, "Not available now", text)
    }

    /// The same, where more can be said. The details are for the log.
    fn failed(
        error: &(dyn std::error::Error + 'static),
        status: StatusCode,
        title: &'static str,
        text: &str,
    ) -> Self {
        tracing::error!(error, "a page of the dashboard could not be answered");
        Self::new(status, title, text)
    }
}

/// Why something was refused, for people on a page.
pub(super) fn in_words(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotFound(id) => {
            format!("There is no key {id}. It may have been revoked, or belongs to another team.")
        }
        Refusal::StaleEtag { .. } => {
            "The key was changed since you opened the page. Nothing was done; look at it again, and \
             repeat what you wanted."
                .to_owned()
        }
        Refusal::Invalid(violations) => {
            let each = violations.iter().map(|violation| {
                format!("{}: {}", violation.field.replace('_', " "), violation.problem)
            });
            sentence(&each.collect::<Vec<_>>().join("; "))
        }
        Refusal::Unauthenticated(why) => sentence(why),
        Refusal::Forbidden(why) => sentence(why),
    }
}

/// With a capital letter and a full stop; what stands between backticks is quoted as in a text for people.
pub(super) fn sentence(text: &str) -> String {
    let mut opens = false;
    let mut characters = text.chars().map(|character| {
        if character != '`' {
            return character;
        }
        opens = !opens;
        if opens { '“' } else { '”' }
    });
    let first = characters.next().map(char::to_uppercase).into_iter().flatten();
    let text: String = first.chain(characters).collect();
    if text.ends_with('.') { text } else { text + "." }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_change_that_failed_says_whether_it_was_done() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        for (error, status, wanted) in [
            (CommitError::NotWritten(full), 503, "Nothing was done: the journal"),
            (CommitError::Closed, 503, "Nothing was done: the sidecar stops."),
            (CommitError::InDoubt, 500, "Whether it was done is not known: look at the key"),
        ] {
            let problem = Problem::from(KeyringError::Commit(error));
            assert_eq!(problem.status.as_u16(), status);
            assert!(problem.text.starts_with(wanted), "{}", problem.text);
        }
    }

    #[test]
    fn too_many_lists_of_one_caller_are_not_called_a_fault() {
        assert_eq!(Problem::from(KeyringError::TooManyLooks).status.as_u16(), 429);
    }
}
