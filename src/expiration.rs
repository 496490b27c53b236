//! When a key expires, as people write it: an instant, a date, a duration, or
//! `lifetime`.
//!
//! Everything is UTC. The instant "now" is always handed in. The command line and
//! the admin API read expirations with this.

use std::{str::FromStr, time::Duration};

use jiff::{civil::Date, tz::TimeZone};

use crate::clock::Timestamp;

/// When a key expires, as written.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Expiration {
    /// Never.
    #[default]
    Lifetime,
    /// From this instant on.
    At(Timestamp),
    /// This long from now.
    In(Duration),
}

/// What was written is no expiration.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpirationError {
    /// It has none of the forms.
    #[error(
        "write an instant `2027-01-31T12:00:00Z`, a date `2027-01-31` (valid through that day, UTC), a duration such \
         as `30m`, `12h`, `90d` or `2w`, or `lifetime`"
    )]
    Form,
    /// A date that the calendar does not have.
    #[error("there is no such day")]
    Day,
    /// A duration of zero.
    #[error("a key has to be valid for some time")]
    Zero,
    /// Beyond the year 9999.
    #[error("that is too far away; write `lifetime` for a key without an expiration")]
    TooFar,
}

/// Its first instant.
const YEAR_10000: i64 = 253_402_300_800_000;
const SECOND: u64 = 1_000;
const DAY: u64 = 24 * 60 * 60 * SECOND;
const UNITS: [(&str, u64); 5] =
    [("s", SECOND), ("m", 60 * SECOND), ("h", 60 * 60 * SECOND), ("d", DAY), ("w", 7 * DAY)];

impl Expiration {
    /// The instant, seen from `now`; `None` is lifetime.
    ///
    /// # Errors
    /// [`ExpirationError::TooFar`]
    pub fn resolve(self, now: Timestamp) -> Result<Option<Timestamp>, ExpirationError> {
        match self {
            Self::Lifetime => Ok(None),
            Self::At(instant) => Ok(Some(instant)),
            Self::In(length) => {
                let length = i64::try_from(length.as_millis()).ok();
                let instant = length.and_then(|length| now.0.checked_add(length));
                let instant = instant.filter(|instant| *instant < YEAR_10000);
                instant.map(|instant| Some(Timestamp(instant))).ok_or(ExpirationError::TooFar)
            }
        }
    }
}

impl FromStr for Expiration {
    type Err = ExpirationError;

    fn from_str(text: &str) -> Result<Self, ExpirationError> {
        if text.eq_ignore_ascii_case("lifetime") {
            return Ok(Self::Lifetime);
        }
        if is_date(text) {
            let date: Date = text.parse().map_err(|_| ExpirationError::Day)?;
            // Valid through that day: expired from the next midnight on.
            let end = date.tomorrow().map_err(|_| ExpirationError::TooFar)?.at(0, 0, 0, 0);
            let end = end.to_zoned_datetime(TimeZone::UTC).map_err(|_| ExpirationError::TooFar)?;
            return Ok(Self::At(Timestamp(end.timestamp().as_millisecond())));
        }
        if let Some(length) = duration(text) {
            let length = length.ok_or(ExpirationError::TooFar)?;
            return if length.is_zero() {
                Err(ExpirationError::Zero)
            } else {
                Ok(Self::In(length))
            };
        }
        let instant: jiff::Timestamp = text.parse().map_err(|_| ExpirationError::Form)?;
        Ok(Self::At(Timestamp(instant.as_millisecond())))
    }
}

/// Whether `text` has the shape `2027-01-31`. jiff's own dates would take a
/// time as well, and drop it.
pub(crate) fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// A whole number and a unit. `None` for any other shape, `Some(None)` for what is
/// too long.
fn duration(text: &str) -> Option<Option<Duration>> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, milliseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    if number.is_empty() {
        return None;
    }
    let amount = number.parse::<u64>().ok();
    Some(amount.and_then(|amount| amount.checked_mul(*milliseconds)).map(Duration::from_millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn resolved(text: &str) -> Result<Option<i64>, ExpirationError> {
        let at = text.parse::<Expiration>()?.resolve(NOW)?;
        Ok(at.map(|at| at.0))
    }

    #[test]
    fn every_form_resolves_to_its_instant() {
        assert_eq!(resolved("lifetime"), Ok(None));
        assert_eq!(resolved("Lifetime"), Ok(None));
        assert_eq!(resolved("2027-01-31T12:00:00Z"), Ok(Some(1_801_396_800_000)));
        assert_eq!(resolved("2027-01-31T12:00:00+02:00"), Ok(Some(1_801_389_600_000)));
        // Valid through the day.
        assert_eq!(resolved("2027-01-31"), Ok(Some(1_801_440_000_000)));
        assert_eq!(resolved("2028-02-29"), resolved("2028-03-01T00:00:00Z"));
        assert_eq!(resolved("1969-12-31T23:59:59.25Z"), Ok(Some(-750)));
        for (text, seconds) in
            [("5s", 5), ("30m", 1800), ("12h", 43_200), ("90d", 7_776_000), ("2w", 1_209_600)]
        {
            assert_eq!(resolved(text), Ok(Some(NOW.0 + seconds * 1000)), "{text}");
        }
    }

    #[test]
    fn what_is_none_says_why() {
        for text in ["2027-02-30", "2027-13-01"] {
            assert_eq!(resolved(text), Err(ExpirationError::Day), "{text}");
        }
        assert_eq!(resolved("0d"), Err(ExpirationError::Zero));
        for text in [
            "99999999999999999999d",
            "18446744073709551615s",
            "999999999999999w",
            "3294000d",
            "9999-12-31",
        ] {
            assert_eq!(resolved(text), Err(ExpirationError::TooFar), "{text}");
        }
        for text in [
            "",
            "soon",
            "d",
            "-5d",
            "5 d",
            "2027-01-31 12:00",
            "90",
            "1.5h",
            "1y",
            "27-01-31",
            // Whose noon?
            "2027-01-31T12:00:00",
        ] {
            assert_eq!(resolved(text), Err(ExpirationError::Form), "{text}");
        }
    }
}
