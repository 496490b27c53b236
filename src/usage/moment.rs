//! A time in six bytes, for the list of all used keys.
//!
//! INVARIANT: a time is within 1970 and 9999, or [`NEVER`]: the clock reads as the
//! end of time when it does not tell the time, and a last use never goes back.

use std::collections::BTreeMap;

use crate::{clock::Timestamp, token::KeyId};

/// No time at all.
pub(super) const NEVER: i64 = 0;
/// 9999-12-31T23:59:59.999Z. Fits into 48 bits.
pub(super) const LATEST: i64 = 253_402_300_799_999;

/// When each used key was last used, in the order of ids, as lists ask. An entry is
/// 16 bytes without padding, with a node's free places some 20 to 40.
pub(super) type LastUsed = BTreeMap<KeyId, Moment>;

/// Milliseconds since the Unix epoch, or never.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment([u8; 6]);

impl Moment {
    /// A time in milliseconds; what is none becomes never.
    pub(super) fn new(millis: i64) -> Self {
        let [a, b, c, d, e, f, ..] = valid(millis).to_le_bytes();
        Self([a, b, c, d, e, f])
    }

    /// In milliseconds.
    pub(super) fn millis(self) -> i64 {
        let [a, b, c, d, e, f] = self.0;
        i64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }
}

/// `millis` if that is a time, or [`NEVER`].
pub(super) fn valid(millis: i64) -> i64 {
    if (1..=LATEST).contains(&millis) { millis } else { NEVER }
}

/// As the others know times.
pub(super) fn timestamp(millis: i64) -> Option<Timestamp> {
    (millis != NEVER).then_some(Timestamp(millis))
}
