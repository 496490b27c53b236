//! Times of the past as typed: the ends of a period.
//!
//! INVARIANT: a date as an end takes the whole day in, on either side. Used by
//! `filter`.

use std::{str::FromStr, time::Duration};

use anyhow::{Context as _, bail};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::super::time::{WHEN_UNITS, parse_amount, to_wire};
use crate::expiration::is_date;

/// The first instant of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct From(pub Moment);

/// The instant from which a period is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until(pub Moment);

/// An instant, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This.
    At(Timestamp),
    /// So long before now.
    Ago(Duration),
}

impl FromStr for From {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<From> {
        parse(text, Ok).map(From)
    }
}

impl FromStr for Until {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Until> {
        parse(text, |date| date.tomorrow().context("the day is too far away")).map(Until)
    }
}

fn parse(text: &str, midnight: impl Fn(Date) -> anyhow::Result<Date>) -> anyhow::Result<Moment> {
    if is_date(text) {
        let date: Date = text.parse().context("there is no such day")?;
        let start = midnight(date)?.at(0, 0, 0, 0).to_zoned_datetime(TimeZone::UTC);
        return Ok(Moment::At(start.context("the day is too far away")?.timestamp()));
    }
    if let Some(milliseconds) = parse_amount(text, &WHEN_UNITS) {
        return Ok(Moment::Ago(Duration::from_millis(milliseconds?)));
    }
    if let Ok(instant) = text.parse() {
        return Ok(Moment::At(instant));
    }
    bail!(
        "write an instant `2027-01-31T12:00:00Z`, a date `2027-01-31` (UTC), or how long ago: \
         `30m`, `12h`, `90d` or `2w`"
    )
}

impl Moment {
    /// The wire's time, seen from `now`.
    ///
    /// # Errors
    /// It lies too far back.
    pub(super) fn instant(self, now: Timestamp) -> anyhow::Result<prost_types::Timestamp> {
        let instant = match self {
            Moment::At(instant) => instant,
            Moment::Ago(length) => {
                now.checked_sub(length).context("that is too long ago; write a date")?
            }
        };
        Ok(to_wire(instant))
    }
}
