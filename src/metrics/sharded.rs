//! Counters that many threads add to without waiting for one another.
//!
//! INVARIANT: a count is one relaxed addition, in a cache line that few other threads write to: each
//! thread has a place of its own, as long as there are enough. What is read is the sum.

use std::{
    array,
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

/// More places would cost memory for each row of counters.
const MAX_SHARDS: usize = 16;
const MIN_SHARDS: usize = 4;

/// One of so many is sampled.
pub(super) const SAMPLED: u64 = 16;

thread_local! {
    static PLACE: Cell<Option<usize>> = const { Cell::new(None) };
    static DICE: Cell<u64> = const { Cell::new(0) };
}

/// `N` counters that belong together. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Sharded<const N: usize>(Arc<[Line<N>]>);

/// Two lines of 64 bytes: processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Line<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Sharded<N> {
    fn default() -> Self {
        let line = |_| Line(array::from_fn(|_| AtomicU64::new(0)));
        Self((0..shards()).map(line).collect())
    }
}

impl<const N: usize> Sharded<N> {
    /// Adds one to the counter `which`; nothing if there is none.
    #[inline]
    pub(super) fn add(&self, which: usize) {
        // INVARIANT: their number is a power of two.
        let place = place() & self.0.len().wrapping_sub(1);
        if let Some(count) = self.0.get(place).and_then(|line| line.0.get(which)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// The counter `which`.
    pub(super) fn sum(&self, which: usize) -> u64 {
        self.0.iter().filter_map(|line| line.0.get(which)).map(|count| count.load(Relaxed)).sum()
    }
}

/// Twice the processors: threads that come and go take places, too.
fn shards() -> usize {
    let processors = thread::available_parallelism().map_or(MAX_SHARDS, |all| all.get());
    processors.saturating_mul(2).clamp(MIN_SHARDS, MAX_SHARDS).next_power_of_two()
}

/// This thread's place.
#[inline]
fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let place = |place: &Cell<Option<usize>>| {
        place.get().unwrap_or_else(|| {
            let next = NEXT.fetch_add(1, Relaxed);
            place.set(Some(next));
            next
        })
    };
    // A thread that ends has none any more: any will do.
    PLACE.try_with(place).unwrap_or_default()
}

/// Whether this is one of [`SAMPLED`], at random: what comes in a rhythm is sampled fairly, too.
#[inline]
pub(super) fn sampled() -> bool {
    let throw = |dice: &Cell<u64>| {
        // Knuth's MMIX; the high bits are the random ones.
        let next = dice
            .get()
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        dice.set(next);
        next >> 32 & (SAMPLED - 1) == 0
    };
    DICE.try_with(throw).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_add_is_summed_up() {
        let counts = Sharded::<3>::default();
        thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counts.add(1);
                    }
                    counts.add(2);
                    // There is none: nothing happens.
                    counts.add(3);
                });
            }
        });
        assert_eq!([0, 1, 2, 3].map(|which| counts.sum(which)), [0, 40_000, 40, 0]);
    }

    #[test]
    fn there_is_a_power_of_two_of_places() {
        assert!(shards().is_power_of_two() && shards() <= MAX_SHARDS);
    }

    #[test]
    fn one_of_sixteen_is_sampled() {
        let hits = (0..16_000).filter(|_| sampled()).count();
        assert!((900..1100).contains(&hits), "{hits}");
    }
}
