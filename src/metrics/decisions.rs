//! How many decisions there were, by service, role, the action's resource and reason.
//!
//! INVARIANT: a decision costs one relaxed addition and no lock; a key that is resolved reads the
//! table without one. There is a row for each resource of each role that a policy has or had, and
//! [`OTHER`] for all else: what callers send or keys say makes no row. Rows are found by name, so
//! they outlive a policy, and no two have the same labels. Filled by the authorizer.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use arc_swap::ArcSwap;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, exemplar::Exemplar},
};

use super::sharded::Sharded;
use crate::policy::{ActionId, Policy, Service};

/// Stands for every service, role or resource that the policy does not have.
pub const OTHER: &str = "other";
/// Stands for service, role and resource where no key was proven.
pub const NONE: &str = "none";

/// So many rows are made at most, for all policies since the start: 2 KiB each at 16 processors.
const MAX_ROWS: usize = 4096;
/// Policies that keys can be resolved with at once: the one in force, and the one before.
const POLICIES: usize = 2;

/// Why a decision was made as it was, as it is counted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in the protocol's DecisionReason")]
pub enum Counted {
    Allowed,
    KeyMalformed,
    KeyUnknown,
    KeyInactive,
    KeyExpired,
    ServiceMismatch,
    ActionUnknown,
    ActionDenied,
    ConditionUnmet,
    RequestInvalid,
    Unavailable,
}

/// The reasons' names, in the order of [`Counted`].
const REASONS: [&str; 11] = [
    "ALLOWED",
    "KEY_MALFORMED",
    "KEY_UNKNOWN",
    "KEY_INACTIVE",
    "KEY_EXPIRED",
    "SERVICE_MISMATCH",
    "ACTION_UNKNOWN",
    "ACTION_DENIED",
    "CONDITION_UNMET",
    "REQUEST_INVALID",
    "UNAVAILABLE",
];

impl Counted {
    /// As it is counted under, the protocol's name without the prefix of its enum.
    pub fn name(self) -> &'static str {
        REASONS.get(self as usize).copied().unwrap_or_default()
    }
}

/// Those that there are without a key: shown from the start, so that a first one is seen to rise.
const UNPROVEN: [Counted; 4] =
    [Counted::KeyMalformed, Counted::KeyUnknown, Counted::RequestInvalid, Counted::Unavailable];

/// Counters of one service, role and resource, by reason.
type Row = Sharded<{ REASONS.len() }>;

/// The counters of all decisions. Clones are the same.
#[derive(Clone, Debug)]
pub struct DecisionCounts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    table: ArcSwap<Table>,
    /// The row of [`NONE`].
    unproven: Row,
}

#[derive(Clone, Debug, Default)]
struct Table {
    /// By service, role and resource.
    rows: BTreeMap<[Box<str>; 3], Row>,
    policies: Vec<Arc<PolicyCounts>>,
}

/// Where the decisions of one policy are counted.
#[derive(Debug)]
struct PolicyCounts {
    digest: [u8; 32],
    services: HashMap<Box<str>, HashMap<Box<str>, Arc<RoleCounts>>>,
    other: Arc<RoleCounts>,
}

/// The counters of one role of a service, for the keys that have it.
#[derive(Debug)]
pub struct RoleCounts {
    /// By action of the service.
    by_action: Box<[Row]>,
    other: Row,
}

impl Default for DecisionCounts {
    fn default() -> Self {
        let mut table = Table::default();
        let unproven = table.row([NONE; 3]);
        Self(Arc::new(Shared { table: ArcSwap::from_pointee(table), unproven }))
    }
}

impl DecisionCounts {
    /// The counters for keys of `role` in `service`, resolved with `policy`.
    pub fn of(&self, policy: &Policy, service: &str, role: &str) -> Arc<RoleCounts> {
        let known = self.0.table.load().policy(policy).cloned();
        let known = known.unwrap_or_else(|| self.prepare(policy));
        Arc::clone(known.role(service, role))
    }

