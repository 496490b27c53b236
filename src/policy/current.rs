//! The policy in force, which can be replaced while it is asked.
//!
//! INVARIANT: what is made with a policy (a resolved key, a demand) keeps to that one, whole: nobody
//! sees half of two. Who caches what was made with one drops it after `replace` returns.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Policy;

/// A handle on the policy in force; clones are of the same.
#[derive(Clone, Debug)]
pub struct CurrentPolicy(Arc<ArcSwap<Policy>>);

impl CurrentPolicy {
    /// `policy` is in force.
    pub fn new(policy: Policy) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(policy)))
    }

    /// The policy that is in force now. Cheap, and never waits.
    pub fn get(&self) -> Arc<Policy> {
        self.0.load_full()
    }

    /// Puts `policy` in force.
    pub fn replace(&self, policy: Policy) {
        self.0.store(Arc::new(policy));
    }
}
