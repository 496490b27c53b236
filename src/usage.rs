//! When keys and their secrets were last used, and how often they were allowed
//! and denied: ever, and on each of the last days.
//!
//! INVARIANT: a last use never goes back, a count never goes down, what was
//! recorded is seen by the next reader, and a key costs at most one write for each
//! flush. A record on the way of a request is a few atomic operations on a `cell`,
//! which queues itself when it has something to tell; readers and flushes collect
//! the cells into the `ledger` of totals; a flush writes those that changed as
//! `rows` into a sled of its own, opened by `files`. The `flusher` is the one
//! thread that does. Called by the authorizer (records), the keyring (shows) and
//! the server (opens, closes). Losing it costs no key: the last seconds of usage
//! may be lost with the process, and damage is owned up to by [`Usage::since`].

mod ahead;
mod cell;
mod days;
mod error;
mod files;
mod flusher;
mod forgotten;
mod ledger;
mod moment;
mod rows;
mod totals;

use std::{
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

pub use self::{ahead::LastUses, cell::Cell, error::UsageError, flusher::Flusher};
use self::{
    cell::Queue,
    files::Opened,
    ledger::{Base, Ledger},
    moment::{NEVER, timestamp, valid},
    rows::Sum,
    totals::Totals,
};
use crate::{
    clock::{Clock, Timestamp},
    dir_size::size_of,
    pb::storage::StoredUsage,
    record::KeyRecord,
    token::KeyId,
};

/// The usage of all keys. Clones are the same.
#[derive(Clone)]
pub struct Usage(Arc<Shared>);

/// The usage, as long as somebody else keeps it open.
#[derive(Clone)]
pub struct WeakUsage(Weak<Shared>);

struct Shared {
    dir: PathBuf,
    clock: Clock,
    since: AtomicI64,
    written: AtomicU64,
    /// When the last flush succeeded, in milliseconds, or it was opened; [`NEVER`] is neither.
    flushed: AtomicI64,
    queue: Arc<Queue>,
    // INVARIANT: taken in this order: flush, ledger, base.
    flush: Mutex<Flush>,
    ledger: Mutex<Ledger>,
    base: Base,
}

/// What only a flush knows.
struct Flush {
    sum: Sum,
    /// A write failed, so that nobody knows what sled has: open it anew.
    in_doubt: bool,
}

/// How a key was used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// When it last was; `None`: never since [`Usage::known_since`].
    pub last_used: Option<Timestamp>,
    /// How many of its requests were allowed.
    pub allowed: u64,
    /// How many were denied.
    pub denied: u64,
    /// Numbers of its secrets that were used, and when they last were; newest
    /// number first. One that is not the key's any more may be among them.
    pub secrets: Vec<(u32, Timestamp)>,
    /// The days (UTC) on which there were any of these requests, the oldest first:
    /// of the 30 days that end with the last of them. A request counts on the day on
    /// which a flush or a reader sees it, at midnight perhaps the day after its own.
    pub days: Vec<DayUsage>,
}

/// How a key was used on one day.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct DayUsage {
    /// Its midnight, UTC.
    pub start: Timestamp,
    /// How many requests were allowed.
    pub allowed: u64,
    /// How many were denied.
    pub denied: u64,
}

impl Usage {
    /// Opens the usage in `dir`, or begins to track it now. Takes a scan of all
    /// rows. Damage is no error: it is set aside or mended, with a warning, and
    /// usage is known since now.
    ///
    /// # Errors
    /// [`UsageError`] when the directory cannot be used at all.
    pub fn open(dir: &Path, clock: Clock) -> Result<Self, UsageError> {
        let opened = clock.now();
        let Opened { rows, sum, last_used } = files::open(dir, opened)?;
        let queue = Queue::new();
        Ok(Self(Arc::new(Shared {
            dir: dir.to_owned(),
            clock: clock.clone(),
            since: AtomicI64::new(sum.since.0),
            written: AtomicU64::new(0),
            flushed: AtomicI64::new(valid(opened.0)),
            flush: Mutex::new(Flush { sum, in_doubt: false }),
            ledger: Mutex::new(Ledger::new(last_used, Arc::clone(&queue), clock)),
            queue,
            base: RwLock::new(Some(rows)),
        })))
    }

