//! The walk of a request: token → cache → state → policy → decision.
//!
//! INVARIANT: only `decide`, the end of the walk, can allow; "could not find
//! out" is an `Err`, never a decision. The clock is read and compared on every call.
//! Called by `grpc` and `gateway`; never calls the keyring.

mod decision;
mod question;
mod unread;

use std::sync::Arc;

pub(crate) use self::unread::log_unread;
pub use self::{
    decision::{Admission, Decision, Denied, Outcome, Reason},
    question::{Demand, Question},
};
use crate::{
    cache::Cache,
    clock::{Clock, Timestamp},
    digest::{Digester, Presented},
    metrics::{Api, Counted, DecisionMetrics, Timer},
    policy::{
        ActionId, Attributes, CurrentPolicy, Policy, Right, WhenConditional, service_or_default,
    },
    resolved_key::ResolvedKey,
    store::{Changed, Revision, Store, StoreError, find_presented},
    token::KeyId,
    usage::Usage,
};

/// How often an imported key is looked for while keys change.
const FIND_TRIES: usize = 16;

/// Decides what keys may do.
pub struct Authorizer {
    store: Arc<dyn Store>,
    policy: CurrentPolicy,
    cache: Arc<Cache<ResolvedKey>>,
    digester: Digester,
    clock: Clock,
    usage: Usage,
    metrics: Option<DecisionMetrics>,
}

/// What a request proved itself with, and when.
#[derive(Copy, Clone)]
struct Proof {
    secret_number: u32,
    at: Timestamp,
}

/// The key of a request or why it is denied everything, and the proof if it gave one.
type Proven = (Result<Arc<ResolvedKey>, Denied>, Option<Proof>);

