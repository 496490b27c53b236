//! How many keys there are, by status, for metrics.
//!
//! INVARIANT: the numbers are right as of the last look at the cards, and that is taken anew when a
//! key has changed or a time has come at which one changes its status. A look that takes long is not
//! taken again before a hundred times as long has passed: scraping takes 1 % of a processor at most.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use super::{Card, Catalog};
use crate::clock::{Clock, Timestamp};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// A look that takes less is taken whenever there is something new.
const SHORT: Duration = Duration::from_millis(1);
/// So many times as long as a look took passes before the next.
const REST: u32 = 100;

/// Counts the keys of a keyring.
pub struct Tally {
    /// A scraper keeps no keyring alive.
    catalog: Weak<Catalog>,
    clock: Clock,
    last: Mutex<Option<Look>>,
}

/// How many keys there are.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// Switched on, and not expired.
    pub active: u64,
    /// Switched off.
    pub inactive: u64,
    /// Expired, and not switched off.
    pub expired: u64,
    /// Active now, and expired in seven days.
    pub expiring_in_7_days: u64,
    /// Active now, and expired in 30 days; those in seven are among them.
    pub expiring_in_30_days: u64,
}

/// What was seen.
#[derive(Copy, Clone)]
struct Look {
    counts: KeyCounts,
    version: u64,
    at: Timestamp,
    /// When the first of these keys changes its place.
    until: Timestamp,
    done: Instant,
    took: Duration,
}

impl Tally {
    pub(in crate::keyring) fn new(catalog: &Arc<Catalog>, clock: Clock) -> Self {
        Self { catalog: Arc::downgrade(catalog), clock, last: Mutex::new(None) }
    }

    /// How many keys there are; `None` as long as they are not read, or when they are given up.
    pub fn counts(&self) -> Option<KeyCounts> {
        let catalog = self.catalog.upgrade()?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // First: what changes during the look is seen as new by the next.
        let version = catalog.version()?;
        let now = self.clock.now();
        if let Some(look) = *last
            && (look.holds(version, now) || look.is_dear())
        {
            return Some(look.counts);
        }
        let look = Look::take(&catalog, version, now);
        *last = Some(look);
        Some(look.counts)
    }
}

impl Look {
    fn take(catalog: &Catalog, version: u64, now: Timestamp) -> Self {
        let started = Instant::now();
        let (mut counts, mut until) = (KeyCounts::default(), Timestamp(i64::MAX));
        catalog.walk(None, |_, _, card| {
            until = until.min(counts.add(card, now));
            ControlFlow::Continue(())
        });
        Self { counts, version, at: now, until, done: Instant::now(), took: started.elapsed() }
    }

    /// Whether a new look would see the same.
    fn holds(&self, version: u64, now: Timestamp) -> bool {
        self.version == version && (self.at..self.until).contains(&now)
    }

    fn is_dear(&self) -> bool {
        self.took > SHORT && self.done.elapsed() < self.took.saturating_mul(REST)
    }
}

impl KeyCounts {
    /// Takes in the key of `card`. Gives when it changes its place.
    fn add(&mut self, card: &Card, now: Timestamp) -> Timestamp {
        const NEVER: Timestamp = Timestamp(i64::MAX);
        if !card.is_active() {
            self.inactive += 1;
            return NEVER;
        }
        let Some(expires) = card.expires() else {
            self.active += 1;
            return NEVER;
        };
        let left = expires.0.saturating_sub(now.0);
        if left <= 0 {
            self.expired += 1;
            return NEVER;
        }
        self.active += 1;
        if left > 30 * DAY_MS {
            return Timestamp(expires.0.saturating_sub(30 * DAY_MS));
        }
        self.expiring_in_30_days += 1;
        if left > 7 * DAY_MS {
            return Timestamp(expires.0.saturating_sub(7 * DAY_MS));
        }
        self.expiring_in_7_days += 1;
        expires
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{MemoryStore, a_key, loaded},
        *,
    };
    use crate::record::KeyRecord;

    #[test]
    fn keys_change_their_status_when_their_time_has_come_and_when_they_are_changed() {
        let key = |id, active, expires: Option<i64>| KeyRecord {
            active,
            expires: expires.map(Timestamp),
            ..a_key(id, "web")
        };
        let store = MemoryStore::with([
            key("0000000001", true, None),
            key("0000000002", false, Some(5)),
            key("0000000003", true, Some(100)),
            key("0000000004", true, Some(40 * DAY_MS)),
        ]);
        let clock = Clock::test(Timestamp(0));
        let catalog = loaded(&store);
        let tally = Tally::new(&catalog, clock.clone());
        let at = |now| {
            clock.set(Timestamp(now));
            let counts = tally.counts().unwrap();
            (
                [counts.active, counts.inactive, counts.expired],
                [counts.expiring_in_7_days, counts.expiring_in_30_days],
            )
        };
        assert_eq!(at(0), ([3, 1, 0], [1, 1]));
        assert_eq!(at(99), ([3, 1, 0], [1, 1]));
        assert_eq!(at(100), ([2, 1, 1], [0, 0]));
        assert_eq!(at(10 * DAY_MS), ([2, 1, 1], [0, 1]));
        assert_eq!(at(33 * DAY_MS - 1), ([2, 1, 1], [0, 1]));
        assert_eq!(at(33 * DAY_MS), ([2, 1, 1], [1, 1]));
        assert_eq!(at(0), ([3, 1, 0], [1, 1]));
        store.put(key("0000000001", false, None));
        store.remove("0000000002".parse().unwrap());
        assert_eq!(at(0), ([2, 1, 0], [1, 1]));
    }

    #[test]
    fn nothing_is_counted_before_the_keys_were_read_or_when_the_keyring_is_gone() {
        let store = MemoryStore::with([a_key("0000000001", "web")]);
        let catalog = Catalog::follow(&store);
        let tally = Tally::new(&catalog, Clock::test(Timestamp(0)));
        assert_eq!(tally.counts(), None);
        catalog.load(&store);
        assert_eq!(tally.counts().unwrap().active, 1);
        drop(catalog);
        assert_eq!(tally.counts(), None);
    }
}