    /// Writes a backup's `rows`, known since `since`, into `dir`, which has to be
    /// empty or missing. Gives how many there are.
    ///
    /// # Errors
    /// [`UsageError::NotEmpty`], and whatever keeps it from being durable.
    pub fn restore(
        dir: &Path,
        since: Timestamp,
        rows: impl IntoIterator<Item = (KeyId, StoredUsage)>,
    ) -> Result<u64, UsageError> {
        if !files::is_empty(dir)? {
            return Err(UsageError::NotEmpty(dir.to_owned()));
        }
        let base = files::open_rows(dir)?;
        let mut sum = Sum::new(since);
        base.reset(Vec::new(), &sum)?;
        let rows: Vec<_> =
            rows.into_iter().map(|(id, stored)| (id, Totals::from_stored(&stored))).collect();
        let written = base.apply(rows.iter().map(|(id, totals)| (*id, Some(totals))), &mut sum)?;
        base.sync()?;
        File::open(dir)?.sync_all()?;
        files::write_synced(dir, sum.number)?;
        Ok(written)
    }

    /// Since when use is tracked without a gap.
    pub fn since(&self) -> Timestamp {
        Timestamp(self.0.since.load(Ordering::SeqCst))
    }

    /// Since when the use of `key` is known: a key without a last use was not used
    /// since then, and may have been before.
    pub fn known_since(&self, key: &KeyRecord) -> Timestamp {
        key.came().max(self.since())
    }

    /// A new cell to record the use of `key` with, as long as it has these secrets.
    pub fn cell(&self, key: &KeyRecord) -> Arc<Cell> {
        Cell::new(key, &self.0.queue)
    }

    /// How the key was used until now. A key that is not known was never used.
    ///
    /// # Errors
    /// [`UsageError`] when its row cannot be read; [`Usage::last_used`] needs none.
    pub fn of(&self, id: KeyId) -> Result<KeyUsage, UsageError> {
        let mut ledger = self.0.ledger();
        ledger.collect(&self.0.base)?;
        Ok(ledger.totals(id, &self.0.base)?.shown())
    }

    /// When the key was last used; `None`: never since [`Usage::known_since`]. Reads
    /// memory only, but for the first use of a key since the last flush.
    pub fn last_used(&self, id: KeyId) -> Option<Timestamp> {
        // The cells keep what cannot be collected; the flusher says why.
        let _ = self.collect();
        let moment = self.0.ledger().last_used.get(&id).copied();
        moment.and_then(|moment| timestamp(moment.millis()))
    }

