//! Whether the log is as it was written: found out beside the pages, one at a time.

use std::error::Error;

use axum::{
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use tokio::{
    sync::watch,
    task::{JoinError, spawn_blocking},
    time::timeout,
};

use crate::{
    audit::AuditError,
    clock::Timestamp,
    dashboard::{App, Posted, Problem, frame::Notice, problem::sentence, time::Moment},
    grpc::hex,
    store::Verification,
};

/// So long its page waits for the end; a longer one tells how far it is.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// The last verification.
#[derive(Debug)]
pub(super) struct Verifications(watch::Sender<Check>);

#[derive(Clone, Debug)]
enum Check {
    None,
    /// Bytes read, of how many.
    Running(u64, u64),
    /// When, and what came out or what went wrong.
    Done(Timestamp, Result<Verification, String>),
}

/// The same, as the page shows it.
pub(in crate::dashboard) enum CheckView {
    None,
    /// Percent.
    Running(u64),
    /// When, and up to which event, with the head of the chain.
    Valid(Moment, u64, u64, String),
    /// When, and what is wrong.
    Broken(Moment, String),
    /// When, and why nothing can be said.
    Failed(Moment, String),
}

impl Check {
    /// The log was found to be as it was written.
    fn is_good(&self) -> bool {
        matches!(self, Self::Done(_, Ok(found)) if found.valid())
    }
}

impl Default for Verifications {
    fn default() -> Self {
        Self(watch::Sender::new(Check::None))
    }
}

impl Verifications {
    pub(super) fn view(&self, now: Timestamp) -> CheckView {
        match &*self.0.borrow() {
            Check::None => CheckView::None,
            Check::Running(read, total) => {
                let percent = u128::from(*read) * 100 / u128::from((*total).max(1));
                CheckView::Running(u64::try_from(percent).unwrap_or(100).min(100))
            }
            Check::Done(at, Ok(found)) if found.valid() => {
                CheckView::Valid(Moment::new(*at, now), found.first, found.last, hex(&found.head))
            }
            Check::Done(at, Ok(found)) => {
                let broken = found.broken.as_ref().map(|broken| {
                    format!(
                        "The record of event {} is not what it was: {}.",
                        broken.first, broken.problem
                    )
                });
                let wrong = broken.or_else(|| found.other.clone()).unwrap_or_default();
                CheckView::Broken(Moment::new(*at, now), wrong)
            }
            Check::Done(at, Err(error)) => CheckView::Failed(Moment::new(*at, now), error.clone()),
        }
    }

    /// Begins, unless one goes on already.
    fn begin(&self) -> bool {
        self.0.send_if_modified(|check| {
            let begins = !matches!(check, Check::Running(..));
            if begins {
                *check = Check::Running(0, 0);
            }
            begins
        })
    }

    /// Ends it with what its thread has left: a panic ends it, too.
    fn end(&self, at: Timestamp, left: Result<Result<Verification, AuditError>, JoinError>) {
        let found = match left {
            Ok(found) => found.map_err(|error| failed(&error, &with_causes(&error))),
            Err(error) => Err(failed(&error, "it broke off, a fault of the sidecar")),
        };
        self.0.send_replace(Check::Done(at, found));
    }
}

/// What to tell of `error`.
fn failed(error: &(dyn Error + 'static), text: &str) -> String {
    tracing::error!(error, "the audit log could not be verified");
    sentence(text)
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let each = std::iter::successors(Some(error), |error| (*error).source());
    each.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Verifies the whole log, for the operator.
pub(in crate::dashboard) async fn verify(
    State(app): State<App>,
    Posted(visitor, _): Posted,
) -> Response {
    if let Err(error) = app.auditor.require_operator(&visitor.caller) {
        return Problem::from(error).page(&visitor);
    }
    if app.reading.verifications.begin() {
        let (reader, caller) = (App::clone(&app), visitor.caller.clone());
        let reading = spawn_blocking(move || {
            let told = &reader.reading.verifications.0;
            reader.auditor.verify(&caller, None, &mut |read, total| {
                told.send_replace(Check::Running(read, total));
            })
        });
        let app = App::clone(&app);
        // It ends even if nobody waits for its page any more.
        tokio::spawn(async move {
            let left = reading.await;
            app.reading.verifications.end(app.clock.now(), left);
        });
    }
    let mut check = app.reading.verifications.0.subscribe();
    let ended = check.wait_for(|check| matches!(check, Check::Done(..)));
    let notice =
        match timeout(PATIENCE, ended).await.map(|check| check.map(|check| check.is_good())) {
            Ok(Ok(true)) => "The log was verified.",
            // What is wrong stands on the page, and is not good news.
            Ok(_) => return Redirect::to("/audit").into_response(),
            Err(_) => "The log is being verified. This page tells how far it is.",
        };
    visitor.go("/audit", Notice::from(notice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::VerifyError;

    const AT: Timestamp = Timestamp(0);

    fn why_not(verifications: &Verifications) -> String {
        match verifications.view(AT) {
            CheckView::Failed(_, why) => why,
            _ => panic!("not failed"),
        }
    }

    #[test]
    fn a_log_that_cannot_be_read_is_not_called_broken() {
        let verifications = Verifications::default();
        assert!(verifications.begin());
        verifications.end(AT, Ok(Err(VerifyError::Missing("gone".into()).into())));
        assert!(why_not(&verifications).starts_with("There is no audit log in “gone”"));
        assert!(verifications.begin());
    }

    #[tokio::test]
    async fn a_panic_ends_it_and_it_can_begin_again() {
        let verifications = Verifications::default();
        assert!(verifications.begin());
        assert!(!verifications.begin());
        verifications.end(AT, spawn_blocking(|| panic!("on purpose")).await);
        assert_eq!(why_not(&verifications), "It broke off, a fault of the sidecar.");
        assert!(verifications.begin());
    }
}
