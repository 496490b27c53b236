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

use std::{
    collections::{BTreeMap, HashMap},
    ops::{Bound, ControlFlow},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

pub(super) use self::{
    card::{Card, LabelHasher},
    classes::{Class, Classes},
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
}

/// What the lock guards.
#[derive(Default)]
struct Cards {
    /// By the first character of the id, so that several threads can load them,
    /// and each tree is built at once, with full nodes.
    shelves: Vec<Shelf>,
    classes: Classes,
    /// While the keys are being read: what has become of those that changed.
    changed: Option<HashMap<KeyId, Option<KeyRecord>>>,
}

type Shelf = BTreeMap<KeyId, Card>;

impl Catalog {
    /// Reads all keys of `store`, and follows it from now on.
    ///
    /// # Errors
    /// [`StoreError`] when a key cannot be read.
    pub(super) fn load(store: &dyn Store) -> Result<Arc<Self>, StoreError> {
        let cards = Cards { changed: Some(HashMap::new()), ..Cards::default() };
        let catalog = Arc::new(Self { cards: RwLock::new(cards), labels: LabelHasher::default() });
        // A store may outlive the keyring.
        let told = Arc::downgrade(&catalog);
        store.subscribe(Box::new(move |changed| {
            if let Some(catalog) = told.upgrade() {
                catalog.change(changed.key_id, changed.after);
            }
        }));
        let loaded = load::load(store, &catalog.labels)?;
        let mut cards = catalog.cards.write().unwrap_or_else(PoisonError::into_inner);
        (cards.shelves, cards.classes) = loaded;
        for (id, after) in cards.changed.take().unwrap_or_default() {
            cards.change(id, after.as_ref(), &catalog.labels);
        }
        drop(cards);
        Ok(catalog)
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
            for (id, card) in cards.after(last).take(CHUNK) {
                if visit(&cards.classes, *id, card).is_break() {
                    return;
                }
                (last, seen) = (Some(*id), seen + 1);
            }
            if seen < CHUNK {
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
