//! A change on its way through the commit: who tries it, what it makes of the
//! key, and what is recorded when it is refused.
//!
//! INVARIANT: whoever is not authenticated makes nothing be written; what anybody
//! else tries in vain is recorded, at a bounded rate.

use std::sync::Arc;

use super::{Keyring, Powers, fields, powers::Caller};
use crate::{
    change::{Change, ChangeKind, Effect, Origin, Refusal},
    clock::Timestamp,
    policy::Policy,
    record::KeyRecord,
    store::{CommitError, Committed, Reader},
    token::KeyId,
};

/// What somebody tries to do to a key.
pub(super) struct Attempt {
    pub(super) caller: Caller,
    /// The right that it needs.
    pub(super) right: &'static str,
    pub(super) kind: ChangeKind,
    pub(super) id: KeyId,
}

/// A key inside a commit, and who wants to change it.
pub(super) struct Edit<'a> {
    pub(super) id: KeyId,
    pub(super) before: Option<&'a KeyRecord>,
    pub(super) reader: &'a dyn Reader,
    pub(super) powers: &'a Powers,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
}

/// What a change would do.
pub(super) struct Preview {
    pub(super) before: Option<KeyRecord>,
    pub(super) effect: Effect,
}

impl Edit<'_> {
    /// The key to be changed, if the caller may change it.
    pub(super) fn target(&self, etag: &str) -> Result<&KeyRecord, Refusal> {
        let visible = self.before.filter(|key| self.powers.sees(key));
        let key = visible.ok_or_else(|| Refusal::NotFound(self.id.to_string()))?;
        self.powers.require_over(key, self.policy)?;
        if !etag.is_empty() && etag != key.etag() {
            return Err(Refusal::StaleEtag { given: fields::shown(etag), current: key.etag() });
        }
        Ok(key)
    }

    /// Lets `after` be, if its fields are valid and the caller may make it so.
    pub(super) fn admit(&self, after: &KeyRecord) -> Result<(), Refusal> {
        fields::validate(self.before, after, self.policy, self.now)?;
        if self.before.is_none_or(|before| before.expires != after.expires) {
            self.powers.require_within_life(after.expires)?;
        }
        self.powers.require_over(after, self.policy)
    }
}

impl Keyring {
    /// Commits what `edit` makes of the key, if the caller has the right. A
    /// refusal is recorded.
    pub(super) async fn commit(
        &self,
        attempt: Attempt,
        edit: impl FnMut(&Edit<'_>) -> Result<Effect, CommitError> + Send + 'static,
    ) -> Result<Committed, CommitError> {
        // Before it takes the writer's time.
        self.authenticate(&attempt.caller)?;
        let mut rule = self.rule(attempt, edit);
        let mut committed =
            self.store.commit(Box::new(move |reader| Ok(vec![rule(reader)?]))).await?;
        let committed = committed.pop().ok_or(CommitError::InDoubt)?;
        match committed.effect {
            Effect::Refuse { refusal, .. } => Err(refusal.into()),
            Effect::Put(_) | Effect::Remove => Ok(committed),
        }
    }

    /// What [`Keyring::commit`] would do now. Nothing is recorded.
    pub(super) fn preview(
        &self,
        attempt: Attempt,
        mut edit: impl FnMut(&Edit<'_>) -> Result<Effect, CommitError>,
    ) -> Result<Preview, CommitError> {
        let reader = &*self.store;
        let now = self.clock.now();
        let policy = self.policy.get();
        let powers = Powers::of(&attempt.caller, reader, &policy, now)?;
        powers.require(attempt.right)?;
        let before = reader.get(attempt.id)?;
        let effect = edit(&Edit {
            id: attempt.id,
            before: before.as_ref(),
            reader,
            powers: &powers,
            policy: &policy,
            now,
        })?;
        Ok(Preview { before, effect })
    }

    /// The change that `edit` makes, or its refusal.
    pub(super) fn rule(
        &self,
        attempt: Attempt,
        mut edit: impl FnMut(&Edit<'_>) -> Result<Effect, CommitError> + Send + 'static,
    ) -> impl FnMut(&dyn Reader) -> Result<Change, CommitError> + Send + 'static {
        let (current, clock) = (self.policy.clone(), self.clock.clone());
        let refusals = Arc::clone(&self.refusals);
        let mut recorded = None;
        move |reader| {
            let Attempt { caller, right, kind, id } = &attempt;
            let (now, policy) = (clock.now(), current.get());
            let powers = Powers::of(caller, reader, &policy, now)?;
            let before = reader.get(*id)?;
            let (before, powers) = (before.as_ref(), &powers);
            let edited = powers.require(right).map_err(CommitError::from).and_then(|()| {
                edit(&Edit { id: *id, before, reader, powers, policy: &policy, now })
            });
            let effect = match edited {
                Ok(effect) => effect,
                Err(CommitError::Refused(refusal)) => {
                    // Asked once, however often the rule runs.
                    let recorded =
                        recorded.get_or_insert_with(|| refusals.admit(powers.actor(), now));
                    let Some(unrecorded) = *recorded else { return Err(refusal.into()) };
                    Effect::Refuse { refusal, unrecorded }
                }
                Err(error) => return Err(error),
            };
            Ok(change(*kind, now, caller.origin(powers.actor()), *id, before, powers, effect))
        }
    }
}

/// A change by whoever has `powers`.
pub(super) fn change(
    kind: ChangeKind,
    time: Timestamp,
    origin: Origin,
    id: KeyId,
    before: Option<&KeyRecord>,
    powers: &Powers,
    effect: Effect,
) -> Change {
    let key = match &effect {
        Effect::Put(key) => Some(&**key),
        Effect::Remove => before,
        // Of a key that the caller does not see its team must not hear either.
        Effect::Refuse { .. } => before.filter(|key| powers.sees(key)),
    };
    let of = |field: fn(&KeyRecord) -> &String, bound: Option<&str>| {
        key.map(field).map_or_else(|| bound.unwrap_or_default().to_owned(), String::clone)
    };
    let is_new = matches!(kind, ChangeKind::Create | ChangeKind::Import);
    let refused = matches!(effect, Effect::Refuse { .. });
    Change {
        kind,
        time,
        origin,
        key_id: Some(id).filter(|_| !(is_new && refused)),
        team: of(|key| &key.team, powers.team()),
        service: of(|key| &key.service, powers.service()),
        effect,
    }
}
