//! The totals in memory: those that changed since the last flush, and when every
//! key was last used.
//!
//! INVARIANT: the totals of a key are those in `dirty`; else those in `writing`;
//! else those of its row. A flush moves `dirty` to `writing`, and lets `writing`
//! go only when the rows have it, so that readers see right values all the time.
//! `last_used` has an entry for every key that has totals. Held by `Usage` under
//! one lock; no request takes it.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, PoisonError, RwLock},
};

use super::{
    UsageError,
    cell::{Cell, Queue},
    days::day,
    forgotten::Forgotten,
    moment::{LastUsed, Moment},
    rows::Rows,
    totals::Totals,
};
use crate::{clock::Clock, token::KeyId};

/// Totals that are not on the disk yet; `None`: the row has to go.
pub(super) type Changed = HashMap<KeyId, Option<Totals>, foldhash::fast::RandomState>;
/// The rows; `None` while they cannot be opened.
pub(super) type Base = RwLock<Option<Rows>>;

pub(super) struct Ledger {
    pub(super) last_used: LastUsed,
    dirty: Changed,
    writing: Option<Arc<Changed>>,
    forgotten: Forgotten,
    queue: Arc<Queue>,
    /// Says on which day something is collected.
    clock: Clock,
    /// Empty: its room is the queue's next time.
    spare: Vec<Arc<Cell>>,
}

impl Ledger {
    pub(super) fn new(last_used: LastUsed, queue: Arc<Queue>, clock: Clock) -> Self {
        let (dirty, writing, forgotten) = (Changed::default(), None, Forgotten::default());
        Self { last_used, dirty, writing, forgotten, queue, clock, spare: Vec::new() }
    }

    /// Takes in what all cells have to tell. When the rows cannot be read, the
    /// cells keep it.
    pub(super) fn collect(&mut self, base: &Base) -> Result<(), UsageError> {
        let mut cells = mem::take(&mut self.spare);
        self.queue.exchange(&mut cells);
        let today = day(self.clock.now());
        let mut result = Ok(());
        let mut waiting = cells.drain(..);
        for cell in waiting.by_ref() {
            if self.forgotten.contains(cell.id()) {
                cell.take();
            } else {
                // Not taken unless there is something to add it to.
                result = self.change(cell.id(), base, |totals| totals.merge(&cell.take(), today));
                if result.is_err() {
                    self.queue.put_back([cell].into_iter());
                    break;
                }
            }
        }
        self.queue.put_back(waiting);
        self.spare = cells;
        result
    }

    /// Changes the totals of a key; `change` gives whether it has.
    pub(super) fn change(
        &mut self,
        id: KeyId,
        base: &Base,
        change: impl FnOnce(&mut Totals) -> bool,
    ) -> Result<(), UsageError> {
        let last_used = if let Some(Some(totals)) = self.dirty.get_mut(&id) {
            change(totals);
            totals.last_used
        } else {
            let mut totals = self.totals(id, base)?;
            if !change(&mut totals) {
                return Ok(());
            }
            let last_used = totals.last_used;
            self.dirty.insert(id, Some(totals));
            last_used
        };
        self.last_used.insert(id, Moment::new(last_used));
        Ok(())
    }

    /// The totals of a key; empty ones if it was never used.
    pub(super) fn totals(&self, id: KeyId, base: &Base) -> Result<Totals, UsageError> {
        let changed = self.dirty.get(&id).or_else(|| self.writing.as_ref()?.get(&id));
        if let Some(changed) = changed {
            return Ok(changed.clone().unwrap_or_default());
        }
        let Some(moment) = self.last_used.get(&id) else { return Ok(Totals::default()) };
        let base = base.read().unwrap_or_else(PoisonError::into_inner);
        let row = base.as_ref().ok_or(UsageError::Unavailable)?.get(id)?;
        let mut totals = row.unwrap_or_default();
        // A row that was lost while we ran.
        totals.use_at(moment.millis());
        Ok(totals)
    }

    /// The key is no more, and nothing is heard of it again.
    pub(super) fn forget(&mut self, id: KeyId) {
        self.forgotten.insert(id);
        self.remove(id);
    }

    /// Whether the key was revoked lately.
    pub(super) fn is_forgotten(&self, id: KeyId) -> bool {
        self.forgotten.contains(id)
    }

    /// The key is there again.
    pub(super) fn revive(&mut self, id: KeyId) {
        self.forgotten.remove(id);
    }

    /// Takes out what is known of a key.
    pub(super) fn remove(&mut self, id: KeyId) {
        if self.last_used.remove(&id).is_some() {
            self.dirty.insert(id, None);
        }
    }

    /// Begins a flush: what it has to write. At most one is under way.
    pub(super) fn begin(&mut self) -> Arc<Changed> {
        let writing = Arc::new(mem::take(&mut self.dirty));
        self.writing = Some(Arc::clone(&writing));
        writing
    }

    /// Ends a flush. What was not written is to be written with the next.
    pub(super) fn end(&mut self, written: bool) {
        let Some(writing) = self.writing.take() else { return };
        if !written {
            for (id, totals) in writing.iter() {
                self.dirty.entry(*id).or_insert_with(|| totals.clone());
            }
        }
    }
}
