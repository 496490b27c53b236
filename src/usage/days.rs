//! How often one key was allowed and denied on each of its last days, UTC.
//!
//! INVARIANT: at most the 30 days that end with the newest, whatever the clock or
//! a stored row says; a day's counts never go down while it is kept. Part of the
//! key's `totals`. What was recorded is booked on the day on which it is collected,
//! which a flush does every few seconds: what was recorded within one interval
//! before midnight, or waited for rows that could not be read, may stand on the
//! day after.

use std::iter;

use super::{DayUsage, moment::LATEST};
use crate::{clock::Timestamp, pb::storage::StoredUsage};

/// So many days are kept.
const KEPT: usize = 30;
const DAY_MS: i64 = 86_400_000;

/// The counts of the last days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Days {
    /// Since 1970.
    newest: u32,
    /// Allowed and denied: of `newest`, of the day before it, and so on, up to the
    /// oldest that had any.
    counts: Vec<(u64, u64)>,
}

/// The day of a time, since 1970. `None`: such a clock does not tell the time.
pub(super) fn day(now: Timestamp) -> Option<u32> {
    let millis = Some(now.0).filter(|millis| (0..=LATEST).contains(millis))?;
    u32::try_from(millis / DAY_MS).ok()
}

impl Days {
    /// Counts on `day`, which is kept in any case: it is today. Days that are 30 or
    /// more away from it go, those after it as well: they are of a clock that was
    /// wrong, and would keep out every right day.
    pub(super) fn add(&mut self, day: u32, allowed: u64, denied: u64) {
        let (ahead, back) = ((self.newest..day).count(), (day..self.newest).count());
        if ahead.max(back) >= KEPT {
            *self = Self { newest: day, counts: vec![(allowed, denied)] };
            return;
        }
        self.newest = self.newest.max(day);
        self.counts.splice(0..0, iter::repeat_n((0, 0), ahead));
        self.counts.resize(self.counts.len().max(back + 1).min(KEPT), (0, 0));
        if let Some(counts) = self.counts.get_mut(back) {
            *counts = (counts.0.saturating_add(allowed), counts.1.saturating_add(denied));
        }
        self.trim();
    }

    /// Drops the oldest days as far as they had no use.
    fn trim(&mut self) {
        while self.counts.pop_if(|counts| *counts == (0, 0)).is_some() {}
    }

    /// As readers get them: the oldest first, only those with use.
    pub(super) fn shown(&self) -> Vec<DayUsage> {
        let days = (0..=self.newest).rev().zip(&self.counts);
        let used = days.filter(|(_, counts)| **counts != (0, 0));
        let mut shown: Vec<_> = used
            .map(|(day, &(allowed, denied))| DayUsage {
                start: Timestamp(i64::from(day) * DAY_MS),
                allowed,
                denied,
            })
            .collect();
        shown.reverse();
        shown
    }

    /// As they are stored: the newest day, and what was allowed and denied on it, on
    /// the day before it, and so on.
    pub(super) fn to_stored(&self) -> (u32, (Vec<u64>, Vec<u64>)) {
        (self.newest, self.counts.iter().copied().unzip())
    }

    /// Reads them out of a stored message. More than 30 are cut off; a day after
    /// 9999 is none.
    pub(super) fn from_stored(stored: &StoredUsage) -> Self {
        if i64::from(stored.newest_day) > LATEST / DAY_MS {
            return Self::default();
        }
        let length = stored.allowed_by_day.len().max(stored.denied_by_day.len()).min(KEPT);
        let at = |by_day: &[u64], back| by_day.get(back).copied().unwrap_or_default();
        let counts = (0..length)
            .map(|back| (at(&stored.allowed_by_day, back), at(&stored.denied_by_day, back)))
            .collect();
        let mut days = Self { newest: stored.newest_day, counts };
        days.trim();
        days
    }
}
