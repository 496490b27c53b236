//! What was decided within a call, for its span.
//!
//! INVARIANT: nothing that a client sent, but what the policy or a proven key knows by that name.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::{KeyValue, TraceId};

/// Stands in the extensions of a request that is traced. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    trace: TraceId,
    decisions: Arc<Mutex<Decisions>>,
}

#[derive(Debug, Default)]
struct Decisions {
    count: u64,
    denied: u64,
    /// Of the first that was denied, or of the first.
    shown: Vec<KeyValue>,
}

impl Noted {
    pub(crate) fn new(trace: TraceId) -> Self {
        Self { trace, decisions: Arc::default() }
    }

    /// The trace that the call belongs to.
    pub(crate) fn trace(&self) -> TraceId {
        self.trace
    }

    /// Notes a decision with these attributes.
    pub(crate) fn note(&self, allowed: bool, attributes: impl FnOnce() -> Vec<KeyValue>) {
        let mut decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        let first = decisions.count == 0 || (!allowed && decisions.denied == 0);
        decisions.count += 1;
        decisions.denied += u64::from(!allowed);
        if first {
            decisions.shown = attributes();
        }
    }

    /// What was noted. Of several decisions: the first denial, or the first, and how many.
    pub(crate) fn take(&self) -> Vec<KeyValue> {
        let mut decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        let Decisions { count, denied, shown } = std::mem::take(&mut *decisions);
        let mut attributes = shown;
        if count > 1 {
            let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new("octavia.decisions", number(count)));
            attributes.push(KeyValue::new("octavia.denials", number(denied)));
        }
        attributes
    }
}
