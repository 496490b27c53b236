//! All keys in memory, each as a card with just what lists filter and sort by.
//!
//! INVARIANT: the catalog holds exactly the keys of the store. It subscribes
//! before it reads them, and what it is told while it reads wins over what it
//! has read; so there is no gap, and a list sees every change that was
//! acknowledged before it. Nobody holds its lock for more than a chunk of cards.
//! Made by `Keyring::new`, walked by `list`.

mod card;
mod classes;
mod load;
mod tally;

use std::{
    collections::{BTreeMap, HashMap},
    ops::{Bound, ControlFlow},
    sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

pub use self::tally::{KeyCounts, Tally};
pub(super) use self::{
    card::{Card, LIFETIME, LabelHasher},
    classes::{Class, Classes, Verdicts},
};
use crate::{
    record::KeyRecord,
    store::{Store, StoreError},
    token::KeyId,
};

/// So many cards are looked at in one go: the writer waits no longer than that
/// takes, some tenths of a millisecond.
const CHUNK: usize = 4096;

/// The cards of all keys.
pub(super) struct Catalog {
    cards: RwLock<Cards>,
    labels: LabelHasher,
    loaded: Loaded,
}

/// Whether all keys were read; `None`: not yet.
#[derive(Default)]
struct Loaded {
    done: Mutex<Option<bool>>,
    changed: Condvar,
}

/// Who lists keys right after a start waits no longer than this.
const PATIENCE: Duration = Duration::from_secs(8);

/// What the lock guards.
#[derive(Default)]
struct Cards {
    /// By the first character of the id, so that several threads can load them,
    /// and each tree is built at once, with full nodes.
    shelves: Vec<Shelf>,
    classes: Classes,
    /// How many changes there were.
    version: u64,
    /// While the keys are being read: what has become of those that changed.
    changed: Option<HashMap<KeyId, Option<KeyRecord>>>,
}

type Shelf = BTreeMap<KeyId, Card>;

impl Catalog {
    /// Follows `store` from now on; [`Catalog::load`] reads what is there.
    pub(super) fn follow(store: &dyn Store) -> Arc<Self> {
        let cards = Cards { changed: Some(HashMap::new()), ..Cards::default() };
        let catalog = Arc::new(Self {
            cards: RwLock::new(cards),
            labels: LabelHasher::default(),
            loaded: Loaded::default(),
        });
        // A store may outlive the keyring.
        let told = Arc::downgrade(&catalog);
        store.subscribe(Box::new(move |changed| {
            if let Some(catalog) = told.upgrade() {
                catalog.change(changed.key_id, changed.after);
            }
        }));
        catalog
    }

    /// Reads all keys of `store`. To be called once, on a thread that nobody waits
    /// for: at a million keys it takes seconds.
    pub(super) fn load(&self, store: &dyn Store) {
        let loaded = load::load(store, &self.labels).map(|(shelves, classes)| {
            let mut cards = self.cards.write().unwrap_or_else(PoisonError::into_inner);
            (cards.shelves, cards.classes) = (shelves, classes);
            for (id, after) in cards.changed.take().unwrap_or_default() {
                cards.change(id, after.as_ref(), &self.labels);
            }
        });
        if let Err(error) = &loaded {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the keys could not be read: they cannot be listed until a restart"
            );
        }
        *self.loaded.done.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded.is_ok());
        self.loaded.changed.notify_all();
    }

    /// Waits until all keys were read.
    ///
    /// # Errors
    /// [`StoreError`] when they could not be, or not yet.
    pub(super) fn ready(&self) -> Result<(), StoreError> {
        let done = self.loaded.done.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.loaded.changed.wait_timeout_while(done, PATIENCE, |done| done.is_none());
        let (done, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match *done {
            Some(true) => Ok(()),
            Some(false) => Err(StoreError::Unavailable("the keys could not be read at the start")),
            None => Err(StoreError::Unavailable("the keys are still being read; try again")),
        }
    }

    /// Another number after every change; `None` as long as the keys are not read.
    pub(super) fn version(&self) -> Option<u64> {
        let cards = self.read();
        cards.changed.is_none().then_some(cards.version)
    }

    /// Whether there is a card of `id`.
    pub(super) fn holds(&self, id: KeyId) -> bool {
        let cards = self.read();
        cards.shelves.get(shelf_of(id)).is_some_and(|shelf| shelf.contains_key(&id))
    }

    /// Hashes labels as the cards do.
    pub(super) fn labels(&self) -> &LabelHasher {
        &self.labels
    }

    /// Calls `visit` for every card after `after`, in the order of ids, until it
    /// breaks. A key that comes or goes meanwhile may be visited or not; any other
    /// is, once.
    pub(super) fn walk(
        &self,
        after: Option<KeyId>,
        mut visit: impl FnMut(&Classes, KeyId, &Card) -> ControlFlow<()>,
    ) {
        let mut last = after;
        loop {
            let cards = self.read();
            let mut seen = 0;
            let visited = cards.after(last).take(CHUNK).try_for_each(|(id, card)| {
                (last, seen) = (Some(*id), seen + 1);
                visit(&cards.classes, *id, card)
            });
            if visited.is_break() || seen < CHUNK {
                return;
            }
        }
    }

    fn change(&self, id: KeyId, after: Option<&KeyRecord>) {
        let mut cards = self.cards.write().unwrap_or_else(PoisonError::into_inner);
        match &mut cards.changed {
            Some(changed) => {
                changed.insert(id, after.cloned());
            }
            None => cards.change(id, after, &self.labels),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Cards> {
        // A change is one insertion or removal: whoever panicked has not left one by half.
        self.cards.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cards {
    fn change(&mut self, id: KeyId, after: Option<&KeyRecord>, labels: &LabelHasher) {
        self.version = self.version.wrapping_add(1);
        // The new one first: a class that both have is not given up between.
        let card = after.map(|key| Card::new(key, self.classes.enter(Class::of(key), 1), labels));
        let Some(shelf) = self.shelves.get_mut(shelf_of(id)) else { return };
        let before = match card {
            Some(card) => shelf.insert(id, card),
            None => shelf.remove(&id),
        };
        if let Some(before) = before {
            self.classes.leave(before.class());
        }
    }

    fn after(&self, after: Option<KeyId>) -> impl Iterator<Item = (&KeyId, &Card)> {
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        let shelves = self.shelves.iter().skip(after.map_or(0, shelf_of));
        shelves.flat_map(move |shelf| shelf.range((first, Bound::Unbounded)))
    }
}

/// The characters that an id can begin with lie between these.
const FIRST: u8 = b'0';
const SHELVES: usize = (b'z' - FIRST) as usize + 1;

/// On which shelf the card of `id` stands. Shelves are in the order of ids.
fn shelf_of(id: KeyId) -> usize {
    let [first, ..] = id.as_bytes();
    usize::from(first.saturating_sub(FIRST))
}

#[cfg(test)]
pub(super) mod tests;