    /// When many keys were last used, for lists.
    pub fn last_uses(&self) -> LastUses<'_> {
        LastUses::new(self)
    }

    /// Takes in what was recorded until now. Readers and flushes do so themselves.
    ///
    /// # Errors
    /// [`UsageError`] when a row cannot be read: what was recorded is kept.
    pub fn collect(&self) -> Result<(), UsageError> {
        self.0.ledger().collect(&self.0.base)
    }

    /// An import says that the key was used at `at`: counts as its last use if it is
    /// later than what is known, and not in the future. Nothing of one that was
    /// revoked meanwhile.
    ///
    /// # Errors
    /// [`UsageError`] when its row cannot be read.
    pub fn set_last_used(&self, id: KeyId, at: Timestamp) -> Result<(), UsageError> {
        let at = valid(at.min(self.0.clock.now()).0);
        let mut ledger = self.0.ledger();
        if ledger.is_forgotten(id) {
            return Ok(());
        }
        ledger.change(id, &self.0.base, |totals| totals.use_at(at))
    }

    /// The key is revoked: drops what is known of it. What a request that was under
    /// way reports late is dropped, too.
    pub fn forget(&self, id: KeyId) {
        self.0.ledger().forget(id);
    }

    /// A key of this id, which was revoked, has been imported again.
    pub fn revive(&self, id: KeyId) {
        self.0.ledger().revive(id);
    }

    /// Drops what is known of keys that do not exist: those that were revoked while
    /// the last process ended. To be called at the start; asks `exists` in the order
    /// of ids. Gives how many there were.
    pub fn prune(&self, exists: impl Fn(KeyId) -> bool) -> usize {
        let mut ids: Vec<_> = self.0.ledger().last_used.keys().copied().collect();
        ids.retain(|id| !exists(*id));
        let mut ledger = self.0.ledger();
        ids.iter().for_each(|id| ledger.remove(*id));
        ids.len()
    }

    /// How many rows were written or removed since it was opened: to be a metric,
    /// for what tracking use costs the disk.
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// The same, without keeping its files open.
    pub fn downgrade(&self) -> WeakUsage {
        WeakUsage(Arc::downgrade(&self.0))
    }

    /// When a flush last succeeded, or else when it was opened: what was recorded until then is
    /// durable. `None` if the clock did not tell the time.
    pub fn flushed(&self) -> Option<Timestamp> {
        let flushed = self.0.flushed.load(Ordering::Relaxed);
        Some(Timestamp(flushed)).filter(|_| flushed != NEVER)
    }

    /// How many bytes its files have; `None` if that cannot be read.
    pub fn disk_use(&self) -> Option<u64> {
        size_of(&self.0.dir)
    }

    /// What the last flush made durable, in the order of ids, for a backup; ends
    /// after an error. Flush before.
    ///
    /// # Errors
    /// [`UsageError::Unavailable`]
    pub fn rows(
        &self,
    ) -> Result<
        impl Iterator<Item = Result<(KeyId, StoredUsage), UsageError>> + Send + use<>,
        UsageError,
    > {
        let base = self.0.base.read().unwrap_or_else(PoisonError::into_inner);
        let rows = base.as_ref().ok_or(UsageError::Unavailable)?.scan();
        Ok(rows.map(|row| row.map(|(id, totals)| (id, totals.to_stored()))))
    }

    /// Makes durable what was recorded until now. Writes nothing if that is nothing.
    /// Blocks; concurrent calls wait for each other.
    ///
    /// # Errors
    /// [`UsageError`]: nothing is lost, the next flush writes it.
    pub fn flush(&self) -> Result<(), UsageError> {
        let shared = &*self.0;
        let began = shared.clock.now();
        let mut flush = shared.flush.lock().unwrap_or_else(PoisonError::into_inner);
        if flush.in_doubt {
            shared.open_again(&mut flush)?;
        }
        let mut ledger = shared.ledger();
        let collected = ledger.collect(&shared.base);
        let changed = ledger.begin();
        drop(ledger);
        let result = if changed.is_empty() {
            Ok(())
        } else {
            files::check_room(&shared.dir).and_then(|()| {
                flush.in_doubt = true;
                let changed = changed.iter().map(|(id, totals)| (*id, totals.as_ref()));
                shared.write(changed, &mut flush.sum)?;
                flush.in_doubt = false;
                Ok(())
            })
        };
        shared.ledger().end(result.is_ok());
        result.and(collected)?;
        shared.flushed.store(began.0, Ordering::Relaxed);
        Ok(())
    }

    /// Starts the thread that flushes every `interval` until its handle is closed.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start_flusher(&self, interval: Duration) -> io::Result<Flusher> {
        Flusher::start(self.clone(), interval)
    }
}

impl WeakUsage {
    /// The usage; `None` if it is closed.
    pub fn upgrade(&self) -> Option<Usage> {
        self.0.upgrade().map(Usage)
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<'a>(
        &self,
        changed: impl Iterator<Item = (KeyId, Option<&'a Totals>)>,
        sum: &mut Sum,
    ) -> Result<(), UsageError> {
        let base = self.base.read().unwrap_or_else(PoisonError::into_inner);
        let rows = base.as_ref().ok_or(UsageError::Unavailable)?;
        let before = sum.number;
        let written = rows.apply(changed, sum)?;
        if sum.number != before {
            rows.sync()?;
            files::write_synced(&self.dir, sum.number)?;
        }
        self.written.fetch_add(written, Ordering::Relaxed);
        Ok(())
    }

    /// After an error sled takes nothing more, and may show what is not on the disk.
    fn open_again(&self, flush: &mut Flush) -> Result<(), UsageError> {
        files::check_room(&self.dir)?;
        let mut base = self.base.write().unwrap_or_else(PoisonError::into_inner);
        // Gives back its lock.
        *base = None;
        let Opened { rows, sum, .. } = files::open(&self.dir, self.clock.now())?;
        *base = Some(rows);
        *flush = Flush { sum, in_doubt: false };
        self.since.store(sum.since.0, Ordering::SeqCst);
        Ok(())
    }
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Usage").field("dir", &self.0.dir).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
