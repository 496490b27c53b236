//! An event in words.

use crate::{
    change::{Actor, ChangeKind},
    clock::Timestamp,
    dashboard::{frame::actor, keys::edit::changes, problem::sentence, time::Moment},
    event::Event,
    policy::Policy,
};

/// What can be asked for: in the query, and in words.
pub(super) const KINDS: [(&str, &str); 6] = [
    ("create", "Created"),
    ("update", "Edited"),
    ("rotate", "Rotated"),
    ("revoke", "Revoked"),
    ("import", "Imported"),
    ("system", "By the sidecar"),
];

/// The kinds that the query's word means; none is all.
pub(super) fn kinds(word: &str) -> Vec<ChangeKind> {
    match word {
        "create" => vec![ChangeKind::Create],
        "update" => vec![ChangeKind::Update],
        "rotate" => vec![ChangeKind::Rotate],
        "revoke" => vec![ChangeKind::Revoke],
        "import" => vec![ChangeKind::Import],
        "system" => vec![ChangeKind::Redigest, ChangeKind::CarryOver],
        _ => Vec::new(),
    }
}

/// An event, as pages show it.
pub(in crate::dashboard) struct EventView {
    pub(in crate::dashboard) sequence: u64,
    pub(in crate::dashboard) time: Moment,
    /// `Created`, `Tried to rotate`.
    pub(in crate::dashboard) what: &'static str,
    pub(in crate::dashboard) actor: String,
    /// The key that did it, if one did.
    pub(in crate::dashboard) actor_id: Option<String>,
    pub(in crate::dashboard) peer: String,
    pub(in crate::dashboard) request_id: String,
    pub(in crate::dashboard) team: String,
    pub(in crate::dashboard) key: Option<String>,
    pub(in crate::dashboard) key_name: String,
    /// Field, before, after.
    pub(in crate::dashboard) changes: Vec<(&'static str, String, String)>,
    /// Why it was refused; empty: it was done.
    pub(in crate::dashboard) refused: String,
    /// How many refusals before it were not recorded.
    pub(in crate::dashboard) unrecorded: u64,
}

impl EventView {
    pub(super) fn new(event: &Event, policy: &Policy, now: Timestamp) -> Self {
        let key = event.after.as_ref().or(event.before.as_ref());
        let changed = event.before.as_ref().zip(event.after.as_ref());
        let changes = changed.map(|(before, after)| changes(policy, before, after));
        let changes = changes.unwrap_or_default();
        let switched = match changed {
            Some((before, after)) if changes.len() == 1 && before.active != after.active => {
                Some(after.active)
            }
            _ => None,
        };
        Self {
            sequence: event.sequence,
            time: Moment::new(event.time, now),
            what: what(event.kind, event.refusal.is_some(), switched),
            actor: actor(event.actor),
            actor_id: match event.actor {
                Actor::Key(id) => Some(id.to_string()),
                _ => None,
            },
            peer: event.peer.clone(),
            request_id: event.request_id.clone(),
            team: event.team.clone(),
            key: event.key_id.map(|id| id.to_string()),
            key_name: key.map(|key| key.name.clone()).unwrap_or_default(),
            changes,
            refused: event
                .refusal
                .as_ref()
                .map(|refused| sentence(&refused.message))
                .unwrap_or_default(),
            unrecorded: event.refusal.as_ref().map_or(0, |refused| refused.unrecorded),
        }
    }
}

fn what(kind: ChangeKind, refused: bool, switched: Option<bool>) -> &'static str {
    match (kind, refused) {
        (ChangeKind::Create, false) => "Created",
        (ChangeKind::Create, true) => "Tried to create",
        (ChangeKind::Update, false) => match switched {
            Some(true) => "Enabled",
            Some(false) => "Disabled",
            None => "Edited",
        },
        (ChangeKind::Update, true) => "Tried to edit",
        (ChangeKind::Rotate, false) => "Rotated",
        (ChangeKind::Rotate, true) => "Tried to rotate",
        (ChangeKind::Revoke, false) => "Revoked",
        (ChangeKind::Revoke, true) => "Tried to revoke",
        (ChangeKind::Import, false) => "Imported",
        (ChangeKind::Import, true) => "Tried to import",
        (ChangeKind::CarryOver, _) => "Carried over by a repair",
        (ChangeKind::Redigest, _) => "Digest made anew",
    }
}
