//! The keys that were revoked lately.
//!
//! INVARIANT: at least the last [`GENERATION`] of them are known, in bounded
//! memory. A request that was under way when its key was revoked reports late; it
//! must not make the key's usage anew.

use std::{collections::HashSet, mem};

use crate::token::KeyId;

/// So many are remembered at least, and twice as many at most.
const GENERATION: usize = 65_536;

/// Ids, the newest of them.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    recent: HashSet<KeyId, foldhash::fast::RandomState>,
    older: HashSet<KeyId, foldhash::fast::RandomState>,
}

impl Forgotten {
    pub(super) fn insert(&mut self, id: KeyId) {
        if self.recent.len() >= GENERATION {
            self.older = mem::take(&mut self.recent);
        }
        self.recent.insert(id);
    }

    pub(super) fn remove(&mut self, id: KeyId) {
        self.recent.remove(&id);
        self.older.remove(&id);
    }

    pub(super) fn contains(&self, id: KeyId) -> bool {
        self.recent.contains(&id) || self.older.contains(&id)
    }
}
