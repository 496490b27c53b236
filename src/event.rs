//! An event of the audit log: what was done to a key, or refused.
//!
//! INVARIANT: an event proves nothing: no digest of a secret is in it. The store
//! reads events out of its journal; `audit` gives them to who may see them.

use crate::{
    change::{Actor, ChangeKind},
    clock::Timestamp,
    record::KeyRecord,
    token::KeyId,
};

/// Something that was done to a key, or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The revision that it made.
    pub sequence: u64,
    /// When.
    pub time: Timestamp,
    /// What was done, or tried.
    pub kind: ChangeKind,
    /// Who.
    pub actor: Actor,
    /// From where: the peer's address.
    pub peer: String,
    /// The caller's request id; empty when it gave none.
    pub request_id: String,
    /// The key; `None` for a new one that was refused.
    pub key_id: Option<KeyId>,
    /// The key's team.
    pub team: String,
    /// Its service.
    pub service: String,
    /// The key before, its digests zeros; `None`: there was none, or it was refused.
    pub before: Option<KeyRecord>,
    /// The key after, its digests zeros; `None`: there is none, or it was refused.
    pub after: Option<KeyRecord>,
    /// Set: nothing was changed.
    pub refusal: Option<Refused>,
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The number of a gRPC status code.
    pub code: i32,
    /// What the caller was told.
    pub message: String,
    /// How many refusals of the same actor before it were not recorded.
    pub unrecorded: u64,
}

/// Which events: all that is set has to match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// About this key.
    pub key_id: Option<KeyId>,
    /// By this actor.
    pub actor: Option<Actor>,
    /// Of any of these kinds; empty is every kind.
    pub kinds: Vec<ChangeKind>,
    /// About keys of this team.
    pub team: Option<String>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// True: only what was refused. False: only what was done.
    pub refused: Option<bool>,
    /// With this request id.
    pub request_id: Option<String>,
    /// Of this team and this service, whatever else is asked for.
    pub within: Option<(String, String)>,
}

impl Filter {
    /// Whether `event` is one of them.
    pub fn matches(&self, event: &Event) -> bool {
        self.key_id.is_none_or(|id| event.key_id == Some(id))
            && self.actor.is_none_or(|actor| actor == event.actor)
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.team.as_ref().is_none_or(|team| *team == event.team)
            && self.from.is_none_or(|from| from <= event.time)
            && self.until.is_none_or(|until| event.time < until)
            && self.refused.is_none_or(|refused| refused == event.refusal.is_some())
            && self.request_id.as_ref().is_none_or(|id| *id == event.request_id)
            && self
                .within
                .as_ref()
                .is_none_or(|(team, service)| *team == event.team && *service == event.service)
    }

    /// Whether something that happened between `earliest` and `latest`, both in
    /// milliseconds, may match.
    pub fn may_match_between(&self, earliest: i64, latest: i64) -> bool {
        self.from.is_none_or(|from| from.0 <= latest)
            && self.until.is_none_or(|until| earliest < until.0)
    }
}
