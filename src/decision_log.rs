//! What was decided, as events of the log: every denial, and a sample of the allows, in one shape for
//! all APIs. Asked by `grpc` and `authzen` after each decision.
//!
//! INVARIANT: an allow that is not logged costs a comparison, and a random number where allows are
//! sampled: nothing is put together for it. No event holds a secret, whoever sent it as what. A client
//! without a key cannot make more than a bounded number of lines; those of valid keys are not bounded
//! here but by the queue of the log.

mod entry;
mod event;

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use opentelemetry::KeyValue;

pub use self::entry::{Call, Decided, Http};
use crate::{
    authorizer::Outcome,
    metrics::Counted,
    policy::{CurrentPolicy, Policy, service_or_default},
    telemetry::{Noted, Ratio},
};

/// Denials without a valid key that are logged at once.
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(9_999);
/// So many more of them are a second.
const PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(999);

/// What a span calls a service or an action that the policy does not have.
const OTHER: &str = "other";

/// Writes what was decided. Clones are the same.
#[derive(Clone, Debug)]
pub struct DecisionLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    allows: Ratio,
    policy: CurrentPolicy,
    traced: bool,
    unproven: DefaultDirectRateLimiter,
    /// Denials without a valid key that got no line since the last that did.
    unlogged: AtomicU64,
}

impl DecisionLog {
    /// Logs a share `allows` of what is allowed. What is decided within spans is noted on them if
    /// calls are `traced`.
    pub fn new(allows: Ratio, policy: CurrentPolicy, traced: bool) -> Self {
        let quota = Quota::per_second(PER_SECOND).allow_burst(BURST);
        let unproven = RateLimiter::direct(quota);
        Self(Arc::new(Shared { allows, policy, traced, unproven, unlogged: AtomicU64::new(0) }))
    }

    /// Logs `decided`, which `call` asked for, if it is to be logged.
    #[inline]
    pub fn write(&self, call: &Call<'_>, decided: &Decided<'_>) {
        let log = &*self.0;
        if log.traced
            && let Some(noted) = call.extensions.get::<Noted>()
        {
            let allowed = decided.outcome == Some(Outcome::Allow);
            noted.note(allowed, || attributes(decided, &log.policy.get()));
        }
        match decided.outcome {
            Some(Outcome::Allow) => {
                if log.allows.pick() {
                    log.allowed(call, decided);
                }
            }
            Some(Outcome::Deny(_)) | None => log.denied(call, decided),
        }
    }
}

impl Shared {
    #[cold]
    fn allowed(&self, call: &Call<'_>, decided: &Decided<'_>) {
        if event::wanted() {
            event::write_anybody(
                call,
                decided,
                self.policy.get().digest(),
                None,
                Some(self.allows),
            );
        }
    }

    fn denied(&self, call: &Call<'_>, decided: &Decided<'_>) {
        if !event::wanted() {
            return;
        }
        let policy = self.policy.get();
        if decided.key.is_some() {
            return event::write_denial(call, decided, policy.digest());
        }
        if self.unproven.check().is_err() {
            self.unlogged.fetch_add(1, Relaxed);
            return;
        }
        let unlogged = Some(self.unlogged.swap(0, Relaxed)).filter(|unlogged| *unlogged > 0);
        event::write_anybody(call, decided, policy.digest(), unlogged, None);
    }
}

/// The name of the reason, which stands for an outcome.
fn reason(outcome: Option<Outcome>) -> &'static str {
    outcome.map_or(Counted::Unavailable, Counted::from).name()
}

/// What a span says of a decision. Names are those of `policy` and of the key; for what only the
/// client says, it says [`OTHER`].
fn attributes(decided: &Decided<'_>, policy: &Policy) -> Vec<KeyValue> {
    let allowed = decided.outcome == Some(Outcome::Allow);
    let mut attributes = vec![
        KeyValue::new("octavia.allowed", allowed),
        KeyValue::new("octavia.reason", reason(decided.outcome)),
    ];
    if let Some(key) = decided.key {
        let record = key.record();
        let service = policy.service(service_or_default(decided.service));
        let has = |action: &str| service.is_some_and(|service| service.action(action).is_some());
        let action = match decided.action {
            actions if actions.is_empty() || actions.split(',').all(has) => actions,
            _ => OTHER,
        };
        let texts = [
            ("octavia.key_id", record.id.as_str()),
            ("octavia.role", &record.role),
            ("octavia.service", service.map_or(OTHER, |service| service.name())),
            ("octavia.action", action),
        ];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        attributes.extend(texts.map(|(name, text)| KeyValue::new(name, entry::shown(text))));
    }
    attributes
}

#[cfg(test)]
mod tests;
