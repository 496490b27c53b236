//! Answers that were handed to HTTP, and that clients have not taken yet.
//!
//! INVARIANT: a piece of an answer is owed until it is written to the socket or given up; it counts
//! itself, wherever HTTP keeps it. HTTP/2 has windows: what a client does not open one for stays
//! with us, and writing does not show it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicUsize, Ordering},
};

use axum::body::Bytes;
use bytes::Buf;

use super::Activity;

/// A piece is no longer than this: whoever goes on taking, however slowly, is seen to.
const PIECE: usize = 16 << 10;

/// What all clients of an API owe. Clones are the same.
#[derive(Clone)]
pub(super) struct Debts(Arc<All>);

struct All {
    max: usize,
    bytes: AtomicUsize,
    clients: AtomicUsize,
}

/// What the client of one connection owes.
pub(super) struct Debt {
    all: Debts,
    bytes: AtomicUsize,
    /// How many pieces were handed over in this period, in the one before, and before that.
    pieces: [AtomicU32; 3],
    /// Which of them is this period's.
    period: AtomicUsize,
}

/// A piece of an answer, with what is to follow it.
pub(in crate::server) struct Piece {
    data: Bytes,
    len: usize,
    activity: Arc<Activity>,
    period: usize,
}

impl Debts {
    /// Of `max` bytes together.
    pub(super) fn new(max: usize) -> Self {
        let all = All { max, bytes: AtomicUsize::new(0), clients: AtomicUsize::new(0) };
        Self(Arc::new(all))
    }

    /// That of one more client, which owes nothing.
    pub(super) fn of_one(&self) -> Debt {
        self.0.clients.fetch_add(1, Ordering::Relaxed);
        let (pieces, period) = (<[AtomicU32; 3]>::default(), AtomicUsize::new(0));
        Debt { all: self.clone(), bytes: AtomicUsize::new(0), pieces, period }
    }
}

impl Debt {
    /// Begins another period. True if something is owed from before the last one.
    pub(super) fn next_period(&self) -> bool {
        let period = self.period.load(Ordering::Relaxed);
        let [before, next] = [2, 1].map(|later| period.wrapping_add(later) % 3);
        let is_owed =
            self.pieces.get(before).is_some_and(|pieces| pieces.load(Ordering::Relaxed) > 0);
        if !is_owed {
            self.period.store(next, Ordering::Relaxed);
        }
        is_owed
    }

    /// `len` bytes more. False when all clients together owe too much, and this one more than its
    /// share: who takes its answers is not turned away for those that do not.
    fn incur(&self, len: usize) -> bool {
        let All { max, bytes, clients } = &*self.all.0;
        let all = bytes.fetch_add(len, Ordering::Relaxed).saturating_add(len);
        let own = self.bytes.fetch_add(len, Ordering::Relaxed).saturating_add(len);
        all <= *max || own <= (max / clients.load(Ordering::Relaxed).max(1)).max(PIECE)
    }

    fn settle(&self, len: usize) {
        self.bytes.fetch_sub(len, Ordering::Relaxed);
        self.all.0.bytes.fetch_sub(len, Ordering::Relaxed);
    }

    /// One piece more, or fewer, of `period`.
    fn count(&self, period: usize, more: bool) {
        let Some(pieces) = self.pieces.get(period) else { return };
        match more {
            true => pieces.fetch_add(1, Ordering::Relaxed),
            false => pieces.fetch_sub(1, Ordering::Relaxed),
        };
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.all.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Piece {
    /// `data`, owed by the client of `activity`; `None` when that owes too much.
    pub(in crate::server) fn new(data: Bytes, activity: &Arc<Activity>) -> Option<Self> {
        let (len, activity) = (data.len(), Arc::clone(activity));
        let fits = activity.debt().incur(len);
        // From here on it is settled when it is dropped.
        let piece = Self::handed_over(data, activity);
        fits.then_some(piece)
    }

    fn handed_over(data: Bytes, activity: Arc<Activity>) -> Self {
        let period = activity.debt().period.load(Ordering::Relaxed);
        activity.debt().count(period, true);
        Self { len: data.len(), data, activity, period }
    }

    /// The first of it, and the rest, which is handed over when that is taken.
    pub(in crate::server) fn split(mut self) -> (Self, Option<Self>) {
        if self.data.len() <= PIECE {
            return (self, None);
        }
        let first = self.data.split_to(PIECE);
        self.len = self.len.saturating_sub(PIECE);
        (Self::handed_over(first, Arc::clone(&self.activity)), Some(self))
    }

    /// The same, handed over only now.
    pub(in crate::server) fn anew(mut self) -> Self {
        let debt = self.activity.debt();
        let now = debt.period.load(Ordering::Relaxed);
        debt.count(now, true);
        debt.count(std::mem::replace(&mut self.period, now), false);
        self
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let debt = self.activity.debt();
        debt.count(self.period, false);
        debt.settle(self.len);
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
    }

    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        self.data.copy_to_bytes(len)
    }
}
