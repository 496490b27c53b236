//! A key's use over the last month, a bar for each day.

use crate::{clock::Timestamp, dashboard::time, usage::DayUsage};

/// Days that are shown; more are not kept.
const DAYS: i64 = 30;
const DAY: i64 = 24 * 60 * 60 * 1_000;
/// The size of the picture, in its own units.
const WIDTH: u64 = 600;
const HEIGHT: u64 = 96;

/// The bars, the oldest day first.
pub(super) struct Chart {
    pub(super) bars: Vec<Bar>,
    /// The most on a day.
    pub(super) most: u64,
    pub(super) allowed: u64,
    pub(super) denied: u64,
}

/// A day, and where its bar stands.
pub(super) struct Bar {
    pub(super) day: String,
    pub(super) allowed: u64,
    pub(super) denied: u64,
    pub(super) x: u64,
    pub(super) width: u64,
    pub(super) allowed_y: u64,
    pub(super) allowed_height: u64,
    pub(super) denied_y: u64,
    pub(super) denied_height: u64,
}

impl Chart {
    /// Of the month up to `now`.
    pub(super) fn new(days: &[DayUsage], now: Timestamp) -> Self {
        let today = now.0.div_euclid(DAY);
        let of = |day: i64| days.iter().find(|usage| usage.start.0.div_euclid(DAY) == day);
        let counts = (today - DAYS + 1..=today).map(|day| {
            let usage = of(day);
            (day, usage.map_or(0, |usage| usage.allowed), usage.map_or(0, |usage| usage.denied))
        });
        let counts: Vec<_> = counts.collect();
        let sum = |allowed: u64, denied: u64| allowed.saturating_add(denied);
        let most = counts.iter().map(|(_, allowed, denied)| sum(*allowed, *denied)).max();
        let most = most.unwrap_or(0);
        let step = WIDTH / DAYS.unsigned_abs();
        // Something is always seen.
        let height = |count: u64| match count {
            0 => 0,
            count => {
                let scaled = u128::from(count) * u128::from(HEIGHT) / u128::from(most.max(1));
                u64::try_from(scaled).unwrap_or(HEIGHT).max(2)
            }
        };
        let bars = counts.iter().zip(0..).map(|((day, allowed, denied), number)| {
            let denied_height = height(*denied);
            let allowed_height = height(*allowed).min(HEIGHT.saturating_sub(denied_height));
            Bar {
                day: time::short_day(Timestamp(day.saturating_mul(DAY))),
                allowed: *allowed,
                denied: *denied,
                x: step.saturating_mul(number) + 2,
                width: step.saturating_sub(4),
                allowed_y: HEIGHT - allowed_height,
                allowed_height,
                denied_y: HEIGHT.saturating_sub(allowed_height + denied_height),
                denied_height,
            }
        });
        let total = |count: fn(&(i64, u64, u64)) -> u64| {
            counts.iter().map(count).fold(0, u64::saturating_add)
        };
        Self {
            bars: bars.collect(),
            most,
            allowed: total(|(_, allowed, _)| *allowed),
            denied: total(|(.., denied)| *denied),
        }
    }

    /// The day on the left.
    pub(super) fn first_day(&self) -> &str {
        self.bars.first().map_or("", |bar| &bar.day)
    }

    /// The day on the right.
    pub(super) fn last_day(&self) -> &str {
        self.bars.last().map_or("", |bar| &bar.day)
    }

    /// The days with use, for who does not see the bars.
    pub(super) fn used(&self) -> impl Iterator<Item = &Bar> {
        self.bars.iter().filter(|bar| bar.allowed > 0 || bar.denied > 0)
    }
}
