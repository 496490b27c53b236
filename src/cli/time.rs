//! Times as people write and read them: expirations, time-outs, stamps.
//!
//! Everything is UTC. The instant "now" is always handed in, never read here.
//! Used by the commands and by `output`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;

use crate::expiration::{Expiration, ExpirationError};

#[cfg(test)]
mod tests;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The longest `google.protobuf.Duration`, in milliseconds.
const LONGEST_ON_WIRE: u64 = 315_576_000_000 * SECOND;

/// Checks when a key is to expire, and gives the text for the wire, whose reader
/// takes the same.
///
/// # Errors
/// It is no expiration.
pub fn parse_expiration(text: &str) -> Result<String, ExpirationError> {
    text.parse::<Expiration>().map(|_| text.to_owned())
}

/// The units of a duration until, or since.
pub(crate) const WHEN_UNITS: [(&str, u64); 5] =
    [("s", SECOND), ("m", MINUTE), ("h", HOUR), ("d", DAY), ("w", 7 * DAY)];
const TIMEOUT_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", SECOND), ("m", MINUTE), ("h", HOUR)];

/// Reads a time-out such as `500ms`, `10s` or `2m`.
///
/// # Errors
/// It is none, zero, or too long.
pub fn parse_timeout(text: &str) -> anyhow::Result<Duration> {
    match parse_amount(text, &TIMEOUT_UNITS) {
        Some(Ok(0)) => bail!("a time-out of zero leaves no time to answer"),
        Some(Ok(milliseconds)) => Ok(Duration::from_millis(milliseconds)),
        Some(Err(error)) => Err(error),
        None => bail!("write a number and a unit: `500ms`, `10s` or `2m`"),
    }
}

/// Reads a pause such as `2s`; `0s` is none.
///
/// # Errors
/// It is no duration, or longer than an hour.
pub fn parse_pause(text: &str) -> anyhow::Result<Duration> {
    match parse_amount(text, &TIMEOUT_UNITS) {
        Some(Ok(milliseconds)) if milliseconds <= 3_600_000 => {
            Ok(Duration::from_millis(milliseconds))
        }
        Some(Ok(_)) => bail!("that is too long: at most `1h`"),
        Some(Err(error)) => Err(error),
        None => bail!("write a number and a unit: `500ms`, `2s` or `0s`"),
    }
}

/// Reads a length of time such as `12h`, `90d` or `2w`.
///
/// # Errors
/// It is none, zero, or too long.
pub fn parse_length(text: &str) -> anyhow::Result<Duration> {
    match parse_amount(text, &WHEN_UNITS) {
        Some(Ok(0)) => bail!("it has to be some time"),
        Some(Ok(milliseconds)) if milliseconds > LONGEST_ON_WIRE => bail!("that is too long"),
        Some(Ok(milliseconds)) => Ok(Duration::from_millis(milliseconds)),
        Some(Err(error)) => Err(error),
        None => bail!("write a number and a unit: `30m`, `12h`, `90d` or `2w`"),
    }
}

/// Reads an instant of RFC 3339, such as `2027-01-31T12:00:00Z`, for the wire.
///
/// # Errors
/// It is none.
pub fn parse_instant(text: &str) -> anyhow::Result<prost_types::Timestamp> {
    let instant = text.parse().ok().map(to_wire);
    instant.context("must be an instant such as `2027-01-31T12:00:00Z`")
}

/// A length of time for the wire.
#[must_use]
pub fn length_to_wire(length: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(length.subsec_nanos()).unwrap_or(0),
    }
}

/// Reads for how long something is kept, such as `365d` or `52w`.
///
/// # Errors
/// It is no duration, shorter than a day, or too long.
pub fn parse_retention(text: &str) -> anyhow::Result<Duration> {
    match parse_amount(text, &WHEN_UNITS) {
        Some(Ok(milliseconds)) if milliseconds < DAY => bail!("it has to be at least `1d`"),
        Some(Ok(milliseconds)) => Ok(Duration::from_millis(milliseconds)),
        Some(Err(error)) => Err(error),
        None => bail!("write a number and a unit: `90d`, `52w` or `36h`"),
    }
}

/// Milliseconds of a whole number and a unit; `None` for any other shape.
pub(crate) fn parse_amount(text: &str, units: &[(&str, u64)]) -> Option<anyhow::Result<u64>> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, milliseconds) = units.iter().find(|(name, _)| *name == unit)?;
    if number.is_empty() {
        return None;
    }
    let amount = number.parse::<u64>().ok();
    let total = amount.and_then(|amount| amount.checked_mul(*milliseconds));
    Some(total.context("that is too long"))
}

