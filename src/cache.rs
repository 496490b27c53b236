//! Resolved keys, kept in memory; decisions are never cached.
//!
//! INVARIANT: once a change is acknowledged, no lookup gives what was loaded
//! before it. A load notes its slot's generation before it reads the store, and
//! the entry keeps that number; a change raises the generation after it can be
//! read and before it is acknowledged; an entry whose number is not the slot's
//! is a miss. Moka's own invalidation cannot promise that: it does not see loads
//! that are under way. Called by the authorizer.
//!
//! Each slot also holds the entry that it was asked for last. That spares the
//! keys in constant use moka's bookkeeping, which reads the time, logs the read
//! and every 64 reads does its housekeeping, allocations included, on the thread
//! of a request.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwapOption;
use moka::sync::Cache as Moka;

use crate::token::KeyId;

/// Room that moka makes at once: growing costs each of the first keys 0.4 µs.
const INITIAL_CAPACITY: usize = 16_384;
/// Keys share slots: a change costs the others of its slot one load each.
const SLOTS: usize = 4096;

/// A bounded cache of `T` by key id.
pub struct Cache<T> {
    slots: Box<[Slot<T>]>,
    entries: Moka<KeyId, Arc<Entry<T>>, foldhash::fast::RandomState>,
}

struct Slot<T> {
    generation: AtomicU64,
    last: ArcSwapOption<Entry<T>>,
}

struct Entry<T> {
    id: KeyId,
    generation: u64,
    value: Arc<T>,
}

impl<T: Send + Sync + 'static> Cache<T> {
    /// A cache of at most `capacity` entries, and one for each slot.
    pub fn new(capacity: u64) -> Self {
        let slot = || Slot { generation: AtomicU64::new(0), last: ArcSwapOption::empty() };
        Self {
            slots: (0..SLOTS).map(|_| slot()).collect(),
            entries: Moka::builder()
                .max_capacity(capacity)
                .initial_capacity(INITIAL_CAPACITY)
                .build_with_hasher(foldhash::fast::RandomState::default()),
        }
    }

    /// What is cached for `id`, or what `load` gives. `None` from `load` is never
    /// kept: unknown ids do not enter the cache.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn get_or_load<E>(
        &self,
        id: KeyId,
        load: impl FnOnce() -> Result<Option<T>, E>,
    ) -> Result<Option<Arc<T>>, E> {
        let slot = self.slot(id);
        let generation = slot.generation.load(Ordering::SeqCst);
        if let Some(entry) = &*slot.last.load()
            && entry.id == id
            && entry.generation == generation
        {
            return Ok(Some(Arc::clone(&entry.value)));
        }
        let entry = match self.entries.get(&id).filter(|entry| entry.generation == generation) {
            Some(entry) => entry,
            None => {
                let Some(value) = load()? else { return Ok(None) };
                let entry = Arc::new(Entry { id, generation, value: Arc::new(value) });
                self.entries.insert(id, Arc::clone(&entry));
                entry
            }
        };
        let value = Arc::clone(&entry.value);
        slot.last.store(Some(entry));
        Ok(Some(value))
    }

    /// Makes every load of `id` that has begun until now worthless. To be called
    /// when the change can be read, before it is acknowledged.
    pub fn invalidate(&self, id: KeyId) {
        let slot = self.slot(id);
        slot.generation.fetch_add(1, Ordering::SeqCst);
        // The rest gives back memory.
        slot.last.store(None);
        self.entries.invalidate(&id);
    }

    /// As [`Cache::invalidate`], for every id.
    pub fn invalidate_all(&self) {
        for slot in &self.slots {
            slot.generation.fetch_add(1, Ordering::SeqCst);
            slot.last.store(None);
        }
        self.entries.invalidate_all();
    }

    /// How many entries moka holds. Does its housekeeping first, to count right:
    /// not for the path of a request.
    pub fn len(&self) -> u64 {
        self.entries.run_pending_tasks();
        self.entries.entry_count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is within the slots")]
    fn slot(&self, id: KeyId) -> &Slot<T> {
        // Ids are random base62: any three of their characters spread well.
        let [a, b, c, ..] = id.as_bytes().map(usize::from);
        &self.slots[(a * 31 * 31 + b * 31 + c) % SLOTS]
    }
}
