//! The expiration of a key in a form: quick choices, a date, or lifetime.

use crate::{
    dashboard::{fields::Fields, time},
    expiration::Expiration,
};

/// What a form says of it, to be shown again.
#[derive(Clone, Debug)]
pub(in crate::dashboard) struct ExpirationChoice {
    /// One of the choices' values.
    pub(in crate::dashboard) chosen: String,
    /// What the date field holds.
    pub(in crate::dashboard) date: String,
    /// It may also stay as it is.
    pub(in crate::dashboard) keeps: bool,
}

/// The quick ones: value and words.
const QUICK: [(&str, &str); 4] =
    [("30d", "30 days"), ("90d", "90 days"), ("180d", "180 days"), ("365d", "1 year")];

impl ExpirationChoice {
    /// What a new key's form offers first.
    pub(in crate::dashboard) fn first() -> Self {
        Self { chosen: "90d".to_owned(), date: String::new(), keeps: false }
    }

    /// To stay as it is, `expires`.
    pub(in crate::dashboard) fn keep(expires: Option<crate::clock::Timestamp>) -> Self {
        // The day through which it is valid: its last millisecond.
        let last = expires.map(|at| crate::clock::Timestamp(at.0.saturating_sub(1)));
        let date = last.map(time::date).unwrap_or_default();
        Self { chosen: "keep".to_owned(), date, keeps: true }
    }

    pub(in crate::dashboard) fn read(fields: &Fields, keeps: bool) -> Self {
        let (chosen, date) = (fields.get("expires").to_owned(), fields.get("date").to_owned());
        Self { chosen, date, keeps }
    }

    /// The expiration; `None` is as it was.
    ///
    /// # Errors
    /// What is wrong.
    pub(in crate::dashboard) fn expiration(&self) -> Result<Option<Expiration>, String> {
        let text = match self.chosen.as_str() {
            "keep" if self.keeps => return Ok(None),
            "date" if self.date.is_empty() => return Err("give the end date".to_owned()),
            "date" => &self.date,
            "" => return Err("choose an end date, or lifetime".to_owned()),
            chosen => chosen,
        };
        text.parse()
            .map(Some)
            .map_err(|error: crate::expiration::ExpirationError| error.to_string())
    }

    pub(in crate::dashboard) fn quick(&self) -> &'static [(&'static str, &'static str)] {
        &QUICK
    }

    pub(in crate::dashboard) fn is(&self, value: &str) -> bool {
        self.chosen == value
    }
}
