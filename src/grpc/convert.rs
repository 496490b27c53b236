//! The border between wire types and ours.
//!
//! INVARIANT: what passes inwards is within its limits; what passes outwards
//! holds no secret. A reason that we do not know how to say is never an allow.

mod audit;
mod change;
mod import;
mod key;
mod list;
mod outcome;
mod question;
mod roles;
mod status;

use std::collections::{BTreeMap, HashMap};

pub use self::audit::verification;
pub(crate) use self::outcome::reason_name;
pub(super) use self::{
    audit::{audit_filter, audit_page, audit_page_request, audit_status, batch, expected},
    change::{check_batch, new_key, overlap, patch},
    import::{check_import, imported_key},
    key::{api_key, daily_usage, revoke_outcome, right_changes, secret, used_api_key},
    list::{page, page_request},
    outcome::{introspection, key_rights, reason, response},
    question::{check_len, correlation_id, question},
    roles::roles,
    status::{Violations, invalid_argument, oversize, status, unavailable, violation},
};
use crate::{change::FieldViolation, clock::Timestamp, pb::v1::KeyStatus};

/// The most keys in one request.
const MAX_BATCH: usize = 1000;

impl KeyStatus {
    /// A number that is no status reads as `Unspecified`: it is refused, not
    /// taken for ACTIVE.
    fn is_inactive(self, field: &'static str, number: i32) -> Result<bool, FieldViolation> {
        match self {
            Self::Unspecified if number != 0 => {
                Err(violation(field, format!("{number} is no status: give ACTIVE or INACTIVE")))
            }
            Self::Unspecified | Self::Active => Ok(false),
            Self::Inactive => Ok(true),
        }
    }
}

fn sorted(labels: HashMap<String, String>) -> BTreeMap<String, String> {
    labels.into_iter().collect()
}

pub(super) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    // A remainder of 1000 milliseconds is within an i32 of nanoseconds.
    let nanos = i32::try_from(at.0.rem_euclid(1000) * 1_000_000).unwrap_or_default();
    prost_types::Timestamp { seconds: at.0.div_euclid(1000), nanos }
}

/// The instant of a wire timestamp, to the millisecond below.
fn instant(field: &'static str, at: prost_types::Timestamp) -> Result<Timestamp, FieldViolation> {
    let millis =
        at.seconds.checked_mul(1000).and_then(|ms| ms.checked_add(i64::from(at.nanos / 1_000_000)));
    let in_range = (0..1_000_000_000).contains(&at.nanos);
    millis
        .filter(|_| in_range)
        .map(Timestamp)
        .ok_or_else(|| violation(field, "is not a valid timestamp"))
}

/// Bytes as lowercase hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
