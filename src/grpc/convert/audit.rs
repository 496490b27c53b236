//! Events of the audit log, outwards; what is asked of it, inwards.

use tonic::Status;

use super::{Violations, hex, instant, status, timestamp, violation};
use crate::{
    audit::{AuditError, Batch, Page, PageRequest},
    change::{Actor, ChangeKind, FieldViolation},
    event::{Event, Filter},
    pb::v1::{
        AuditEvent, AuditEventKind, AuditFilter, AuditRefusal, AuditVerification,
        ListAuditEventsRequest, ListAuditEventsResponse, VerifyAuditRequest,
        WatchAuditEventsResponse,
    },
    store::{JournalError, LogError, Order, Verification, VerifyError},
    token::KeyId,
};

/// The page that `request` asks for.
pub(in crate::grpc) fn audit_page_request(
    request: ListAuditEventsRequest,
) -> Result<PageRequest, Status> {
    let mut found = Violations::default();
    let size = usize::try_from(request.page_size)
        .map_err(|_| violation("page_size", "must not be negative"));
    let size = found.check(size);
    let filter = filter(request.filter.unwrap_or_default(), &mut found);
    let order = if request.oldest_first { Order::OldestFirst } else { Order::NewestFirst };
    found.admit(PageRequest { size, token: request.page_token, filter, order })
}

/// The events that `filter` asks for.
pub(in crate::grpc) fn audit_filter(filter: Option<AuditFilter>) -> Result<Filter, Status> {
    let mut found = Violations::default();
    let filter = self::filter(filter.unwrap_or_default(), &mut found);
    found.admit(filter)
}

fn filter(filter: AuditFilter, found: &mut Violations) -> Filter {
    let some = |text: String| if text.is_empty() { None } else { Some(text) };
    let mut time = |field, at: Option<prost_types::Timestamp>| {
        found.check(at.map(|at| instant(field, at)).transpose())
    };
    let (from, until) =
        (time("filter.from_time", filter.from_time), time("filter.until_time", filter.until_time));
    Filter {
        key_id: found.check(some(filter.key_id).as_deref().map(key_id).transpose()),
        actor: found.check(some(filter.actor).as_deref().map(actor).transpose()),
        kinds: found.check(filter.kinds.into_iter().map(kind).collect()),
        team: some(filter.team),
        from,
        until,
        refused: filter.refused,
        request_id: some(filter.request_id),
        within: None,
    }
}

fn key_id(text: &str) -> Result<KeyId, FieldViolation> {
    // Not shown: it may be the whole text of a key.
    text.parse().map_err(|_| {
        violation("filter.key_id", "must be the id of a key: the 10 characters after `octv_`")
    })
}

fn actor(text: &str) -> Result<Actor, FieldViolation> {
    text.parse().map_err(|_| {
        violation("filter.actor", "must be `operator`, `key:<id>`, `repair` or `system`")
    })
}

fn kind(number: i32) -> Result<ChangeKind, FieldViolation> {
    match AuditEventKind::try_from(number) {
        Ok(AuditEventKind::Create) => Ok(ChangeKind::Create),
        Ok(AuditEventKind::Update) => Ok(ChangeKind::Update),
        Ok(AuditEventKind::Rotate) => Ok(ChangeKind::Rotate),
        Ok(AuditEventKind::Revoke) => Ok(ChangeKind::Revoke),
        Ok(AuditEventKind::CarryOver) => Ok(ChangeKind::CarryOver),
        Ok(AuditEventKind::Import) => Ok(ChangeKind::Import),
        Ok(AuditEventKind::Redigest) => Ok(ChangeKind::Redigest),
        Ok(AuditEventKind::Unspecified) | Err(_) => {
            Err(violation("filter.kinds", format!("{number} is no kind of event")))
        }
    }
}

/// The head that was noted down, and where; `None`: none was.
pub(in crate::grpc) fn expected(
    request: &VerifyAuditRequest,
) -> Result<Option<(u64, [u8; 32])>, Status> {
    let mut found = Violations::default();
    let expected = match (request.sequence, request.head.as_str()) {
        (0, "") => Ok(None),
        (_, "") => Err(violation("head", "must be given with `sequence`")),
        (sequence, head) => match blake3::Hash::from_hex(head) {
            Ok(head) => Ok(Some((sequence, *head.as_bytes()))),
            Err(_) => Err(violation("head", "must be 64 hexadecimal digits, as a status shows it")),
        },
    };
    let expected = found.check(expected);
    found.admit(expected)
}

pub(in crate::grpc) fn audit_page(page: Page) -> ListAuditEventsResponse {
    ListAuditEventsResponse {
        events: page.events.iter().map(event).collect(),
        next_page_token: page.next,
    }
}

pub(in crate::grpc) fn batch(batch: &Batch) -> WatchAuditEventsResponse {
    WatchAuditEventsResponse {
        events: batch.events.iter().map(event).collect(),
        sequence: batch.through,
    }
}

fn event(event: &Event) -> AuditEvent {
    let kind = match event.kind {
        ChangeKind::Create => AuditEventKind::Create,
        ChangeKind::Update => AuditEventKind::Update,
        ChangeKind::Rotate => AuditEventKind::Rotate,
        ChangeKind::Revoke => AuditEventKind::Revoke,
        ChangeKind::CarryOver => AuditEventKind::CarryOver,
        ChangeKind::Import => AuditEventKind::Import,
        ChangeKind::Redigest => AuditEventKind::Redigest,
    };
    AuditEvent {
        sequence: event.sequence,
        time: Some(timestamp(event.time)),
        kind: kind.into(),
        actor: event.actor.to_string(),
        peer: event.peer.clone(),
        request_id: event.request_id.clone(),
        key_id: event.key_id.map(|id| id.to_string()).unwrap_or_default(),
        team: event.team.clone(),
        before: event.before.as_ref().map(super::api_key),
        after: event.after.as_ref().map(super::api_key),
        refusal: event.refusal.as_ref().map(|refused| AuditRefusal {
            code: refused.code,
            message: refused.message.clone(),
            unlisted_count: refused.unrecorded,
        }),
    }
}

/// What a verification found.
pub fn verification(found: &Verification) -> AuditVerification {
    let mut verification = AuditVerification {
        valid: found.valid(),
        problem: found.other.clone().unwrap_or_default(),
        first_sequence: found.first,
        last_sequence: found.last,
        head: hex(&found.head),
        ..AuditVerification::default()
    };
    if let Some(broken) = &found.broken {
        verification.problem.clone_from(&broken.problem);
        verification.broken_sequence = broken.first;
        verification.broken_file = broken.file.display().to_string();
        verification.broken_offset = broken.offset;
    }
    verification
}

/// What a failed call on the audit log is on the wire. Of a file only the log is
/// told.
pub(in crate::grpc) fn audit_status(error: AuditError) -> Status {
    let damaged = "the audit log is damaged: run `octavia-authz audit verify`";
    let unreadable = "the audit log cannot be read now; the sidecar's log says why";
    let error = match error {
        AuditError::Caller(error) => return status(error.into()),
        AuditError::Log(error) => error,
        AuditError::Verify(VerifyError::Journal(error)) => error.into(),
        AuditError::Verify(error @ VerifyError::Missing(_)) => {
            tracing::error!(%error, "the audit log cannot be verified");
            return Status::data_loss("the audit log is missing");
        }
    };
    tracing::error!(%error, "the audit log cannot be read");
    match error {
        LogError::Journal(JournalError::Io { .. }) => Status::unavailable(unreadable),
        LogError::Journal(_) | LogError::Record { .. } => Status::data_loss(damaged),
    }
}
