//! Changes of keys as events of the log, besides the journal, which is the audit log.
//!
//! INVARIANT: an event is about a change that is durable and published, or about a refusal that is
//! recorded; it names fields and holds no value of them, so no secret. Of imports and of digests made
//! anew, which come by the thousand, one event tells of all in a group. Called by the `writer`.

use std::collections::HashMap;

use tracing::{Level, enabled};

use crate::pb::storage::{Change, ChangeKind, StoredKey, change::Effect};

/// What a filter calls these events.
const TARGET: &str = "octavia_authz::audit";

/// Changes of a kind that come by the thousand, by who makes them.
type Many<'a> = HashMap<(ChangeKind, &'a str, &'a str, &'a str), Count>;

/// How many, and which is the last.
#[derive(Default)]
struct Count {
    first: u64,
    last: u64,
    keys: u64,
}

/// Logs `changes`, which are one group.
pub(super) fn tell(changes: &[Change]) {
    if !enabled!(target: TARGET, Level::INFO) {
        return;
    }
    let mut many = Many::new();
    for change in changes {
        let Ok(kind) = ChangeKind::try_from(change.kind) else { continue };
        match (kind, &change.effect) {
            (_, Some(Effect::Refused(refusal))) => {
                let (code, message) = (refusal.code, refusal.message.as_str());
                tracing::info!(
                    target: TARGET,
                    sequence = change.sequence,
                    kind = name(kind),
                    actor = change.actor,
                    key_id = change.key_id,
                    team = change.team,
                    service = change.service,
                    peer = change.peer,
                    request_id = change.request_id,
                    code,
                    reason = message,
                    unrecorded = refusal.unrecorded,
                    "a change of a key was refused"
                );
            }
            (ChangeKind::Import | ChangeKind::Redigest, _) => {
                let who = (kind, &*change.actor, &*change.peer, &*change.request_id);
                let count = many.entry(who).or_default();
                if count.keys == 0 {
                    count.first = change.sequence;
                }
                (count.last, count.keys) = (change.sequence, count.keys + 1);
            }
            (_, effect) => {
                let after = match effect {
                    Some(Effect::Put(key)) => Some(key),
                    _ => None,
                };
                tracing::info!(
                    target: TARGET,
                    sequence = change.sequence,
                    kind = name(kind),
                    actor = change.actor,
                    key_id = change.key_id,
                    team = change.team,
                    service = change.service,
                    peer = change.peer,
                    request_id = change.request_id,
                    changed = changed(change.before.as_ref(), after),
                    "a key was changed"
                );
            }
        }
    }
    for ((kind, actor, peer, request_id), Count { first, last, keys }) in many {
        tracing::info!(
            target: TARGET,
            sequence = last,
            first_sequence = first,
            kind = name(kind),
            actor,
            peer,
            request_id,
            keys,
            "keys were changed"
        );
    }
}

fn name(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Unspecified => "unknown",
        ChangeKind::Create => "create",
        ChangeKind::Update => "update",
        ChangeKind::Rotate => "rotate",
        ChangeKind::Revoke => "revoke",
        ChangeKind::CarryOver => "carry_over",
        ChangeKind::Import => "import",
        ChangeKind::Redigest => "redigest",
    }
}

/// The names of the fields that are not what they were, as in the API, with commas between. Of a key
/// that is new or gone, none: all of them are.
fn changed(before: Option<&StoredKey>, after: Option<&StoredKey>) -> String {
    let (Some(a), Some(b)) = (before, after) else { return String::new() };
    // `before` has no digests: a new secret shows by its number, an end of the old by its time.
    let secrets = |key: &StoredKey| -> Vec<_> {
        key.secrets.iter().map(|secret| (secret.number, secret.expire_ms)).collect()
    };
    let fields = [
        ("name", a.name != b.name),
        ("team", a.team != b.team),
        ("service", a.service != b.service),
        ("role", a.role != b.role),
        ("grants", a.grants != b.grants),
        ("status", a.active != b.active),
        ("expire_time", a.expire_ms != b.expire_ms),
        ("subject", a.subject != b.subject),
        ("description", a.description != b.description),
        ("labels", a.labels != b.labels),
        ("secrets", secrets(a) != secrets(b)),
    ];
    let names: Vec<_> = fields.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    names.join(",")
}
