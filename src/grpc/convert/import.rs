//! Keys to take over, inwards.

use tonic::Status;

use super::{MAX_BATCH, Violations, change::expires, instant, invalid_argument, sorted, violation};
use crate::{
    change::FieldViolation,
    digest::{Digest, Scheme},
    keyring::{ImportedKey, NewKey},
    pb::{
        self,
        v1::{ImportApiKeysRequest, imported_key::Digest as Given},
    },
};

/// Refuses a message of too many keys.
pub(in crate::grpc) fn check_import(message: &ImportApiKeysRequest) -> Result<(), Status> {
    let keys = message.keys.len();
    if keys <= MAX_BATCH {
        return Ok(());
    }
    let problem = format!("holds {keys} keys; at most {MAX_BATCH}: send several messages");
    Err(invalid_argument(&violation("keys", problem)))
}

/// A key to take over.
pub(in crate::grpc) fn imported_key(key: pb::v1::ImportedKey) -> Result<ImportedKey, Status> {
    let mut found = Violations::default();
    let digest = match &key.digest {
        Some(Given::Sha256(hex)) => digest("sha256", hex).map(|digest| (Scheme::Sha256, digest)),
        Some(Given::Blake3(hex)) => digest("blake3", hex).map(|digest| (Scheme::Blake3, digest)),
        None => Err(violation("digest", "give the `sha256` or `blake3` of the key's text")),
    };
    let (scheme, digest) = match digest {
        Ok(digest) => digest,
        Err(violation) => return Err(invalid_argument(&violation)),
    };
    let id = match key.id.as_str() {
        "" => Ok(None),
        id => id.parse().map(Some).map_err(|_| {
            violation("id", "must be the 10 characters after `octv_` in the key's text, or empty")
        }),
    };
    let mut time = |field, at: Option<prost_types::Timestamp>| {
        found.check(at.map(|at| instant(field, at)).transpose())
    };
    let created = time("create_time", key.create_time);
    let last_used = time("last_used_time", key.last_used_time);
    let new = NewKey {
        inactive: found.check(key.status().is_inactive("status", key.status)),
        expires: found.check(expires(key.expire_time, "")),
        name: key.name,
        service: key.service,
        role: key.role,
        team: key.team,
        grants: key.grants,
        subject: key.subject,
        description: key.description,
        labels: sorted(key.labels),
    };
    let id = found.check(id);
    found.admit(ImportedKey { new, scheme, digest, id, hint: key.hint, created, last_used })
}

/// A digest in hexadecimal digits.
fn digest(field: &'static str, hex: &str) -> Result<Digest, FieldViolation> {
    let wrong = || violation(field, "must be 64 hexadecimal digits");
    // Not what blake3 takes: it would accept uppercase only in parts.
    let hash = blake3::Hash::from_hex(hex.to_ascii_lowercase()).map_err(|_| wrong())?;
    Ok(Digest::from_bytes(*hash.as_bytes()))
}
