//! How many refusals are recorded.
//!
//! INVARIANT: each actor's first ones are, then one a second, and that one says how
//! many before it were not: a credential alone must not fill the disk. Asked
//! inside the commit.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::{change::Actor, clock::Timestamp};

/// An actor's refusals that are recorded at once.
const BURST: u32 = 100;
/// After them, one for each.
const REFILL_MS: i64 = 1000;

/// Which refusals are recorded.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<Actor, Bucket>>);

struct Bucket {
    left: u32,
    refilled: Timestamp,
    unrecorded: u64,
}

impl Refusals {
    /// Whether another refusal of `actor` is to be recorded: then how many before
    /// it were not.
    pub(super) fn admit(&self, actor: Actor, now: Timestamp) -> Option<u64> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = || Bucket { left: BURST, refilled: now, unrecorded: 0 };
        let bucket = buckets.entry(actor).or_insert_with(full);
        let gained = now.0.saturating_sub(bucket.refilled.0).max(0) / REFILL_MS;
        if gained > 0 {
            let gained = u32::try_from(gained).unwrap_or(u32::MAX);
            bucket.left = bucket.left.saturating_add(gained).min(BURST);
            bucket.refilled = now;
        }
        if bucket.left == 0 {
            bucket.unrecorded += 1;
            return None;
        }
        bucket.left -= 1;
        Some(std::mem::take(&mut bucket.unrecorded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_one_a_second_is_recorded_and_the_others_are_counted() {
        let refusals = Refusals::default();
        let at = |ms| refusals.admit(Actor::Operator, Timestamp(ms));
        for _ in 0..BURST {
            assert_eq!(at(0), Some(0));
        }
        assert_eq!((at(0), at(500), at(999)), (None, None, None));
        assert_eq!((at(1000), at(1001), at(1999)), (Some(3), None, None));
        assert_eq!((at(2000), at(2001)), (Some(2), None));
        // Others are not held up by it, nor is a clock that goes back a gift.
        assert_eq!(refusals.admit(Actor::System, Timestamp(2001)), Some(0));
        assert_eq!(at(0), None);
        // After a while there is room for a burst again, and no more.
        let recorded = (0..1000).filter(|_| at(10_000_000).is_some()).count();
        assert_eq!(recorded, BURST as usize);
    }
}
