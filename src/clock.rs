//! What time it is: the system's, or a test's.
//!
//! Everything that compares times takes its `now` from one `Clock`, so that a
//! test can stand on either side of a millisecond.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// As RFC 3339; what is beyond the year 9999 as its number.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => at.fmt(f),
            Err(_) => self.0.fmt(f),
        }
    }
}

/// Tells the time. Clones tell the same time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's wall clock.
    #[default]
    System,
    /// A clock that stands still until a test sets it.
    Test(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that shows `now` until [`Clock::set`].
    pub fn test(now: Timestamp) -> Self {
        Self::Test(Arc::new(AtomicI64::new(now.0)))
    }

    /// The time, to the millisecond. A system clock before 1970 reads as the end of
    /// time, by which everything that can expire has: it does not tell the time.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => of_system(SystemTime::now()),
            Self::Test(now) => Timestamp(now.load(Ordering::SeqCst)),
        }
    }

    /// Sets a test clock; does nothing to the system's.
    pub fn set(&self, now: Timestamp) {
        if let Self::Test(shown) = self {
            shown.store(now.0, Ordering::SeqCst);
        }
    }
}

fn of_system(now: SystemTime) -> Timestamp {
    let since = now.duration_since(UNIX_EPOCH).ok();
    let millis = since.and_then(|since| i64::try_from(since.as_millis()).ok());
    Timestamp(millis.unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_before_1970_is_after_every_expiration() {
        assert_eq!(of_system(UNIX_EPOCH - Duration::from_millis(1)), Timestamp(i64::MAX));
        assert_eq!(of_system(UNIX_EPOCH), Timestamp(0));
        assert_eq!(of_system(UNIX_EPOCH + Duration::from_millis(1)), Timestamp(1));
    }
}