/// A duration for messages: `500ms`, `10s`.
#[must_use]
pub fn spoken(length: Duration) -> String {
    match length.subsec_millis() {
        0 => format!("{}s", length.as_secs()),
        _ => format!("{}ms", length.as_millis()),
    }
}

/// The wire's time.
pub(crate) fn to_wire(instant: Timestamp) -> prost_types::Timestamp {
    // The wire counts nanoseconds forward, also before 1970.
    let nanoseconds = instant.as_nanosecond();
    let seconds = nanoseconds.div_euclid(1_000_000_000);
    let rest = nanoseconds.rem_euclid(1_000_000_000);
    prost_types::Timestamp {
        seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        nanos: i32::try_from(rest).unwrap_or(0),
    }
}

fn from_wire(wire: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(wire.seconds, wire.nanos).ok()
}

/// RFC 3339 in UTC, to the nanosecond where there is any: for programs.
#[must_use]
pub fn exact(wire: &prost_types::Timestamp) -> String {
    // A server that sends what is no instant must not make it look unset.
    from_wire(wire).map_or_else(|| "invalid".into(), |instant| instant.to_string())
}

/// RFC 3339 in UTC, to the second: for people.
#[must_use]
pub fn stamp(wire: &prost_types::Timestamp) -> String {
    let whole = prost_types::Timestamp { seconds: wire.seconds, nanos: 0 };
    exact(&whole)
}

/// The day in UTC, `2027-01-31`: where the second does not matter.
#[must_use]
pub fn day(wire: &prost_types::Timestamp) -> String {
    let stamp = stamp(wire);
    stamp.split_once('T').map_or(stamp.clone(), |(day, _)| day.to_owned())
}

/// The distance from `now` alone: `in 12 days`, `3 hours ago`.
#[must_use]
pub fn how_far(wire: &prost_types::Timestamp, now: Timestamp) -> String {
    from_wire(wire).map_or_else(|| "invalid".into(), |instant| distance(instant, now))
}

/// A stamp with its distance from `now`: `… (in 12 days)`, `… (3 hours ago)`.
#[must_use]
pub fn stamp_and_distance(wire: &prost_types::Timestamp, now: Timestamp) -> String {
    match from_wire(wire) {
        Some(instant) => format!("{} ({})", stamp(wire), distance(instant, now)),
        None => stamp(wire),
    }
}

/// When a key expires, for people: `lifetime`, `… (in 12 days)`,
/// `… (expired 3 days ago)`.
#[must_use]
pub fn expiry(wire: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    let Some(wire) = wire else {
        return "lifetime".into();
    };
    match from_wire(wire) {
        Some(instant) if instant <= now => {
            format!("{} (expired {})", stamp(wire), distance(instant, now))
        }
        _ => stamp_and_distance(wire, now),
    }
}

/// The same in few characters: `lifetime`, `in 12 days`, `expired`.
#[must_use]
pub fn short_expiry(wire: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    let Some(wire) = wire else {
        return "lifetime".into();
    };
    match from_wire(wire) {
        Some(instant) if instant <= now => "expired".into(),
        _ => how_far(wire, now),
    }
}

/// When a key expires, in a sentence that stays true: `lifetime`, or a stamp.
#[must_use]
pub fn expiry_words(wire: Option<&prost_types::Timestamp>) -> String {
    wire.map_or_else(|| "lifetime".into(), stamp)
}

/// To the nearest unit: a fresh `90d` is in 90 days.
fn distance(instant: Timestamp, now: Timestamp) -> String {
    let until = now.duration_until(instant);
    let apart = until.as_millis().unsigned_abs();
    let round = |unit: u64| (apart + u128::from(unit / 2)) / u128::from(unit);
    // The largest amount of each unit but the last.
    let units =
        [(SECOND, "second", 59), (MINUTE, "minute", 59), (HOUR, "hour", 47), (DAY, "day", 729)];
    let fits = units.into_iter().find(|(unit, _, most)| round(*unit) <= *most);
    let (unit, name, _) = fits.unwrap_or((365 * DAY, "year", 0));
    let amount = round(unit);
    if amount == 0 {
        return "now".into();
    }
    let plural = if amount == 1 { "" } else { "s" };
    match until.is_negative() {
        false => format!("in {amount} {name}{plural}"),
        true => format!("{amount} {name}{plural} ago"),
    }
}
