//! Resolved keys, kept in memory; decisions are never cached.
//!
//! INVARIANT: once a change is acknowledged, no lookup gives what was loaded
//! before it. A load notes its slot's generation before it reads the store, and
//! the entry keeps that number; a change raises the generation after it can be
//! read and before it is acknowledged; an entry whose number is not the slot's
//! is a miss. Moka's own invalidation cannot promise that: it does not see loads
//! that are under way. Called by the authorizer.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use moka::sync::Cache as Moka;

use crate::token::KeyId;

/// Generation counters. Keys share them: a change costs the others of its slot
/// one load each.
const SLOTS: usize = 1024;

/// A bounded cache of `T` by key id. Clones share their content.
pub struct Cache<T> {
    entries: Moka<KeyId, Entry<T>, foldhash::fast::RandomState>,
    generations: Box<[AtomicU64; SLOTS]>,
}

struct Entry<T> {
    generation: u64,
    value: Arc<T>,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { generation: self.generation, value: Arc::clone(&self.value) }
    }
}

impl<T: Send + Sync + 'static> Cache<T> {
    /// A cache of at most `capacity` entries.
    pub fn new(capacity: u64) -> Self {
        Self {
            entries: Moka::builder()
                .max_capacity(capacity)
                .build_with_hasher(foldhash::fast::RandomState::default()),
            generations: Box::new([const { AtomicU64::new(0) }; SLOTS]),
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
        let generation = self.generation(id).load(Ordering::SeqCst);
        if let Some(entry) = self.entries.get(&id)
            && entry.generation == generation
        {
            return Ok(Some(entry.value));
        }
        let Some(value) = load()? else { return Ok(None) };
        let value = Arc::new(value);
        self.entries.insert(id, Entry { generation, value: Arc::clone(&value) });
        Ok(Some(value))
    }

    /// Makes every load of `id` that has begun until now worthless. To be called
    /// when the change can be read, before it is acknowledged.
    pub fn invalidate(&self, id: KeyId) {
        self.generation(id).fetch_add(1, Ordering::SeqCst);
        self.entries.invalidate(&id);
    }

    /// The same for every key.
    pub fn invalidate_all(&self) {
        for generation in self.generations.iter() {
            generation.fetch_add(1, Ordering::SeqCst);
        }
        self.entries.invalidate_all();
    }

    /// How many entries there are. Does moka's housekeeping first, to count
    /// right: not for the path of a request.
    pub fn len(&self) -> u64 {
        self.entries.run_pending_tasks();
        self.entries.entry_count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is within the array")]
    fn generation(&self, id: KeyId) -> &AtomicU64 {
        // Ids are random base62: any three of their characters spread well.
        let [a, b, c, ..] = id.as_bytes().map(usize::from);
        &self.generations[(a * 31 * 31 + b * 31 + c) % SLOTS]
    }
}
