//! All keys as of one change, in memory: what a snapshot and the check of a backup
//! are made with.
//!
//! INVARIANT: it is what the journal says up to its sequence number, and its digest
//! is the sum of its keys. The state (sled) is not asked.

use std::collections::BTreeMap;

use super::{StateError, journal::Frame, state::Applied};
use crate::{
    pb::storage::{Commit, change::Effect as Stored},
    record::KeyRecord,
    token::KeyId,
};

/// Keys in their stored form, by id.
#[derive(Default)]
pub(super) struct KeySet {
    keys: BTreeMap<KeyId, Vec<u8>>,
    applied: Applied,
}

impl KeySet {
    /// What it stands at.
    pub(super) fn applied(&self) -> Applied {
        self.applied
    }

    /// The keys, in the order of their ids.
    pub(super) fn stored(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.values().map(Vec::as_slice)
    }

    /// Takes in a key.
    pub(super) fn put(&mut self, key: &KeyRecord) {
        let bytes = key.encode();
        self.applied.add(&bytes);
        if let Some(before) = self.keys.insert(key.id, bytes) {
            self.applied.remove(&before);
        }
    }

    /// Says that what was put so far are the keys after change `sequence`.
    pub(super) fn stands_at(&mut self, sequence: u64) {
        self.applied.sequence = sequence;
    }

    /// Makes the changes of a frame that is behind where it stands, `commit`; of one
    /// that is not, does nothing.
    ///
    /// # Errors
    /// [`StateError`] when the frame holds no such change, or says that the keys
    /// are others.
    pub(super) fn take(&mut self, frame: &Frame<'_>, commit: &Commit) -> Result<(), StateError> {
        if frame.last < self.applied.sequence {
            return Ok(());
        }
        for change in &commit.changes {
            if change.sequence <= self.applied.sequence {
                continue;
            }
            let id = || change.key_id.parse().map_err(|_| StateError::Applied);
            match &change.effect {
                Some(Stored::Put(key)) => self.put(&KeyRecord::from_stored(key.clone())?),
                Some(Stored::Removed(_)) => {
                    if let Some(before) = self.keys.remove(&id()?) {
                        self.applied.remove(&before);
                    }
                }
                Some(Stored::Refused(_)) => {}
                None => return Err(StateError::Applied),
            }
            self.applied.sequence = change.sequence;
        }
        // Also catches a set that stands in the middle of a frame.
        match commit.state_digest == self.applied.digest.to_bytes() {
            true => Ok(()),
            false => Err(StateError::Digest),
        }
    }
}
