//! A key as decisions need it: its record, joined with the policy.
//!
//! INVARIANT: the product of one record and one policy, never changed. A role or
//! service that the policy does not have gives no right at all, nor does a grant
//! that the role does not take. The authorizer caches it; the keyring makes one
//! to compare powers.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    digest::Digests,
    metrics::{Counted, RoleCounts},
    policy::{ActionId, Policy, Rights, Service},
    record::{KeyRecord, SecretRecord},
    token::KeyId,
    usage::Cell,
};

/// A key, ready to decide on.
#[derive(Clone, Debug)]
pub struct ResolvedKey {
    record: KeyRecord,
    service: Option<Arc<Service>>,
    rights: Rights,
    usage: Option<Arc<Cell>>,
    counts: Option<Arc<RoleCounts>>,
}

impl ResolvedKey {
    /// Joins `record` with `policy`.
    pub fn new(record: KeyRecord, policy: &Policy) -> Self {
        let service = policy.service(&record.service).cloned();
        let rights = policy.rights(&record).unwrap_or_default();
        Self { record, service, rights, usage: None, counts: None }
    }

    /// Its use is recorded with `cell`.
    pub fn with_usage(mut self, cell: Arc<Cell>) -> Self {
        self.usage = Some(cell);
        self
    }

    /// What its use is recorded with; `None`: it is not.
    pub fn usage(&self) -> Option<&Arc<Cell>> {
        self.usage.as_ref()
    }

    /// Decisions about it are counted with `counts`.
    pub fn with_counts(mut self, counts: Arc<RoleCounts>) -> Self {
        self.counts = Some(counts);
        self
    }

    /// Counts a decision about `action`, if they are counted.
    #[inline]
    pub fn count(&self, action: Option<ActionId>, reason: Counted) {
        if let Some(counts) = &self.counts {
            counts.add(action, reason);
        }
    }

    /// The key's record.
    pub fn record(&self) -> &KeyRecord {
        &self.record
    }

    /// Its public id.
    pub fn id(&self) -> KeyId {
        self.record.id
    }

    /// Which of its secrets, accepted at `now`, one of `digests` proves. Every
    /// secret is compared, in constant time.
    pub fn proven_by(&self, digests: &Digests, now: Timestamp) -> Option<&SecretRecord> {
        self.record.proven_by(digests, now)
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

    /// Whether it was joined with `policy`.
    pub fn is_of(&self, policy: &Policy) -> bool {
        match (&self.service, policy.service(self.service_name())) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (None, None) => true,
            _ => false,
        }
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
