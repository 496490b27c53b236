//! The engine of a single node: a data directory that only one process uses.
//!
//! INVARIANT: what is read is what the writer has made durable. `recovery` opens
//! it, `writer` changes it; this reads, and hands over.

use std::{
    fs::File,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Backup, BackupError, CommitError, Committed, Forgotten, Reader, RetentionError, Revision, Rule,
    Store, StoreError, Subscriber, Summary, UsageCopy,
    data_dir::{OpenError, io_error, take},
    disk::DiskUse,
    journal::{Index, SEGMENT_LIMIT},
    pepper::{pepper_of, set_pepper},
    recovery::{Recovered, Recovery, recover},
    retention::{Holds, forget},
    state::{Row, State, key_id},
    writer::{Failure, Job, Published, Writer},
};
use crate::{
    clock::Timestamp,
    digest::{Census, Digest, PepperId},
    metrics::StoreMetrics,
    record::KeyRecord,
    token::KeyId,
};

/// Changes that wait for the writer; who comes then waits for a place.
const QUEUE: usize = 1024;
/// The embedded store, open.
pub struct Embedded {
    dir: PathBuf,
    state: Arc<State>,
    published: Arc<Published>,
    index: Arc<Index>,
    jobs: mpsc::Sender<Job>,
    writer: Mutex<Option<JoinHandle<()>>>,
    failure: watch::Receiver<Option<Arc<Failure>>>,
    recovery: Recovery,
    census: Census,
    holds: Holds,
    /// One at a time deletes history.
    forgetting: Mutex<()>,
    _lock: File,
}

impl Embedded {
    /// Opens the data directory `dir`, and makes it (mode 0700) when there is
    /// none.
    ///
    /// # Errors
    /// [`OpenError`]; nothing in the directory was lost.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_metered(dir, StoreMetrics::default())
    }

    /// As [`Embedded::open`], and fills `metrics`.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open_metered(dir: &Path, metrics: StoreMetrics) -> Result<Self, OpenError> {
        Self::open_with(dir, SEGMENT_LIMIT, metrics)
    }

    pub(super) fn open_with(
        dir: &Path,
        segment_limit: u64,
        metrics: StoreMetrics,
    ) -> Result<Self, OpenError> {
        let lock = take(dir)?;
        let Recovered { state, mut journal, index, applied, census, recovery } =
            recover(dir, segment_limit)?;
        journal.time_syncs(metrics.fsync().clone());
        let state = Arc::new(state);
        let published = Arc::new(Published::new(applied, journal.head()));
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (failure, failed) = watch::channel(None);
        let writer = Writer {
            dir: dir.to_owned(),
            journal,
            state: Arc::clone(&state),
            applied,
            published: Arc::clone(&published),
            index: Arc::clone(&index),
            failure,
            metrics,
        };
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(io_error("start the writer for", dir))?;
        Ok(Self {
            dir: dir.to_owned(),
            state,
            published,
            index,
            jobs,
            writer: Mutex::new(Some(writer)),
            failure: failed,
            recovery,
            census,
            holds: Holds::default(),
            forgetting: Mutex::new(()),
            _lock: lock,
        })
    }

    /// The secrets that there were when it was opened.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// What opening had to do.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The fingerprint of the pepper that new keys were last digested with.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn pepper(&self) -> Result<Option<PepperId>, OpenError> {
        pepper_of(&self.dir)
    }

    /// Notes down the pepper that new keys are digested with from now on.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn set_pepper(&self, pepper: Option<PepperId>) -> Result<(), OpenError> {
        set_pepper(&self.dir, pepper)
    }

    /// Deletes history, in whole segments of the journal, that is older than `before`
    /// and not the newest; the keys stay as they are. Blocks for as long as reading
    /// that history takes; changes go on meanwhile.
    ///
    /// # Errors
    /// [`RetentionError`]; nothing is lost but what was to be deleted.
    pub fn forget(&self, before: Timestamp, now: Timestamp) -> Result<Forgotten, RetentionError> {
        let _one = self.forgetting.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&self.dir, &self.holds, &self.index, before, now)
    }

    /// Begins a backup of the newest revision, with this `usage`. Nothing is deleted
    /// as long as it lasts. Blocks while it looks for the journal's end.
    ///
    /// # Errors
    /// [`BackupError`]
    pub fn backup(&self, usage: UsageCopy, now: Timestamp) -> Result<Backup, BackupError> {
        // First: what is published now is not deleted any more.
        let hold = self.holds.hold();
        Backup::begin(&self.dir, self.published.position(), hold, usage, now)
    }

    /// What it takes of the disk. Reads directories.
    pub fn disk_use(&self) -> DiskUse {
        DiskUse::of(&self.dir)
    }

    /// Where the journal's changes stand.
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// The data directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until the store has stopped by itself, and says why. The process
    /// must not go on serving.
    pub async fn failed(&self) -> Arc<Failure> {
        let mut failure = self.failure.clone();
        loop {
            if let Some(failure) = failure.borrow_and_update().clone() {
                return failure;
            }
            if failure.changed().await.is_err() {
                // Closed in order: it will never fail.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Finishes what was asked for, flushes the state and stops the writer.
    /// Blocks until that is done.
    pub fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let mut job = Job::Close;
            while let Err(mpsc::error::TrySendError::Full(back)) = self.jobs.try_send(job) {
                job = back;
                thread::yield_now();
            }
            // A writer that panicked has said so already.
            let _ = writer.join();
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}

impl Reader for Embedded {
    fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let stored = self.state.row(Row::Key(id))?;
        Ok(stored.map(|bytes| KeyRecord::decode(&bytes)).transpose()?)
    }

    fn find(&self, digest: &Digest) -> Result<Option<KeyId>, StoreError> {
        let stored = self.state.row(Row::Foreign(*digest.as_bytes()))?;
        Ok(stored.map(|bytes| key_id(&bytes)).transpose()?)
    }
}

impl Store for Embedded {
    fn commit(
        &self,
        rule: Rule,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Committed>, CommitError>> + Send + '_>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let job = Job::Commit { rule, reply, asked: Instant::now() };
            self.jobs.send(job).await.map_err(|_| CommitError::Closed)?;
            answer.await.map_err(|_| CommitError::InDoubt)?
        })
    }

    fn scan(
        &self,
        after: Option<KeyId>,
    ) -> Box<dyn Iterator<Item = Result<KeyRecord, StoreError>> + Send + '_> {
        Box::new(self.state.scan(after).map(|bytes| Ok(KeyRecord::decode(&bytes?)?)))
    }

    fn subscribe(&self, subscriber: Subscriber) {
        self.published.subscribers.write().unwrap_or_else(PoisonError::into_inner).push(subscriber);
    }

    fn revision(&self) -> Revision {
        self.published.revision()
    }

    fn summary(&self) -> Summary {
        let (applied, head) = self.published.position();
        Summary {
            engine: "embedded",
            data_dir: self.dir.clone(),
            revision: applied.sequence,
            key_count: applied.count,
            state_digest: applied.digest.to_bytes(),
            journal_head: head,
        }
    }
}
