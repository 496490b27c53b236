//! When a key was last used, in words.
//!
//! INVARIANT: "never" is said only of what was watched from its start: of a use
//! that nobody watched, nothing is known. Called by `show`.

use jiff::Timestamp;

use super::super::{
    output::counted,
    time::{day, how_far, stamp, stamp_and_distance},
};
use crate::pb::v1;

/// For a column: `3 days ago`, `never`, `not since 2026-11-01`.
pub(super) fn in_short(key: &v1::ApiKey, now: Timestamp) -> String {
    if let Some(used) = &key.last_used_time {
        return how_far(used, now);
    }
    match &key.usage_since_time {
        None => "unknown".to_owned(),
        // An imported key has not been used here, which is all that can be known.
        since if *since == key.create_time || *since == key.import_time => "never".to_owned(),
        Some(since) => format!("not since {}", day(since)),
    }
}

/// For a line: the exact instant and its distance, or what is known instead.
pub(super) fn of_key(key: &v1::ApiKey, now: Timestamp) -> String {
    if let Some(used) = &key.last_used_time {
        return stamp_and_distance(used, now);
    }
    match &key.usage_since_time {
        None => "not known".to_owned(),
        Some(since) if key.import_time.as_ref() == Some(since) => format!(
            "never used here since it was imported at {} (before that it is not known)",
            stamp(since)
        ),
        since if *since == key.create_time => "never used".to_owned(),
        Some(since) => {
            format!("not used since {} (before that it was not tracked)", stamp(since))
        }
    }
}

/// The same of one of its secrets, as part of a line.
pub(super) fn of_secret(key: &v1::ApiKey, secret: &v1::KeySecret, now: Timestamp) -> String {
    if let Some(used) = &secret.last_used_time {
        return format!("last used {}", stamp_and_distance(used, now));
    }
    let instant = |time: &prost_types::Timestamp| (time.seconds, time.nanos);
    let made = secret.create_time.as_ref().map(instant);
    // The first secret of an imported key is older than what is known of it.
    let foreign = secret.number <= 1 && key.import_time.is_some();
    match &key.usage_since_time {
        None => "last use not known".to_owned(),
        Some(since) if !foreign && made >= Some(instant(since)) => "never used".to_owned(),
        Some(since) => format!("not used since {}", stamp(since)),
    }
}

/// How many requests were counted: `12 allowed, 3 denied since …`.
pub(super) fn requests(key: &v1::ApiKey) -> String {
    let total = key.allowed_count.saturating_add(key.denied_count);
    let counts = match total {
        0 => counted(0, "request"),
        _ => format!("{} allowed, {} denied", key.allowed_count, key.denied_count),
    };
    match &key.usage_since_time {
        None => "not known".to_owned(),
        Some(since) => format!("{counts} since {}", stamp(since)),
    }
}
