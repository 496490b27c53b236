//! Times as pages show them: how long ago or ahead, and the exact instant, UTC.

use askama::{Template, filters::HtmlSafe};
use jiff::tz::TimeZone;

use crate::clock::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// An instant, in both forms. In a page it is an element of its own.
#[derive(Clone, Debug, Template)]
#[template(
    ext = "html",
    source = r#"<time datetime="{{ machine }}" title="{{ exact }}">{{ relative }}</time>"#
)]
pub(super) struct Moment {
    /// `3 minutes ago`, `in 2 days`.
    pub(super) relative: String,
    /// `24 Nov 2026, 03:05:06 UTC`.
    pub(super) exact: String,
    /// For programs: RFC 3339.
    pub(super) machine: String,
}

impl HtmlSafe for Moment {}

impl Moment {
    /// `at`, seen from `now`.
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { relative: relative(at, now), exact: exact(at), machine: at.to_string() }
    }

    /// The end of something at `at`, seen from `now`.
    pub(super) fn end(at: Timestamp, now: Timestamp) -> Self {
        Self { exact: end(at), ..Self::new(at, now) }
    }
}

/// The day of `at`, as a date field takes it.
pub(super) fn date(at: Timestamp) -> String {
    formatted(at, "%Y-%m-%d")
}

/// `24 Nov 2026, 03:05:06 UTC`.
pub(super) fn exact(at: Timestamp) -> String {
    formatted(at, "%-d %b %Y, %H:%M:%S UTC")
}

/// An end, from which on something is not any more: `24 Nov 2026, 12:00:00 UTC`, or `through 24 Nov
/// 2026, UTC` where that day was meant.
pub(super) fn end(at: Timestamp) -> String {
    if at.0.rem_euclid(DAY * 1_000) != 0 {
        return exact(at);
    }
    formatted(Timestamp(at.0.saturating_sub(1)), "through %-d %b %Y, UTC")
}

/// `24 Nov`.
pub(super) fn short_day(at: Timestamp) -> String {
    formatted(at, "%-d %b")
}

fn formatted(at: Timestamp, format: &str) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(instant) => TimeZone::UTC.to_datetime(instant).strftime(format).to_string(),
        Err(_) => at.to_string(),
    }
}

fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.0.saturating_sub(now.0) / 1_000;
    let length = seconds.saturating_abs();
    let (number, unit) = match length {
        ..MINUTE => return if seconds > 0 { "in a moment" } else { "just now" }.to_owned(),
        MINUTE..HOUR => (length / MINUTE, "minute"),
        HOUR..DAY => (length / HOUR, "hour"),
        _ if length < 60 * DAY => (length / DAY, "day"),
        _ if length < 730 * DAY => (length / (30 * DAY), "month"),
        _ => (length / (365 * DAY), "year"),
    };
    let s = if number == 1 { "" } else { "s" };
    if seconds > 0 { format!("in {number} {unit}{s}") } else { format!("{number} {unit}{s} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_in_the_largest_unit_that_fits() {
        let now = Timestamp(1_800_000_000_000);
        let told = |seconds: i64| relative(Timestamp(now.0 + seconds * 1_000), now);
        assert_eq!(told(0), "just now");
        assert_eq!(told(-59), "just now");
        assert_eq!(told(59), "in a moment");
        assert_eq!(told(-60), "1 minute ago");
        assert_eq!(told(-3 * HOUR), "3 hours ago");
        assert_eq!(told(DAY), "in 1 day");
        assert_eq!(told(-59 * DAY), "59 days ago");
        assert_eq!(told(90 * DAY), "in 3 months");
        assert_eq!(told(-800 * DAY), "2 years ago");
    }

    #[test]
    fn the_exact_instant_is_in_utc_and_what_is_no_date_is_its_number() {
        assert_eq!(exact(Timestamp(0)), "1 Jan 1970, 00:00:00 UTC");
        assert_eq!(end(Timestamp(0)), "through 31 Dec 1969, UTC");
        assert_eq!(end(Timestamp(1)), "1 Jan 1970, 00:00:00 UTC");
        assert_eq!(date(Timestamp(1_800_000_000_000)), "2027-01-15");
        assert_eq!(exact(Timestamp(i64::MAX)), i64::MAX.to_string());
    }
}
