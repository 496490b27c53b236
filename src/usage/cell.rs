//! What one resolved key did since it was last asked: the only part of the usage
//! that a request touches.
//!
//! INVARIANT: nothing that was recorded is lost or counted twice, and when
//! `record` or `touch` returns, the next collection has it. `record` adds first
//! and reads `queued` then; a collection clears `queued` first and takes what was
//! added then; all four are SeqCst, so they have one order. If `record` reads
//! "queued", the flag was cleared later than that, and what was added is taken
//! later still. If it reads "not queued", it queues the cell itself. `queued` is
//! set, and the cell pushed, under the lock that a collection takes to get the
//! queue: whoever reads "queued" knows that the collection finds the cell.
//! The authorizer records; `ledger` collects.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst},
    },
};

use super::moment::{LATEST, NEVER};
use crate::{
    clock::Timestamp,
    record::{KeyRecord, MAX_SECRETS},
    token::KeyId,
};

/// Room for so many cells without an allocation.
const INITIAL_CAPACITY: usize = 16_384;

/// Counts the requests of one key. A key may have several cells at a time: each
/// resolved form of it has one.
#[derive(Debug)]
pub struct Cell {
    allowed: AtomicU64,
    denied: AtomicU64,
    /// When each of `numbers` was last used, in milliseconds; only ever raised.
    used: [AtomicI64; MAX_SECRETS],
    /// The same, of a secret that the record does not have.
    other: AtomicI64,
    queued: AtomicBool,
    /// The numbers of the key's secrets; 0 is none.
    numbers: [u32; MAX_SECRETS],
    id: KeyId,
    queue: Arc<Queue>,
}

/// The cells that have something to collect.
#[derive(Debug)]
pub(super) struct Queue(Mutex<Vec<Arc<Cell>>>);

/// What a cell had to tell.
#[derive(Debug)]
pub(super) struct Deltas {
    pub(super) allowed: u64,
    pub(super) denied: u64,
    /// The secrets of the record that the cell is of: number, and when it was last
    /// used or [`NEVER`]. Number 0 is no secret.
    pub(super) secrets: [(u32, i64); MAX_SECRETS],
    pub(super) other: i64,
}

impl Cell {
    pub(super) fn new(key: &KeyRecord, queue: &Arc<Queue>) -> Arc<Self> {
        let mut numbers = [0; MAX_SECRETS];
        for (number, secret) in numbers.iter_mut().zip(&key.secrets) {
            *number = secret.number;
        }
        Arc::new(Self {
            allowed: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            used: [const { AtomicI64::new(NEVER) }; MAX_SECRETS],
            other: AtomicI64::new(NEVER),
            queued: AtomicBool::new(false),
            numbers,
            id: key.id,
            queue: Arc::clone(queue),
        })
    }

    /// The key that it is of.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// One request at `now`, proven by the secret of that number, was allowed or
    /// denied. Waits for nobody, except for the first record after a collection.
    #[inline]
    pub fn record(self: &Arc<Self>, secret_number: u32, now: Timestamp, allowed: bool) {
        let count = if allowed { &self.allowed } else { &self.denied };
        count.fetch_add(1, SeqCst);
        self.touch(secret_number, now);
    }

    /// The secret of that number was used at `now`, for what is not counted. A time
    /// before 1970 or after 9999 is none: such a clock does not tell the time.
    #[inline]
    pub fn touch(self: &Arc<Self>, secret_number: u32, now: Timestamp) {
        let at = self.numbers.iter().position(|number| *number == secret_number);
        let used = at.and_then(|at| self.used.get(at)).unwrap_or(&self.other);
        // Within one millisecond this only reads. A time that is read here was
        // written before, so it, too, stands before the reading of `queued`.
        if now.0 > used.load(SeqCst) && now.0 <= LATEST {
            used.fetch_max(now.0, SeqCst);
        }
        if !self.queued.load(SeqCst) {
            self.queue.push(self);
        }
    }

    /// Takes what was recorded. Only for who has taken the cell out of the queue.
    pub(super) fn take(&self) -> Deltas {
        self.queued.store(false, SeqCst);
        let mut secrets = [(0, NEVER); MAX_SECRETS];
        for ((secret, number), used) in secrets.iter_mut().zip(self.numbers).zip(&self.used) {
            *secret = (number, used.load(SeqCst));
        }
        Deltas {
            allowed: self.allowed.swap(0, SeqCst),
            denied: self.denied.swap(0, SeqCst),
            secrets,
            other: self.other.load(SeqCst),
        }
    }
}

impl Queue {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Vec::with_capacity(INITIAL_CAPACITY))))
    }

    #[cold]
    fn push(&self, cell: &Arc<Cell>) {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !cell.queued.swap(true, SeqCst) {
            cells.push(Arc::clone(cell));
        }
    }

    /// Gives the cells in exchange for an empty list, which keeps the room of both.
    pub(super) fn exchange(&self, empty: &mut Vec<Arc<Cell>>) {
        mem::swap(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), empty);
    }

    /// Puts cells back that were not asked yet.
    pub(super) fn put_back(&self, cells: impl Iterator<Item = Arc<Cell>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(cells);
    }
}
