//! Decisions about HTTP requests in the log, with the request's id, so that a line of the proxy's
//! log and one of ours can be laid side by side.

use crate::{
    gateway::{HttpRequest, Verdict},
    grpc::convert,
    telemetry::OncePerSecond,
    token::redacted,
};

/// The longest text of a client's that is logged.
const MAX_TEXT: usize = 256;

/// Logs what was decided: what passes at debug, what does not at info; of those without a valid
/// key's text one a second, with the number of those before it that were not logged.
pub(super) fn decision(request: &HttpRequest<'_>, verdict: &Verdict, unproven: &OncePerSecond) {
    // Most requests pass: nothing is put together for them unless it is wanted.
    match &verdict.result {
        Ok(()) if !tracing::enabled!(tracing::Level::DEBUG) => return,
        Err(_) if !tracing::enabled!(tracing::Level::INFO) => return,
        _ => {}
    }
    let unlogged = match verdict.key {
        Some(_) => 0,
        None => match unproven.admit() {
            Some(unlogged) => unlogged,
            None => return,
        },
    };
    let request_id = request.header("x-request-id").next().map(String::from_utf8_lossy);
    let request_id = shown(&request_id.unwrap_or_default());
    let path = request.target.split('?').next().unwrap_or_default();
    let (method, path) = (shown(request.method), shown(path));
    let record = verdict.key.as_ref().map(|key| key.record());
    let key_id = record.map(|record| record.id.as_str()).unwrap_or_default();
    let team = record.map(|record| record.team.as_str()).unwrap_or_default();
    let role = record.map(|record| record.role.as_str()).unwrap_or_default();
    let (service, action) = (verdict.service.as_str(), verdict.actions.as_str());
    let reason = convert::reason_name(verdict.outcome);
    match &verdict.result {
        Ok(()) => {
            let conditions = verdict.conditions.as_str();
            tracing::debug!(
                request_id,
                method,
                path,
                key_id,
                team,
                role,
                service,
                action,
                reason,
                conditions,
                "an HTTP request may pass"
            );
        }
        Err(refusal) => {
            let status = refusal.status.code();
            tracing::info!(
                request_id,
                method,
                path,
                key_id,
                team,
                role,
                service,
                action,
                reason,
                status,
                unlogged,
                "an HTTP request may not pass"
            );
        }
    }
}

/// `text` without secrets, cut.
fn shown(text: &str) -> String {
    // Before it is cut: half a secret is not recognised any more.
    let text = redacted(text).unwrap_or_else(|| text.to_owned());
    text.chars().take(MAX_TEXT).collect()
}
