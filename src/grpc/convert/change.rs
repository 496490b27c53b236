//! What is to become of keys, inwards.

use std::{collections::HashSet, time::Duration};

use tonic::Status;

use super::{MAX_BATCH, Violations, instant, invalid_argument, sorted, violation};
use crate::{
    change::FieldViolation,
    expiration::{Expiration, ExpirationError},
    keyring::{NewKey, Patch},
    pb::v1::{CreateApiKeyRequest, KeyStatus, UpdateApiKeyRequest},
};

const UPDATABLE: &str =
    "`name`, `role`, `grants`, `expire_time`, `status`, `description`, `labels`, `subject`";

pub(in crate::grpc) fn new_key(request: CreateApiKeyRequest) -> Result<NewKey, Status> {
    let mut found = Violations::default();
    let new = NewKey {
        inactive: found.check(request.status().is_inactive("status", request.status)),
        expires: found.check(expires(request.expire_time, &request.expiration)),
        name: request.name,
        service: request.service,
        role: request.role,
        team: request.team,
        grants: request.grants,
        subject: request.subject,
        description: request.description,
        labels: sorted(request.labels),
    };
    found.admit(new)
}

/// The fields that the mask of `request` names.
pub(in crate::grpc) fn patch(request: UpdateApiKeyRequest) -> Result<Patch, Status> {
    let paths = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
    let key = request.api_key.unwrap_or_default();
    if !request.expiration.is_empty() && !paths.iter().any(|path| path == "expire_time") {
        return Err(invalid_argument(&violation(
            "update_mask",
            "must name `expire_time` when `expiration` is given",
        )));
    }
    if paths.is_empty() {
        return Err(invalid_argument(&violation(
            "update_mask",
            format!("must name at least one of {UPDATABLE}"),
        )));
    }
    let mut found = Violations::default();
    let mut patch = Patch::default();
    for path in &paths {
        match path.as_str() {
            "name" => patch.name = Some(key.name.clone()),
            "role" => patch.role = Some(key.role.clone()),
            "grants" => patch.grants = Some(key.grants.clone()),
            "expire_time" => {
                patch.expires = Some(found.check(expires(key.expire_time, &request.expiration)));
            }
            "status" if key.status == KeyStatus::Unspecified as i32 => {
                found.add(violation("status", "must be ACTIVE or INACTIVE"));
            }
            "status" => {
                let inactive = found.check(key.status().is_inactive("status", key.status));
                patch.active = Some(!inactive);
            }
            "subject" => patch.subject = Some(key.subject.clone()),
            "description" => patch.description = Some(key.description.clone()),
            "labels" => patch.labels = Some(sorted(key.labels.clone())),
            other => {
                let shown: String = other.chars().filter(|c| !c.is_control()).take(64).collect();
                let problem = format!("`{shown}` cannot be changed; name {UPDATABLE}");
                found.add(violation("update_mask", problem));
            }
        }
    }
    found.admit(patch)
}

/// An expiration in either of its two forms; neither is lifetime.
pub(super) fn expires(
    time: Option<prost_types::Timestamp>,
    text: &str,
) -> Result<Expiration, FieldViolation> {
    match (time, text) {
        (None, "") => Ok(Expiration::Lifetime),
        (Some(time), "") => instant("expire_time", time).map(Expiration::At),
        (None, text) => text
            .parse()
            .map_err(|error: ExpirationError| violation("expiration", error.to_string())),
        (Some(_), _) => Err(violation("expiration", "give it or `expire_time`, not both")),
    }
}

/// Refuses a batch that is empty, too large, or names a key twice.
pub(in crate::grpc) fn check_batch(ids: &[String]) -> Result<(), Status> {
    let problem = if ids.is_empty() {
        "must name at least one key".to_owned()
    } else if ids.len() > MAX_BATCH {
        format!("names {} keys; at most {MAX_BATCH}: send several batches", ids.len())
    } else {
        let mut seen = HashSet::new();
        match ids.iter().find(|id| !seen.insert(*id)) {
            None => return Ok(()),
            Some(id) => format!("names `{}` twice", shown(id)),
        }
    };
    Err(invalid_argument(&violation("ids", problem)))
}

/// Text of a caller in a message to it.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// How long a secret that was replaced is still accepted.
pub(in crate::grpc) fn overlap(overlap: Option<prost_types::Duration>) -> Result<Duration, Status> {
    let overlap = overlap.map(duration).transpose();
    let negative = |NotDuration| invalid_argument(&violation("overlap", "must be 0 to 90 days"));
    Ok(overlap.map_err(negative)?.unwrap_or_default())
}

/// A wire duration is negative, or none.
#[derive(Debug)]
struct NotDuration;

/// A wire duration. (prost's own conversion panics on some.)
fn duration(wire: prost_types::Duration) -> Result<Duration, NotDuration> {
    let nanos = u32::try_from(wire.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    match (u64::try_from(wire.seconds), nanos) {
        (Ok(seconds), Some(nanos)) => Ok(Duration::new(seconds, nanos)),
        _ => Err(NotDuration),
    }
}
