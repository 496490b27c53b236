//! The teams, services and roles of the keys, each combination once.
//!
//! INVARIANT: a number stands for one class as long as any card has it, and is
//! given anew only after [`Classes::given_up`] has changed. The catalog counts the
//! cards of each; `list` and `figures` decide once for each class, not for each key.

use std::{collections::HashMap, sync::Arc};

use crate::record::KeyRecord;

/// What many keys have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::keyring) struct Class {
    pub(in crate::keyring) team: String,
    pub(in crate::keyring) service: String,
    pub(in crate::keyring) role: String,
}

/// Classes by number, and numbers by class.
#[derive(Default)]
pub(in crate::keyring) struct Classes {
    numbers: HashMap<Arc<Class>, u32, foldhash::fast::RandomState>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    given_up: u64,
}

/// What was decided of each class, as long as its number stands for it.
#[derive(Default)]
pub(in crate::keyring) struct Verdicts {
    known: Vec<Option<bool>>,
    given_up: u64,
}

struct Entry {
    class: Arc<Class>,
    /// How many cards are of it.
    cards: usize,
}

impl Class {
    /// The class of `key`.
    pub(super) fn of(key: &KeyRecord) -> Self {
        Self { team: key.team.clone(), service: key.service.clone(), role: key.role.clone() }
    }
}

impl Classes {
    /// The number of `class`, for `cards` more cards.
    pub(super) fn enter(&mut self, class: Class, cards: usize) -> u32 {
        if let Some(number) = self.numbers.get(&class) {
            if let Some(entry) = self.entries.get_mut(*number as usize) {
                entry.cards += cards;
            }
            return *number;
        }
        let class = Arc::new(class);
        let entry = Entry { class: Arc::clone(&class), cards };
        // No more classes than keys, and these do not fill 32 bits.
        let next = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let number = self.free.pop().unwrap_or(next);
        match self.entries.get_mut(number as usize) {
            Some(free) => *free = entry,
            None => self.entries.push(entry),
        }
        self.numbers.insert(class, number);
        number
    }

    /// A card of the class `number` is no more.
    pub(super) fn leave(&mut self, number: u32) {
        let Some(entry) = self.entries.get_mut(number as usize) else { return };
        entry.cards = entry.cards.saturating_sub(1);
        if entry.cards == 0 {
            self.numbers.remove(&entry.class);
            entry.class = Arc::default();
            self.free.push(number);
            self.given_up += 1;
        }
    }

    /// The class `number`.
    pub(in crate::keyring) fn get(&self, number: u32) -> Option<&Class> {
        self.entries.get(number as usize).map(|entry| &*entry.class)
    }

    /// How many numbers were given up: when that has changed, a number may stand
    /// for another class than before.
    pub(in crate::keyring) fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Takes in the classes of `other`. Gives the number of each by its number there.
    pub(super) fn merge(&mut self, other: Self) -> Vec<u32> {
        let entries = other.entries.into_iter();
        entries.map(|entry| self.enter(Arc::unwrap_or_clone(entry.class), entry.cards)).collect()
    }
}

impl Verdicts {
    /// What `decide` says of the class `number`, now or before. To be asked with the
    /// same `classes` and `decide` each time.
    pub(in crate::keyring) fn of(
        &mut self,
        classes: &Classes,
        number: u32,
        decide: impl FnOnce(&Class) -> bool,
    ) -> bool {
        if self.given_up != classes.given_up() {
            self.known.clear();
            self.given_up = classes.given_up();
        }
        let place = number as usize;
        if let Some(Some(decided)) = self.known.get(place) {
            return *decided;
        }
        let decided = classes.get(number).is_some_and(decide);
        if self.known.len() <= place {
            self.known.resize(place + 1, None);
        }
        if let Some(known) = self.known.get_mut(place) {
            *known = Some(decided);
        }
        decided
    }
}
