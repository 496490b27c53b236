//! How one key was used, summed up over all time, and its stored form.
//!
//! INVARIANT: merging only raises: a last use never goes back, a count never goes
//! down; counts of a day go only with the day. Equal totals have equal bytes. Used
//! by `ledger` and `rows`.

use super::{
    KeyUsage,
    cell::Deltas,
    days::Days,
    moment::{NEVER, timestamp, valid},
};
use crate::pb::storage::{SecretUsage, StoredUsage};

/// The totals of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// In milliseconds, or [`NEVER`].
    pub(super) last_used: i64,
    allowed: u64,
    denied: u64,
    /// Number and last use in milliseconds; newest number first.
    secrets: Vec<(u32, i64)>,
    days: Days,
}

impl Totals {
    /// Takes in what a cell had to tell, as of `today` (`None`: that is not known).
    /// Gives whether anything has changed.
    pub(super) fn merge(&mut self, deltas: &Deltas, today: Option<u32>) -> bool {
        let mut changed = deltas.allowed != 0 || deltas.denied != 0;
        if let Some(today) = today.filter(|_| changed) {
            self.days.add(today, deltas.allowed, deltas.denied);
        }
        self.allowed = self.allowed.saturating_add(deltas.allowed);
        self.denied = self.denied.saturating_add(deltas.denied);
        changed |= self.use_at(deltas.other);
        for (number, used) in deltas.secrets.into_iter().filter(|(_, used)| *used != NEVER) {
            changed |= self.use_secret_at(number, used);
        }
        // An older record than the key's may have reported: what is newer than its
        // newest secret it does not know of.
        let newest = deltas.secrets.into_iter().map(|(number, _)| number).max().unwrap_or(0);
        let is_secret = |number| deltas.secrets.into_iter().any(|(known, _)| known == number);
        changed | self.drop_secrets(|number| number > newest || is_secret(number))
    }

    /// It was used at `millis`. Gives whether that is news.
    pub(super) fn use_at(&mut self, millis: i64) -> bool {
        let later = millis > self.last_used;
        self.last_used = self.last_used.max(millis);
        later
    }

    /// Only these secrets are the key's. Gives whether any was dropped.
    fn drop_secrets(&mut self, is_secret: impl Fn(u32) -> bool) -> bool {
        let before = self.secrets.len();
        self.secrets.retain(|(number, _)| is_secret(*number));
        self.secrets.len() != before
    }

    fn use_secret_at(&mut self, number: u32, millis: i64) -> bool {
        let later = match self.secrets.iter_mut().find(|secret| secret.0 == number) {
            Some((_, used)) if millis <= *used => false,
            Some((_, used)) => {
                *used = millis;
                true
            }
            None => {
                self.secrets.push((number, millis));
                self.secrets.sort_unstable_by(|one, other| other.cmp(one));
                true
            }
        };
        self.use_at(millis) | later
    }

    /// As readers get it.
    pub(super) fn shown(&self) -> KeyUsage {
        let secrets = self.secrets.iter();
        KeyUsage {
            last_used: timestamp(self.last_used),
            allowed: self.allowed,
            denied: self.denied,
            secrets: secrets.filter_map(|(number, at)| Some((*number, timestamp(*at)?))).collect(),
            days: self.days.shown(),
        }
    }

    /// The message that is stored.
    pub(super) fn to_stored(&self) -> StoredUsage {
        let secrets = self.secrets.iter();
        let (newest_day, (allowed_by_day, denied_by_day)) = self.days.to_stored();
        StoredUsage {
            last_used_ms: self.last_used,
            allowed: self.allowed,
            denied: self.denied,
            secrets: secrets
                .map(|(number, last_used_ms)| SecretUsage {
                    number: *number,
                    last_used_ms: *last_used_ms,
                })
                .collect(),
            newest_day,
            allowed_by_day,
            denied_by_day,
        }
    }

    /// Reads a stored message. Times that are none are dropped.
    pub(super) fn from_stored(stored: &StoredUsage) -> Self {
        let mut totals = Self {
            last_used: valid(stored.last_used_ms),
            allowed: stored.allowed,
            denied: stored.denied,
            secrets: Vec::new(),
            days: Days::from_stored(stored),
        };
        for secret in stored.secrets.iter().filter(|secret| valid(secret.last_used_ms) != NEVER) {
            totals.use_secret_at(secret.number, secret.last_used_ms);
        }
        totals
    }
}
