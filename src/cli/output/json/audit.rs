//! The audit log's messages as JSON, by the same conventions. Used by the `audit`
//! commands.

use serde::Serialize;

use super::{ApiKey, exact, unprefixed};
use crate::pb::v1;

/// Something that was done to a key, or refused.
#[derive(Serialize)]
pub(crate) struct Event<'a> {
    sequence: u64,
    time: Option<String>,
    kind: &'static str,
    actor: &'a str,
    peer: &'a str,
    request_id: &'a str,
    /// Empty: a new one that was refused.
    key_id: &'a str,
    team: &'a str,
    /// `null`: there was none.
    before: Option<ApiKey<'a>>,
    /// `null`: there is none any more, or it was refused.
    after: Option<ApiKey<'a>>,
    /// `null`: it was done.
    refusal: Option<Refusal<'a>>,
}

#[derive(Serialize)]
struct Refusal<'a> {
    code: i32,
    message: &'a str,
    unlisted_count: u64,
}

impl<'a> From<&'a v1::AuditEvent> for Event<'a> {
    fn from(event: &'a v1::AuditEvent) -> Event<'a> {
        Event {
            sequence: event.sequence,
            time: event.time.as_ref().map(exact),
            kind: kind(event.kind()),
            actor: &event.actor,
            peer: &event.peer,
            request_id: &event.request_id,
            key_id: &event.key_id,
            team: &event.team,
            before: event.before.as_ref().map(ApiKey::from),
            after: event.after.as_ref().map(ApiKey::from),
            refusal: event.refusal.as_ref().map(|refusal| Refusal {
                code: refusal.code,
                message: &refusal.message,
                unlisted_count: refusal.unlisted_count,
            }),
        }
    }
}

/// `CREATE`, `UPDATE`, …
pub(crate) fn kind(kind: v1::AuditEventKind) -> &'static str {
    unprefixed(kind.as_str_name(), "AUDIT_EVENT_KIND_")
}

/// Events that were listed.
#[derive(Serialize)]
pub(crate) struct ManyEvents<'a> {
    /// The events.
    pub(crate) events: Vec<Event<'a>>,
    /// Where the next page starts; empty where there is none.
    pub(crate) next_page_token: &'a str,
}

/// What a verification found.
#[derive(Serialize)]
pub(crate) struct Verification<'a> {
    valid: bool,
    first_sequence: u64,
    last_sequence: u64,
    head: &'a str,
    problem: &'a str,
    broken_sequence: u64,
    broken_file: &'a str,
    broken_offset: u64,
    /// What is left of a last record that is cut off; of a sidecar's own log 0.
    torn_bytes: u64,
}

impl<'a> Verification<'a> {
    /// What was found, and how many bytes of a last record are left.
    pub(crate) fn new(found: &'a v1::AuditVerification, torn_bytes: u64) -> Verification<'a> {
        Verification {
            valid: found.valid,
            first_sequence: found.first_sequence,
            last_sequence: found.last_sequence,
            head: &found.head,
            problem: &found.problem,
            broken_sequence: found.broken_sequence,
            broken_file: &found.broken_file,
            broken_offset: found.broken_offset,
            torn_bytes,
        }
    }
}
