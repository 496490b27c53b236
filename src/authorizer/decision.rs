//! What the authorizer answers.

use std::sync::Arc;

use crate::{metrics::Counted, policy::ConditionSet, resolved_key::ResolvedKey, store::Revision};

/// One answer.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Allowed or not, and why not.
    pub outcome: Outcome,
    /// The key; `None` unless it has proven itself.
    pub key: Option<Arc<ResolvedKey>>,
    /// The decision knows of every change up to this one.
    pub revision: Revision,
}

/// A key that is denied everything.
#[derive(Clone, Debug)]
pub struct Denied {
    /// Why.
    pub reason: Reason,
    /// The key; `None` unless it has proven itself.
    pub key: Option<Arc<ResolvedKey>>,
}

/// What is decided.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The key may do it.
    Allow,
    /// It may not.
    Deny(Reason),
}

/// Why a request is denied. The checks are made in this order.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not the text of a key.
    KeyMalformed,
    /// Never existed, revoked, or a wrong secret.
    KeyUnknown,
    /// Switched off.
    KeyInactive,
    /// Past its expiration.
    KeyExpired,
    /// Good for another service.
    ServiceMismatch,
    /// The service has no such action.
    ActionUnknown,
    /// The key has no right to it.
    ActionDenied,
    /// It has, on conditions that the request does not meet; any would do.
    ConditionUnmet(ConditionSet),
    /// The request contradicts itself.
    RequestInvalid,
}

impl From<Outcome> for Counted {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Allow => Self::Allowed,
            Outcome::Deny(Reason::KeyMalformed) => Self::KeyMalformed,
            Outcome::Deny(Reason::KeyUnknown) => Self::KeyUnknown,
            Outcome::Deny(Reason::KeyInactive) => Self::KeyInactive,
            Outcome::Deny(Reason::KeyExpired) => Self::KeyExpired,
            Outcome::Deny(Reason::ServiceMismatch) => Self::ServiceMismatch,
            Outcome::Deny(Reason::ActionUnknown) => Self::ActionUnknown,
            Outcome::Deny(Reason::ActionDenied) => Self::ActionDenied,
            Outcome::Deny(Reason::ConditionUnmet(_)) => Self::ConditionUnmet,
            Outcome::Deny(Reason::RequestInvalid) => Self::RequestInvalid,
        }
    }
}

/// What is decided of a [`Demand`](super::Demand).
#[derive(Clone, Debug)]
pub struct Admission<'a> {
    /// Allowed or not, and why not.
    pub decision: Decision,
    /// The action that is denied; `None` where none is.
    pub denied: Option<&'a str>,
    /// Where it is allowed: what the service behind has to keep to, one of each set.
    pub conditions: Vec<ConditionSet>,
}
