//! A group of changes on top of the state, not yet applied.
//!
//! The writer collects here what one fdatasync will make durable; replay does the
//! same with what the journal says. A rule inside the group sees the changes
//! before it.

use std::collections::HashMap;

use super::{
    Reader, StateError, StoreError,
    state::{Applied, Row, State, key_id},
};
use crate::{digest::Digest, record::KeyRecord, token::KeyId};

/// Changes that are on their way into the state.
pub(super) struct Group<'a> {
    state: &'a State,
    rows: HashMap<Row, Option<Vec<u8>>>,
    applied: Applied,
    len: usize,
}

/// A key, as it is stored.
pub(super) struct Stored {
    bytes: Vec<u8>,
    pub(super) record: KeyRecord,
}

impl<'a> Group<'a> {
    /// An empty group on `state`, which is at `applied`.
    pub(super) fn new(state: &'a State, applied: Applied) -> Self {
        Self { state, rows: HashMap::new(), applied, len: 0 }
    }

    /// Takes change `sequence` in, which leaves every key as it is and takes `len`
    /// bytes.
    pub(super) fn pass(&mut self, sequence: u64, len: usize) {
        self.applied.sequence = sequence;
        self.len += len;
    }

    /// The key `id` as it is now in the group.
    pub(super) fn read(&self, id: KeyId) -> Result<Option<Stored>, StateError> {
        let Some(bytes) = self.stored(Row::Key(id))? else { return Ok(None) };
        let record = KeyRecord::decode(&bytes)?;
        Ok(Some(Stored { bytes, record }))
    }

    /// Takes change `sequence` in: the key `id`, which is `before`, after it; `None`
    /// when there is none.
    pub(super) fn push(
        &mut self,
        sequence: u64,
        id: KeyId,
        before: Option<&Stored>,
        after: Option<&KeyRecord>,
    ) {
        if let Some(before) = before {
            self.applied.remove(&before.bytes);
            self.len += before.bytes.len();
            for digest in before.record.foreign_digests() {
                self.rows.insert(Row::Foreign(*digest.as_bytes()), None);
            }
        }
        let bytes = after.map(KeyRecord::encode);
        if let Some(bytes) = &bytes {
            self.applied.add(bytes);
            self.len += bytes.len();
        }
        for digest in after.into_iter().flat_map(KeyRecord::foreign_digests) {
            let id = id.as_bytes().to_vec();
            self.rows.insert(Row::Foreign(*digest.as_bytes()), Some(id));
        }
        self.rows.insert(Row::Key(id), bytes);
        self.applied.sequence = sequence;
    }

    /// Where the state will be after this group.
    pub(super) fn applied(&self) -> Applied {
        self.applied
    }

    /// How many bytes the changes take, nearly.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Writes the group into the state.
    pub(super) fn apply(self) -> Result<Applied, StateError> {
        self.state.apply(self.rows, &self.applied)?;
        Ok(self.applied)
    }

    fn stored(&self, row: Row) -> Result<Option<Vec<u8>>, StateError> {
        match self.rows.get(&row) {
            Some(stored) => Ok(stored.clone()),
            None => Ok(self.state.row(row)?.map(|bytes| bytes.to_vec())),
        }
    }
}

impl Reader for Group<'_> {
    fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let stored = self.stored(Row::Key(id))?;
        Ok(stored.map(|bytes| KeyRecord::decode(&bytes)).transpose()?)
    }

    fn find(&self, digest: &Digest) -> Result<Option<KeyId>, StoreError> {
        let stored = self.stored(Row::Foreign(*digest.as_bytes()))?;
        Ok(stored.map(|bytes| key_id(&bytes)).transpose()?)
    }
}
