//! The one shape of an event.
//!
//! INVARIANT: fields that every decision has are in every event, empty where there is nothing to
//! say; the rest are left out.

use tracing::{Level, enabled};

use super::{
    entry::{Call, Decided, shown},
    reason,
};
use crate::{
    authorizer::Outcome,
    policy::service_or_default,
    telemetry::{ANYBODY, DENIAL, Ratio},
};

/// What a filter calls these events.
macro_rules! target {
    () => {
        "octavia_authz::decision"
    };
}

/// So many bytes of the policy's digest are shown.
const POLICY: usize = 8;

/// An event of a name, which decides its queue: a name has to be constant.
macro_rules! write_event {
    ($name:expr, $call:expr, $decided:expr, $policy:expr, $unlogged:expr, $sampled:expr) => {{
        let (call, decided): (&Call<'_>, &Decided<'_>) = ($call, $decided);
        let sampled: Option<Ratio> = $sampled;
        let record = decided.key.map(|key| key.record());
        let http = decided.http.as_ref();
        tracing::event!(
            name: $name,
            target: target!(),
            Level::INFO,
            api = call.api,
            key_id = record.map(|record| record.id.as_str()).unwrap_or_default(),
            team = record.map(|record| record.team.as_str()).unwrap_or_default(),
            role = record.map(|record| record.role.as_str()).unwrap_or_default(),
            service = shown(service_or_default(decided.service)),
            action = shown(decided.action),
            resource_id = shown(decided.resource_id),
            reason = reason(decided.outcome),
            revision = decided.revision,
            policy = short($policy),
            correlation_id = shown(decided.correlation_id),
            request_id = call.request_id(decided),
            trace_id = call.trace_id(decided),
            peer = call.peer(),
            method = http.map(|http| shown(http.request.method)),
            path = http.map(|http| shown(http.path())),
            status = http.map(|http| http.status),
            conditions = http.map(|http| http.conditions).filter(|text| !text.is_empty()),
            unlogged = $unlogged,
            sampled = sampled.map(Ratio::share),
            "{}",
            if decided.outcome == Some(Outcome::Allow) { "allowed" } else { "denied" }
        );
    }};
}

/// Whether anybody wants these events.
pub(super) fn wanted() -> bool {
    enabled!(target: target!(), Level::INFO)
}

/// A denial of a valid key.
pub(super) fn write_denial(call: &Call<'_>, decided: &Decided<'_>, policy: &[u8]) {
    write_event!(DENIAL, call, decided, policy, None::<u64>, None);
}

/// An allow, or a denial that anybody can cause.
pub(super) fn write_anybody(
    call: &Call<'_>,
    decided: &Decided<'_>,
    policy: &[u8],
    unlogged: Option<u64>,
    sampled: Option<Ratio>,
) {
    write_event!(ANYBODY, call, decided, policy, unlogged, sampled);
}

fn short(digest: &[u8]) -> String {
    digest.iter().take(POLICY).map(|byte| format!("{byte:02x}")).collect()
}
