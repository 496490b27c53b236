//! Reads all keys of a store, on half of the processors: decoding a million records
//! takes one of them seconds.
//!
//! INVARIANT: each range of ids, by their first character, becomes one shelf;
//! together they are all keys, each once. Nothing but cards is kept.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{Card, Class, Classes, FIRST, LabelHasher, SHELVES, Shelf};
use crate::{
    store::{Store, StoreError},
    token::KeyId,
};

/// More threads would wait for each other.
const MAX_THREADS: usize = 8;

type Loaded = Result<(Shelf, Classes), StoreError>;

/// All cards, by shelf, and their classes.
pub(super) fn load(
    store: &dyn Store,
    labels: &LabelHasher,
) -> Result<(Vec<Shelf>, Classes), StoreError> {
    let mut shelves: Vec<Shelf> = (0..SHELVES).map(|_| Shelf::new()).collect();
    let mut classes = Classes::default();
    for (place, loaded) in in_parallel(store, labels) {
        let (mut shelf, known) = loaded?;
        let numbers = classes.merge(known);
        for card in shelf.values_mut() {
            if let Some(number) = numbers.get(card.class() as usize) {
                card.set_class(*number);
            }
        }
        if let Some(empty) = shelves.get_mut(place) {
            *empty = shelf;
        }
    }
    Ok((shelves, classes))
}

fn in_parallel(store: &dyn Store, labels: &LabelHasher) -> Vec<(usize, Loaded)> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(SHELVES)));
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= SHELVES {
                return;
            }
            let loaded = shelf(store, labels, place);
            if loaded.is_err() {
                next.store(SHELVES, Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((place, loaded));
        }
    };
    // The other half is for those who are served meanwhile.
    let threads = thread::available_parallelism().map_or(1, |all| all.get().div_ceil(2));
    let threads = threads.min(MAX_THREADS);
    let panicked = thread::scope(|scope| {
        // Without another thread, this one reads them all.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).filter_map(spawn).collect();
        work();
        others.into_iter().any(|other| other.join().is_err())
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    if panicked {
        // sled does on some damaged files.
        done.push((SHELVES, Err(StoreError::Unavailable("reading all keys broke off"))));
    }
    done
}

/// The cards of the keys whose ids begin with the character of `place`.
fn shelf(store: &dyn Store, labels: &LabelHasher, place: usize) -> Loaded {
    let mut classes = Classes::default();
    let mut cards = Vec::new();
    let first = u8::try_from(place).ok().and_then(|place| place.checked_add(FIRST));
    if let Some(first) = first.filter(u8::is_ascii_alphanumeric) {
        for key in store.scan(last_before(first)) {
            let key = key?;
            if !key.id.as_str().starts_with(char::from(first)) {
                break;
            }
            let class = classes.enter(Class::of(&key), 1);
            cards.push((key.id, Card::new(&key, class, labels)));
        }
    }
    Ok((cards.into_iter().collect(), classes))
}

/// The last id before those that begin with `first`.
fn last_before(first: u8) -> Option<KeyId> {
    let before = (FIRST..first).rev().find(u8::is_ascii_alphanumeric)?;
    format!("{}zzzzzzzzz", char::from(before)).parse().ok()
}
