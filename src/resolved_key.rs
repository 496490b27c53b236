//! A key as decisions need it: its record, joined with the policy.
//!
//! INVARIANT: the product of one record and one policy, never changed. A role or
//! service that the policy does not have gives no right at all, nor does a grant
//! that the role does not take. The authorizer caches it; the keyring makes one
//! to compare powers.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    policy::{ActionId, Policy, Rights, Service},
    record::KeyRecord,
    token::{Digest, KeyId},
};

/// A key, ready to decide on.
#[derive(Clone, Debug)]
pub struct ResolvedKey {
    record: KeyRecord,
    service: Option<Arc<Service>>,
    rights: Rights,
}

impl ResolvedKey {
    /// Joins `record` with `policy`.
    pub fn new(record: KeyRecord, policy: &Policy) -> Self {
        let service = policy.service(&record.service).cloned();
        let rights = service
            .as_ref()
            .and_then(|service| service.rights(&record.role, &record.grants))
            .unwrap_or_default();
        Self { record, service, rights }
    }

    /// Whether the policy has its service and role.
    pub fn is_in_policy(&self) -> bool {
        self.service.as_ref().is_some_and(|service| service.role(&self.record.role).is_some())
    }

    /// The key's record.
    pub fn record(&self) -> &KeyRecord {
        &self.record
    }

    /// Its public id.
    pub fn id(&self) -> KeyId {
        self.record.id
    }

    /// Whether `digest` is that of one of its secrets that is accepted at `now`.
    /// Every secret is compared, in constant time.
    pub fn is_proven_by(&self, digest: &Digest, now: Timestamp) -> bool {
        self.record.is_proven_by(digest, now)
    }

    /// Whether it is switched on.
    pub fn is_active(&self) -> bool {
        self.record.active
    }

    /// Whether it has expired at `now`. The instant itself is too late.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.record.is_expired(now)
    }

    /// The service that it is good for.
    pub fn service_name(&self) -> &str {
        &self.record.service
    }

    /// The principal that `own` conditions compare with.
    pub fn subject(&self) -> &str {
        &self.record.subject
    }

    /// The service in the policy; `None` when that does not have it any more.
    pub fn service(&self) -> Option<&Arc<Service>> {
        self.service.as_ref()
    }

    /// The action of that name in its service.
    pub fn action(&self, name: &str) -> Option<ActionId> {
        self.service.as_ref()?.action(name)
    }

    /// What it may do: its role's rights and its grants.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }
}