    /// Counts a decision about what proved no key.
    #[inline]
    pub fn add_unproven(&self, reason: Counted) {
        self.0.unproven.add(reason as usize);
    }

    /// How many decisions there were of this service, role, resource and reason.
    pub fn count(&self, labels: [&str; 3], reason: Counted) -> u64 {
        let row = self.0.table.load().rows.get(&labels.map(Box::from)).cloned();
        row.map_or(0, |row| row.sum(reason as usize))
    }

    /// Makes the rows of `policy`. Two threads may do so at once; one of them wins.
    fn prepare(&self, policy: &Policy) -> Arc<PolicyCounts> {
        loop {
            let before = self.0.table.load();
            if let Some(known) = before.policy(policy) {
                return Arc::clone(known);
            }
            let mut after = Table::clone(&before);
            let made = Arc::new(after.compile(policy));
            after.policies.truncate(POLICIES - 1);
            after.policies.insert(0, Arc::clone(&made));
            let seen = self.0.table.compare_and_swap(&*before, Arc::new(after));
            if Arc::ptr_eq(&seen, &before) {
                return made;
            }
        }
    }
}

impl Table {
    fn policy(&self, policy: &Policy) -> Option<&Arc<PolicyCounts>> {
        self.policies.iter().find(|known| known.digest == *policy.digest())
    }

    fn compile(&mut self, policy: &Policy) -> PolicyCounts {
        let services = policy.services().map(|service| {
            let roles = service.roles().iter().map(|role| role.name()).chain([OTHER]);
            let roles = roles.map(|role| (role.into(), Arc::new(self.role(service, role))));
            (service.name().into(), roles.collect())
        });
        let services = services.collect();
        let other = RoleCounts { by_action: Box::default(), other: self.row([OTHER; 3]) };
        PolicyCounts { digest: *policy.digest(), services, other: Arc::new(other) }
    }

    fn role(&mut self, service: &Service, role: &str) -> RoleCounts {
        let actions = service.actions().iter().map(|action| {
            let resource = action.name().split_once('.').map_or(OTHER, |(resource, _)| resource);
            self.row([service.name(), role, resource])
        });
        let by_action = actions.collect();
        RoleCounts { by_action, other: self.row([service.name(), role, OTHER]) }
    }

    fn row(&mut self, labels: [&str; 3]) -> Row {
        let full = self.rows.len() >= MAX_ROWS;
        let labels = labels.map(Box::from);
        let labels = if full && !self.rows.contains_key(&labels) {
            [OTHER; 3].map(Box::from)
        } else {
            labels
        };
        self.rows.entry(labels).or_default().clone()
    }
}

impl PolicyCounts {
    fn role(&self, service: &str, role: &str) -> &Arc<RoleCounts> {
        let roles = self.services.get(service);
        roles.and_then(|roles| roles.get(role).or_else(|| roles.get(OTHER))).unwrap_or(&self.other)
    }
}

impl RoleCounts {
    /// Counts a decision about `action` of the service; `None` is one that it does not have.
    #[inline]
    pub fn add(&self, action: Option<ActionId>, reason: Counted) {
        let row = action.and_then(|action| self.by_action.get(action.index()));
        row.unwrap_or(&self.other).add(reason as usize);
    }
}

impl EncodeMetric for DecisionCounts {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for ([service, role, resource], row) in &self.0.table.load().rows {
            let unproven = [service, role, resource].iter().all(|label| &***label == NONE);
            for (number, reason) in REASONS.iter().enumerate() {
                let count = row.sum(number);
                let shown = unproven && UNPROVEN.iter().any(|known| *known as usize == number);
                if count == 0 && !shown {
                    continue;
                }
                let labels = [
                    ("service", &**service),
                    ("role", role),
                    ("resource", resource),
                    ("reason", reason),
                ];
                let none: Option<&Exemplar<[(&str, &str); 0], f64>> = None;
                encoder.encode_family(&labels)?.encode_counter(&count, none)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

#[cfg(test)]
mod tests;
