//! Keeps what others can make happen from filling the log.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// From one line to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// Admits one line a second.
#[derive(Debug, Default)]
pub(crate) struct OncePerSecond(Mutex<Limit>);

#[derive(Debug, Default)]
struct Limit {
    last: Option<Instant>,
    unlogged: u64,
}

impl OncePerSecond {
    /// What happens now gets a line if this is some: how many before it did not.
    pub(crate) fn admit(&self) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now())
    }
}

impl Limit {
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            self.unlogged = self.unlogged.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_counts_those_between() {
        let (mut limit, start) = (Limit::default(), Instant::now());
        assert_eq!(limit.admit(start), Some(0));
        assert_eq!(limit.admit(start), None);
        assert_eq!(limit.admit(start + INTERVAL - Duration::from_nanos(1)), None);
        assert_eq!(limit.admit(start + INTERVAL), Some(2));
        assert_eq!(limit.admit(start + 2 * INTERVAL), Some(0));
    }
}