impl Authorizer {
    /// An authorizer on `store`, with a cache of `cache_capacity` resolved keys. It
    /// records in `usage` how keys are used.
    pub fn new(
        store: Arc<dyn Store>,
        policy: CurrentPolicy,
        digester: Digester,
        usage: Usage,
        cache_capacity: u64,
        clock: Clock,
    ) -> Self {
        let cache = Arc::new(Cache::new(cache_capacity));
        let invalidated = Arc::downgrade(&cache);
        store.subscribe(Box::new(move |changed: &Changed<'_>| {
            if let Some(cache) = invalidated.upgrade() {
                cache.invalidate(changed.key_id);
            }
        }));
        Self { store, policy, cache, digester, usage, clock, metrics: None }
    }

    /// It fills `metrics`.
    pub fn with_metrics(mut self, metrics: DecisionMetrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Begins to decide for `api`: to be dropped when that is done.
    pub fn timer(&self, api: Api) -> Timer<'_> {
        self.metrics.as_ref().map_or_else(Timer::off, |metrics| metrics.times.start(api))
    }

    /// Counts a request that was answered without asking for a decision.
    pub fn count_undecided(&self, reason: Counted) {
        if let Some(metrics) = &self.metrics {
            metrics.counts.add_unproven(reason);
        }
    }

    /// Decides one question, and counts it for the key that has proven itself.
    ///
    /// # Errors
    /// [`StoreError`] when the key could not be read: nothing is decided.
    pub fn authorize(&self, question: &Question<'_>) -> Result<Decision, StoreError> {
        self.decided(question.key, Some(question.service), Some(question.action), |key| {
            decide(key, question.action, &question.attributes)
        })
    }

    /// Decides for a proxy whether a request may pass, and counts it for the key that has proven
    /// itself. `demand` is asked for only then: a request without a valid key costs no more. It is
    /// an `Err` for a request that is denied to every valid key.
    ///
    /// # Errors
    /// [`StoreError`] when the key could not be read: nothing is decided.
    pub fn admit<'a, 'd: 'a>(
        &self,
        key: &str,
        demand: impl FnOnce() -> Result<&'a Demand<'d>, Reason>,
    ) -> Result<Admission<'d>, StoreError> {
        let (mut denied, mut conditions) = (None, Vec::new());
        let decision = self.decided(key, None, None, |key| {
            let demand = match demand() {
                Ok(demand) => demand,
                Err(reason) => return (Outcome::Deny(reason), None),
            };
            let (mut outcome, mut id) = (Outcome::Deny(Reason::ActionUnknown), None);
            if key.service_name() != service_or_default(demand.service) {
                let first = demand.actions.first();
                let id = first.and_then(|action| key.action(action));
                return (Outcome::Deny(Reason::ServiceMismatch), id);
            }
            for &action in &demand.actions {
                (outcome, id) = decide(key, action, &Attributes::default());
                if let Outcome::Deny(Reason::ConditionUnmet(unmet)) = outcome
                    && demand.when_conditional == WhenConditional::Forward
                {
                    conditions.push(unmet);
                    outcome = Outcome::Allow;
                }
                if outcome != Outcome::Allow {
                    denied = Some(action);
                    break;
                }
            }
            (outcome, id)
        })?;
        Ok(Admission { decision, denied, conditions })
    }

    /// Has the key `id` resolved anew at its next use.
    pub fn forget(&self, id: KeyId) {
        self.cache.invalidate(id);
    }

    /// What `decide` says of the key that `text` proves, if that is valid now for `service`, or for
    /// its own; counted for the key. A denial before that is counted as one of `action`.
    fn decided(
        &self,
        text: &str,
        service: Option<&str>,
        action: Option<&str>,
        decide: impl FnOnce(&ResolvedKey) -> (Outcome, Option<ActionId>),
    ) -> Result<Decision, StoreError> {
        // Taken before anything is read: what is read is at least as new.
        let revision = self.store.revision();
        let proven = self.prove(text, service);
        let (proven, proof) = proven.inspect_err(|_| self.count_undecided(Counted::Unavailable))?;
        let ((outcome, action), key) = match proven {
            Ok(key) => (decide(&key), Some(key)),
            Err(Denied { reason, key }) => {
                let action = key.as_ref().zip(action).and_then(|(key, name)| key.action(name));
                ((Outcome::Deny(reason), action), key)
            }
        };
        match &key {
            Some(key) => key.count(action, outcome.into()),
            None => self.count_undecided(outcome.into()),
        }
        if let (Some(cell), Some(proof)) = (key.as_ref().and_then(|key| key.usage()), proof) {
            cell.record(proof.secret_number, proof.at, outcome == Outcome::Allow);
        }
        Ok(Decision { outcome, key, revision })
    }

    /// The key that `text` proves, if it is valid now for `service`; else why it
    /// is denied everything. A key that has proven itself was used, but neither
    /// allowed nor denied.
    ///
    /// # Errors
    /// [`StoreError`] when the key could not be read: nothing is decided.
    pub fn authenticate(
        &self,
        text: &str,
        service: &str,
    ) -> Result<Result<Arc<ResolvedKey>, Denied>, StoreError> {
        let (proven, proof) = self.prove(text, Some(service))?;
        let key = proven.as_ref().map_or_else(|denied| denied.key.as_ref(), Some);
        if let (Some(cell), Some(proof)) = (key.and_then(|key| key.usage()), proof) {
            cell.touch(proof.secret_number, proof.at);
        }
        Ok(proven)
    }

    fn prove(&self, text: &str, service: Option<&str>) -> Result<Proven, StoreError> {
        let unproven = |reason| Ok((Err(Denied { reason, key: None }), None));
        let Ok(presented) = self.digester.present(text) else {
            return unproven(Reason::KeyMalformed);
        };
        let now = self.clock.now();
        let found = match presented.id {
            Some(id) => Some(id),
            None => self.find(&presented)?,
        };
        let Some(id) = found else { return unproven(Reason::KeyUnknown) };
        let Some(key) = self.resolve(id)? else { return unproven(Reason::KeyUnknown) };
        let Some(secret) = key.proven_by(&presented.digests, now) else {
            return unproven(Reason::KeyUnknown);
        };
        self.digester.renew(id, secret, &presented);
        let proof = Proof { secret_number: secret.number, at: now };
        let proven = match check(&key, service, now) {
            None => Ok(key),
            Some(reason) => Err(Denied { reason, key: Some(key) }),
        };
        Ok((proven, Some(proof)))
    }

    /// Decides as [`Authorizer::authorize`] would for a text that proves the key
    /// `id`. Counts as no use of the key.
    ///
    /// # Errors
    /// [`StoreError`] when the key could not be read: nothing is decided.
    pub fn simulate(&self, id: KeyId, question: &Question<'_>) -> Result<Decision, StoreError> {
        let revision = self.store.revision();
        let Some(key) = self.resolve(id)? else {
            let outcome = Outcome::Deny(Reason::KeyUnknown);
            return Ok(Decision { outcome, key: None, revision });
        };
        let outcome = match check(&key, Some(question.service), self.clock.now()) {
            Some(reason) => Outcome::Deny(reason),
            None => decide(&key, question.action, &question.attributes).0,
        };
        Ok(Decision { outcome, key: Some(key), revision })
    }

    /// The policy that is decided by.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.get()
    }

    /// Decides by `policy` from now on: when this returns, every later decision does.
    pub fn replace_policy(&self, policy: Policy) {
        self.policy.replace(policy);
        // After it: a key that is resolved with the old one meanwhile is forgotten, too.
        self.cache.invalidate_all();
    }

    /// Whether keys can be read: tries it.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot: nothing can be decided.
    pub fn can_decide(&self) -> Result<(), StoreError> {
        self.store.get(KeyId::MIN).map(|_| ())
    }

    /// The newest revision.
    pub fn revision(&self) -> Revision {
        self.store.revision()
    }

    /// About how many resolved keys are cached.
    pub fn cached_keys(&self) -> u64 {
        self.cache.len()
    }

    /// The key that is presented. An imported key is looked for by several digests,
    /// one after the other: a change that made one into another meanwhile may have
    /// hidden it, and then it is looked for again.
    fn find(&self, presented: &Presented) -> Result<Option<KeyId>, StoreError> {
        for _ in 0..FIND_TRIES {
            let revision = self.store.revision();
            let found = find_presented(presented, &*self.store)?;
            if found.is_some() || self.store.revision() == revision {
                return Ok(found);
            }
        }
        Err(StoreError::Unavailable("keys change too fast to find an imported one; try again"))
    }

    fn resolve(&self, id: KeyId) -> Result<Option<Arc<ResolvedKey>>, StoreError> {
        let mut hit = true;
        let key = self.cache.get_or_load(id, || {
            hit = false;
            let Some(record) = self.store.get(id)? else { return Ok(None) };
            let cell = self.usage.cell(&record);
            // The same for both: numbers of actions are this policy's.
            let policy = self.policy.get();
            let counts = self
                .metrics
                .as_ref()
                .map(|metrics| metrics.counts.of(&policy, &record.service, &record.role));
            let key = ResolvedKey::new(record, &policy).with_usage(cell);
            Ok(Some(match counts {
                Some(counts) => key.with_counts(counts),
                None => key,
            }))
        });
        if let Some(metrics) = &self.metrics {
            metrics.cache.add(hit);
        }
        key
    }
}

/// Why a key that has proven itself is denied everything, if it is. Without a `service`, it is
/// asked about in its own.
fn check(key: &ResolvedKey, service: Option<&str>, now: Timestamp) -> Option<Reason> {
    if !key.is_active() {
        Some(Reason::KeyInactive)
    } else if key.is_expired(now) {
        Some(Reason::KeyExpired)
    } else if service.is_some_and(|service| key.service_name() != service_or_default(service)) {
        Some(Reason::ServiceMismatch)
    } else {
        None
    }
}

/// What a valid key may do, and the action if its service has it.
fn decide(
    key: &ResolvedKey,
    action: &str,
    attributes: &Attributes<'_>,
) -> (Outcome, Option<ActionId>) {
    let Some(action) = key.action(action) else {
        return (Outcome::Deny(Reason::ActionUnknown), None);
    };
    let outcome = match key.rights().right(action) {
        right if right.allows(attributes, key.subject()) => Outcome::Allow,
        Right::When(conditions) => Outcome::Deny(Reason::ConditionUnmet(conditions)),
        Right::Always | Right::Never => Outcome::Deny(Reason::ActionDenied),
    };
    (outcome, Some(action))
}

#[cfg(test)]
mod tests;
