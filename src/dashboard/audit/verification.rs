//! Whether the log is as it was written: found out beside the pages, one at a time.

use axum::{extract::State, response::Response};
use tokio::{sync::watch, time::timeout};

use crate::{
    clock::Timestamp,
    dashboard::{App, Posted, Problem, frame::Notice, time::Moment},
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
            Check::Done(at, Err(error)) => CheckView::Broken(Moment::new(*at, now), error.clone()),
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
        let (app, caller) = (App::clone(&app), visitor.caller.clone());
        tokio::task::spawn_blocking(move || {
            let told = &app.reading.verifications.0;
            let found = app.auditor.verify(&caller, None, &mut |read, total| {
                told.send_replace(Check::Running(read, total));
            });
            let found = found.map_err(|error| {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the audit log could not be verified"
                );
                error.to_string()
            });
            told.send_replace(Check::Done(app.clock.now(), found));
        });
    }
    let mut check = app.reading.verifications.0.subscribe();
    let ended = check.wait_for(|check| matches!(check, Check::Done(..)));
    let notice = match timeout(PATIENCE, ended).await {
        Ok(_) => Notice::from("The log was verified."),
        Err(_) => Notice::from("The log is being verified. This page tells how far it is."),
    };
    visitor.go("/audit", notice)
}
