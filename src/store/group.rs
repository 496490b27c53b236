//! A group of changes on top of the state, not yet applied.
//!
//! The writer collects here what one fdatasync will make durable; replay does the
//! same with what the journal says. A rule inside the group sees the changes
//! before it.

use std::collections::HashMap;

use super::{
    Reader, StateError, StoreError,
    state::{Applied, State},
};
use crate::{record::KeyRecord, token::KeyId};

/// Changes that are on their way into the state.
pub(super) struct Group<'a> {
    state: &'a State,
    records: HashMap<KeyId, Option<Vec<u8>>>,
    applied: Applied,
    len: usize,
}

impl<'a> Group<'a> {
    /// An empty group on `state`, which is at `applied`.
    pub(super) fn new(state: &'a State, applied: Applied) -> Self {
        Self { state, records: HashMap::new(), applied, len: 0 }
    }

    /// Takes change `sequence` in: the stored form of `id` after it, `None` when
    /// it is gone.
    pub(super) fn push(
        &mut self,
        sequence: u64,
        id: KeyId,
        after: Option<Vec<u8>>,
    ) -> Result<(), StateError> {
        if let Some(before) = self.stored(id)? {
            self.applied.remove(&before);
        }
        if let Some(after) = &after {
            self.applied.add(after);
            self.len += after.len();
        }
        self.applied.sequence = sequence;
        self.records.insert(id, after);
        Ok(())
    }

    /// Where the state will be after this group.
    pub(super) fn applied(&self) -> Applied {
        self.applied
    }

    /// How many bytes of records it holds.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Writes the group into the state.
    pub(super) fn apply(self) -> Result<Applied, StateError> {
        self.state.apply(self.records, &self.applied)?;
        Ok(self.applied)
    }

    fn stored(&self, id: KeyId) -> Result<Option<Vec<u8>>, StateError> {
        match self.records.get(&id) {
            Some(record) => Ok(record.clone()),
            None => Ok(self.state.get(id)?.map(|bytes| bytes.to_vec())),
        }
    }
}

impl Reader for Group<'_> {
    fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.stored(id)?.map(|bytes| KeyRecord::decode(&bytes)).transpose()?)
    }
}
