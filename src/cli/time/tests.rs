//! What is a time, and how it reads.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    day, expiry, how_far, length_to_wire, parse_expiration, parse_instant, parse_length,
    parse_retention, parse_timeout, short_expiry, spoken,
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn an_expiration_is_checked_and_stays_as_it_was_written() {
    for text in ["lifetime", "2027-01-31T12:00:00+02:00", "2027-01-31", "90d"] {
        assert_eq!(parse_expiration(text).unwrap(), text);
    }
    for (text, says) in
        [("soon", "write an instant"), ("2027-02-30", "no such day"), ("0d", "for some time")]
    {
        let error = parse_expiration(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn a_time_before_1970_counts_forward_on_the_wire() {
    let before_1970 = parse_instant("1969-12-31T23:59:59.25Z").unwrap();
    assert_eq!((before_1970.seconds, before_1970.nanos), (-1, 250_000_000));
}

#[test]
fn a_timeout_is_a_number_and_a_unit() {
    for (text, milliseconds) in [("500ms", 500), ("10s", 10_000), ("2m", 120_000)] {
        let length = parse_timeout(text).unwrap();
        assert_eq!(length, Duration::from_millis(milliseconds), "{text}");
    }
    for text in ["", "10", "s", "0s", "-1s", "1.5s", "10 s", "1d", "99999999999999999h"] {
        assert!(parse_timeout(text).is_err(), "{text}");
    }
    assert_eq!(spoken(Duration::from_millis(1_500)), "1500ms");
    assert_eq!(spoken(Duration::from_secs(10)), "10s");
}

#[test]
fn times_say_how_far_away_they_are() {
    let now = at("2026-11-23T12:00:00Z");
    let shown = |text: &str| expiry(Some(&parse_instant(text).unwrap()), now);
    assert_eq!(expiry(None, now), "lifetime");
    for (text, expected) in [
        ("2026-12-05T12:00:00.9Z", "2026-12-05T12:00:00Z (in 12 days)"),
        ("2026-11-23T13:00:00Z", "2026-11-23T13:00:00Z (in 1 hour)"),
        ("2026-11-23T12:00:30Z", "2026-11-23T12:00:30Z (in 30 seconds)"),
        ("2029-01-01T00:00:00Z", "2029-01-01T00:00:00Z (in 2 years)"),
        // Not cut off: to the nearest.
        ("2027-02-21T11:59:59Z", "2027-02-21T11:59:59Z (in 90 days)"),
        ("2026-11-23T12:29:59.9Z", "2026-11-23T12:29:59Z (in 30 minutes)"),
        ("2026-11-23T12:59:40Z", "2026-11-23T12:59:40Z (in 1 hour)"),
        ("2026-11-23T12:00:59.7Z", "2026-11-23T12:00:59Z (in 1 minute)"),
        ("2026-11-25T11:59:00Z", "2026-11-25T11:59:00Z (in 2 days)"),
        ("2028-11-22T11:00:00Z", "2028-11-22T11:00:00Z (in 2 years)"),
        ("2026-11-23T12:00:00.3Z", "2026-11-23T12:00:00Z (now)"),
        ("2026-11-23T11:58:59Z", "2026-11-23T11:58:59Z (expired 1 minute ago)"),
        ("2026-11-20T12:00:00Z", "2026-11-20T12:00:00Z (expired 3 days ago)"),
    ] {
        assert_eq!(shown(text), expected);
    }
    let nonsense = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
    assert_eq!(expiry(Some(&nonsense), now), "invalid");
}

#[test]
fn a_length_of_time_is_a_number_and_a_unit() {
    for (text, seconds) in [("45s", 45), ("30m", 1_800), ("90d", 7_776_000), ("2w", 1_209_600)] {
        let length = parse_length(text).unwrap();
        assert_eq!(length, Duration::from_secs(seconds), "{text}");
        assert_eq!(length_to_wire(length).seconds, i64::try_from(seconds).unwrap());
    }
    for text in ["", "0d", "90", "d", "-1d", "1.5d", "lifetime", "3653000000d", "9999999999999w"] {
        assert!(parse_length(text).is_err(), "{text}");
    }
    assert_eq!(parse_instant("2027-01-31T12:00:00Z").unwrap().seconds, 1_801_396_800);
    for text in ["", "2027-01-31", "90d"] {
        assert!(parse_instant(text).is_err(), "{text}");
    }
}

#[test]
fn a_column_says_a_time_in_few_characters() {
    let now = at("2026-11-23T12:00:00Z");
    let wire = |text: &str| parse_instant(text).unwrap();
    let (past, future) = (wire("2026-11-20T11:00:00Z"), wire("2026-12-05T12:00:00.9Z"));
    assert_eq!((day(&past), how_far(&past, now)), ("2026-11-20".into(), "3 days ago".into()));
    assert_eq!(short_expiry(Some(&past), now), "expired");
    assert_eq!(short_expiry(Some(&future), now), "in 12 days");
    assert_eq!(short_expiry(None, now), "lifetime");
    let nonsense = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
    assert_eq!((day(&nonsense), how_far(&nonsense, now)), ("invalid".into(), "invalid".into()));
}

#[test]
fn history_is_kept_for_a_day_at_least() {
    let day = Duration::from_secs(24 * 60 * 60);
    for (text, days) in [("1d", 1), ("24h", 1), ("365d", 365), ("2w", 14)] {
        assert_eq!(parse_retention(text).unwrap(), day * days, "{text}");
    }
    for text in ["", "d", "0d", "23h", "1", "1y", "-1d", "99999999999999999d"] {
        assert!(parse_retention(text).is_err(), "{text}");
    }
}
