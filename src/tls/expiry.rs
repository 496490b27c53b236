//! When to warn of a certificate that expires: daily from 30 days before, hourly from
//! three. Of what does not hold for another reason: as often as is asked.

use crate::clock::Timestamp;

/// In milliseconds.
pub(super) const HOUR: i64 = 60 * 60 * 1000;
/// The same.
pub(super) const DAY: i64 = 24 * HOUR;

/// Remembers when it has warned of one certificate.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    last: Option<Timestamp>,
}

impl Warnings {
    /// Whether to warn at `now` of what expires then.
    pub(super) fn due(&mut self, now: Timestamp, expires: Timestamp) -> bool {
        let left = expires.0.saturating_sub(now.0);
        let period = match left {
            ..=0 => HOUR,
            _ if left <= 3 * DAY => HOUR,
            _ if left <= 30 * DAY => DAY,
            _ => return false,
        };
        self.due_every(period, now)
    }

    /// Whether to warn at `now` of what is to be warned of once a `period`.
    pub(super) fn due_every(&mut self, period: i64, now: Timestamp) -> bool {
        // A clock that was set back must not silence it.
        let due =
            self.last.is_none_or(|last| !(last.0..last.0.saturating_add(period)).contains(&now.0));
        if due {
            self.last = Some(now);
        }
        due
    }
}

/// How long it still holds, in whole days or hours.
pub(super) fn left(now: Timestamp, expires: Timestamp) -> String {
    let left = expires.0.saturating_sub(now.0);
    match (left / DAY, left / HOUR) {
        _ if left <= 0 => "expired".to_owned(),
        (_, 0) => "less than an hour".to_owned(),
        (_, 1) => "1 hour".to_owned(),
        (..3, hours) => format!("{hours} hours"),
        (days, _) => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often it warns in `for_long`, asked every minute, `left` before the expiry.
    fn warnings(left: i64, for_long: i64) -> usize {
        let (mut warnings, expires) = (Warnings::default(), Timestamp(1_000 * DAY));
        let minutes = (0..for_long / 60_000).map(|minute| minute * 60_000);
        minutes.filter(|at| warnings.due(Timestamp(expires.0 - left + at), expires)).count()
    }

    #[test]
    fn it_warns_daily_from_30_days_and_hourly_from_3() {
        assert_eq!(warnings(60 * DAY, 30 * DAY), 0);
        assert_eq!(warnings(30 * DAY, 10 * DAY), 10);
        assert_eq!(warnings(3 * DAY, DAY), 24);
        assert_eq!(warnings(-DAY, DAY), 24, "expired");
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nothing() {
        let (mut warnings, expires) = (Warnings::default(), Timestamp(20 * DAY));
        assert!(warnings.due(Timestamp(10 * DAY), expires));
        assert!(!warnings.due(Timestamp(10 * DAY), expires));
        assert!(warnings.due(Timestamp(5 * DAY), expires));
    }

    #[test]
    fn what_is_left_is_said_in_days_or_hours() {
        for (millis, said) in [
            (30 * DAY, "30 days"),
            (3 * DAY, "3 days"),
            (2 * DAY, "48 hours"),
            (HOUR, "1 hour"),
            (1, "less than an hour"),
            (0, "expired"),
            (-DAY, "expired"),
        ] {
            assert_eq!(left(Timestamp(0), Timestamp(millis)), said);
        }
    }
}
