//! What the store's writer did, and how long it took.
//!
//! INVARIANT: counted when it is answered: who asks after a commit finds it counted.
//! Filled by the store's writer and journal.

use std::time::Instant;

use prometheus_client::registry::{Registry, Unit};

use super::{handles::Results, histogram::Histogram};

/// From what a fast disk's sync takes to what nobody should wait for.
const BOUNDS: &[u64] = &[
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    5_000_000_000,
];

/// The metrics of a store. Clones are the same.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    commits: Results,
    commit: Histogram,
    fsync: Histogram,
}

/// What became of a commit.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CommitResult {
    /// The change is durable.
    Done,
    /// The rule said no.
    Refused,
    /// It could not be made durable, or the state not be read.
    Failed,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        let results = ["done", "refused", "failed"];
        Self {
            commits: Results::new(&results),
            commit: Histogram::new(BOUNDS),
            fsync: Histogram::new(BOUNDS),
        }
    }
}

impl StoreMetrics {
    /// A commit that was asked for at `asked` is answered.
    pub fn committed(&self, result: CommitResult, asked: Instant) {
        self.commit.observe_since(asked);
        self.commits.add(result as usize);
    }

    /// How long it takes until the journal's disk has what was appended.
    pub fn fsync(&self) -> &Histogram {
        &self.fsync
    }

    /// How many commits had this result.
    pub fn commits(&self, result: CommitResult) -> u64 {
        self.commits.count(result as usize)
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("commits", "Changes that were asked of the store", self.commits.clone());
        registry.register_with_unit(
            "commit_duration",
            "Time from a change that is asked of the store to its answer",
            Unit::Seconds,
            self.commit.clone(),
        );
        registry.register_with_unit(
            "fsync_duration",
            "Time that the disk takes to make a group of changes durable",
            Unit::Seconds,
            self.fsync.clone(),
        );
    }
}
