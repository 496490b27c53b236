//! What is done on a connection: which of its calls wait, how long it has been idle, what its
//! client owes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::debt::Debt;

/// What is done on a connection.
pub(in crate::server) struct Activity {
    epoch: Instant,
    in_flight: AtomicU32,
    /// Another number whenever a call begins or ends.
    turn: AtomicU64,
    /// Of those, how many have no head of an answer yet.
    unanswered: AtomicU32,
    /// When a call last went on, in milliseconds since the epoch; 0 before the first.
    last_used: AtomicU64,
    opened: u64,
    greeted: AtomicBool,
    distrusted: AtomicBool,
    debt: Debt,
}

/// A call, until its answer is handed to HTTP or given up.
pub(in crate::server) struct InFlight {
    activity: Arc<Activity>,
    answered: bool,
}

impl Activity {
    pub(super) fn new(epoch: Instant, debt: Debt) -> Self {
        let activity = Self {
            epoch,
            in_flight: AtomicU32::new(0),
            turn: AtomicU64::new(0),
            unanswered: AtomicU32::new(0),
            last_used: AtomicU64::new(0),
            opened: 0,
            greeted: AtomicBool::new(false),
            distrusted: AtomicBool::new(false),
            debt,
        };
        Self { opened: activity.now(), ..activity }
    }

    /// A call begins.
    pub(in crate::server) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        self.turn.fetch_add(1, Ordering::Relaxed);
        InFlight { activity: Arc::clone(self), answered: false }
    }

    /// Whether a call is in flight.
    pub(in crate::server) fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }

    /// Another number whenever a call begins or ends; 0 before the first.
    pub(in crate::server) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    /// The client has begun to speak HTTP.
    pub(in crate::server) fn greet(&self) {
        self.greeted.store(true, Ordering::Relaxed);
    }

    pub(in crate::server) fn has_greeted(&self) -> bool {
        self.greeted.load(Ordering::Relaxed)
    }

    /// Nobody vouches for its client any more.
    pub(super) fn distrust(&self) {
        self.distrusted.store(true, Ordering::Release);
    }

    /// Whether nobody vouches for its client any more: nothing is decided for it from then on.
    pub(in crate::server) fn is_distrusted(&self) -> bool {
        self.distrusted.load(Ordering::Acquire)
    }

    /// Begins another period. True if its client has left a piece of an answer untaken since before
    /// the last one.
    pub(in crate::server) fn is_stalled(&self) -> bool {
        self.debt.next_period()
    }

    pub(super) fn debt(&self) -> &Debt {
        &self.debt
    }

    /// Since when nothing is done: whether there was a call, and when that was; `None` while
    /// one waits for its answer. A stream on which nothing was said for longer than `quiet` is
    /// nothing.
    pub(super) fn idle_since(&self, quiet: u64) -> Option<(bool, u64)> {
        if self.unanswered.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let last_used = self.last_used.load(Ordering::Relaxed);
        let since = last_used.max(self.opened);
        let streams = self.is_busy();
        if streams && self.now().saturating_sub(since) < quiet {
            return None;
        }
        Some((last_used != 0, since))
    }

    /// A call goes on, or ends.
    fn used(&self) {
        self.last_used.store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        millis(self.epoch.elapsed()).max(1)
    }
}

impl InFlight {
    /// The head of the answer is there.
    pub(in crate::server) fn answered(&mut self) {
        if !std::mem::replace(&mut self.answered, true) {
            self.activity.unanswered.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A part of the answer is handed over.
    pub(in crate::server) fn goes_on(&self) {
        self.activity.used();
    }

    pub(in crate::server) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.answered();
        let activity = &self.activity;
        activity.turn.fetch_add(1, Ordering::Relaxed);
        if activity.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            activity.used();
        }
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
