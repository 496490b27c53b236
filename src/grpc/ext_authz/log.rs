//! Decisions about HTTP requests in the log, with the request's id, so that a line of the proxy's
//! log and one of ours can be laid side by side.

use crate::{
    decision_log::{Call, Decided, DecisionLog, Http},
    gateway::{Gateway, HttpRequest, Verdict},
};

/// Logs what `gateway` decided of `request`.
pub(super) fn decision(
    log: &DecisionLog,
    call: &Call<'_>,
    gateway: &Gateway,
    request: &HttpRequest<'_>,
    verdict: &Verdict,
) {
    let http = Http {
        request,
        status: verdict.result.as_ref().map_or_else(|refusal| refusal.status.code(), |()| 200),
        conditions: &verdict.conditions,
    };
    log.write(
        call,
        &Decided {
            outcome: verdict.outcome,
            key: verdict.key.as_deref(),
            service: &verdict.service,
            action: &verdict.actions,
            revision: verdict.revision.unwrap_or_else(|| gateway.revision()),
            http: Some(http),
            ..Decided::default()
        },
    );
}
