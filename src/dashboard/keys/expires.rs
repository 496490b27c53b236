//! The expiration of a key in a form: quick choices, a date, or lifetime.

use crate::{
    clock::Timestamp,
    dashboard::{Visitor, fields::Fields, time, time::Moment},
    expiration::{Expiration, ExpirationError},
    keyring::Powers,
};

/// What a form says of it, to be shown again.
#[derive(Clone, Debug)]
pub(in crate::dashboard) struct ExpirationChoice {
    /// One of the choices' values.
    pub(in crate::dashboard) chosen: String,
    /// What the date field holds.
    pub(in crate::dashboard) date: String,
    /// What it offers to stay at; `None`: it is of a new key.
    pub(in crate::dashboard) keeps: Option<String>,
}

/// When the visitor's own key expires: nobody gives a key a longer life than their own.
pub(in crate::dashboard) struct Limit {
    now: Timestamp,
    until: Option<Timestamp>,
}

impl Limit {
    pub(in crate::dashboard) fn of(visitor: &Visitor, now: Timestamp) -> Self {
        let until = match &visitor.powers {
            Powers::All => None,
            Powers::Of(key) => key.record().expires,
        };
        Self { now, until }
    }

    /// Whether the visitor may choose `value`.
    pub(in crate::dashboard) fn admits(&self, value: &str) -> bool {
        let Some(until) = self.until else { return true };
        let expiration = value.parse::<Expiration>().ok();
        let expires = expiration.and_then(|expiration| expiration.resolve(self.now).ok());
        expires.flatten().is_some_and(|expires| expires <= until)
    }

    /// The last day that the visitor may give, as a date field takes it; empty: any.
    pub(in crate::dashboard) fn last_day(&self) -> String {
        const DAY: i64 = 24 * 60 * 60 * 1_000;
        let Some(until) = self.until else { return String::new() };
        time::date(Timestamp(until.0 - until.0.rem_euclid(DAY) - 1))
    }

    /// Whether there is a day through which the visitor may have a key last.
    pub(in crate::dashboard) fn has_days(&self) -> bool {
        self.until.is_none() || self.last_day() >= time::date(self.now)
    }

    pub(in crate::dashboard) fn until(&self) -> Option<Moment> {
        self.until.map(|until| Moment::end(until, self.now))
    }
}

/// The quick ones: value and words.
const QUICK: [(&str, &str); 4] =
    [("30d", "30 days"), ("90d", "90 days"), ("180d", "180 days"), ("365d", "1 year")];

impl ExpirationChoice {
    /// What a new key's form offers first: the longest quick one up to 90 days that the visitor may
    /// give, or else as long as their own.
    pub(in crate::dashboard) fn first(limit: &Limit) -> Self {
        let quick = ["90d", "30d"].into_iter().find(|value| limit.admits(value));
        Self { chosen: quick.unwrap_or("own").to_owned(), date: String::new(), keeps: None }
    }

    /// To stay as it is, `expires`.
    pub(in crate::dashboard) fn keep(expires: Option<Timestamp>) -> Self {
        // The day through which it is valid: its last millisecond.
        let last = expires.map(|at| Timestamp(at.0.saturating_sub(1)));
        let date = last.map(time::date).unwrap_or_default();
        Self { chosen: "keep".to_owned(), keeps: Some(date.clone()), date }
    }

    /// What the form says; of a key that there is, `keeps` is the day that was offered.
    pub(in crate::dashboard) fn read(fields: &Fields, keeps: Option<String>) -> Self {
        let (chosen, date) = (fields.get("expires").to_owned(), fields.get("date").to_owned());
        Self { chosen, date, keeps }
    }

    /// What the date field holds as long as nobody has given a date.
    pub(in crate::dashboard) fn offered(&self) -> &str {
        self.keeps.as_deref().unwrap_or_default()
    }

    /// The expiration, for a visitor with this limit; `None` is as it was.
    ///
    /// # Errors
    /// What is wrong.
    pub(in crate::dashboard) fn expiration(
        &self,
        limit: &Limit,
    ) -> Result<Option<Expiration>, String> {
        let is_offered = self.keeps.as_ref().is_some_and(|offered| *offered == self.date);
        // Without scripts nothing ticks the box beside a date.
        if self.chosen != "date" && !self.date.is_empty() && !is_offered {
            return Err("there is an end date, and another choice is ticked: tick the end date, or clear it".to_owned());
        }
        let text = match self.chosen.as_str() {
            "keep" if self.keeps.is_some() => return Ok(None),
            "own" => {
                let until = limit.until.map(|until| Some(Expiration::At(until)));
                return until.ok_or("your own credential never ends: choose lifetime".to_owned());
            }
            "date" if self.date.is_empty() => return Err("give the end date".to_owned()),
            "date" => &self.date,
            "" => return Err("choose an end date, or lifetime".to_owned()),
            chosen => chosen,
        };
        text.parse().map(Some).map_err(|error: ExpirationError| error.to_string())
    }

    pub(in crate::dashboard) fn quick(&self) -> &'static [(&'static str, &'static str)] {
        &QUICK
    }

    pub(in crate::dashboard) fn is(&self, value: &str) -> bool {
        self.chosen == value
    }
}
