//! The engine of a single node: a data directory that only one process uses.
//!
//! INVARIANT: what is served is what the journal says, all of it. Opening
//! verifies the whole journal and the whole state against each other; a state
//! that is behind, damaged or gone is replayed or rebuilt, a journal that may
//! have lost something acknowledged stops the start.

use std::{
    fs::{self, DirBuilder, File},
    future::Future,
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    pin::Pin,
    process,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    CommitError, Committed, Reader, Revision, Rule, StateDigest, StateError, Store, StoreError,
    Subscriber, Summary,
    group::Group,
    journal::{self, Frame, Journal, JournalError, SEGMENT_LIMIT, Tail},
    state::{Applied, State},
    writer::{Failure, Job, Published, Writer},
};
use crate::{record::KeyRecord, token::KeyId};

/// Changes that wait for the writer; who comes then waits for a place.
const QUEUE: usize = 1024;
/// Says that a journal must be there.
const FORMAT: &str = "octavia-authz data directory, format 1\n";

/// The embedded store, open.
pub struct Embedded {
    dir: PathBuf,
    state: Arc<State>,
    published: Arc<Published>,
    jobs: mpsc::Sender<Job>,
    writer: Mutex<Option<JoinHandle<()>>>,
    failure: watch::Receiver<Option<Arc<Failure>>>,
    recovery: Recovery,
    _lock: File,
}

/// What opening had to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The directory was empty.
    pub created: bool,
    /// Changes that the journal had and the state did not.
    pub replayed: u64,
    /// Bytes at the journal's end that were begun and never acknowledged.
    pub torn: u64,
    /// Where a damaged state was put.
    pub set_aside: Option<PathBuf>,
}

/// The data directory cannot be served from.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system says no.
    #[error("cannot {doing} `{}`; the data directory must be on a disk with free space and writable for this user", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What came back.
        #[source]
        source: io::Error,
    },
    /// Somebody else has it.
    #[error("the data directory `{}` is in use by another process ({holder}); stop it, or choose another --data-dir", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// What the other wrote into the lock file.
        holder: String,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(JournalError),
    /// Acknowledged changes may be gone.
    #[error("{problem}\nchanges that were acknowledged, revocations among them, may be missing, so nothing is served\nput back a copy of `{0}`, or run `octavia-authz repair --data-dir {0}` to see what can be saved", .dir.display())]
    Lost {
        /// What is wrong.
        problem: Lost,
        /// The data directory.
        dir: PathBuf,
    },
    /// sled cannot be used, and that is not damage.
    #[error("cannot use the state in `{}`; the data directory must be on a disk with free space and writable for this user", path.display())]
    State {
        /// Its directory.
        path: PathBuf,
        /// What sled says.
        #[source]
        source: StateError,
    },
}

/// Why acknowledged changes may be gone.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Bytes that were durable are not what they were.
    #[error("{0}")]
    Damaged(JournalError),
    /// There is no journal where there was one.
    #[error("the journal is missing")]
    Missing,
    /// The state knows of changes that the journal does not have.
    #[error("the journal ends with change {journal}, but the state has change {state}")]
    Behind {
        /// The journal's last change.
        journal: u64,
        /// The state's.
        state: u64,
    },
}

impl Embedded {
    /// Opens the data directory `dir`, and makes it (mode 0700) when there is
    /// none.
    ///
    /// # Errors
    /// [`OpenError`]; nothing in the directory was lost.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_with(dir, SEGMENT_LIMIT)
    }

    pub(super) fn open_with(dir: &Path, segment_limit: u64) -> Result<Self, OpenError> {
        let lock = take(dir)?;
        let (state, journal, applied, recovery) = recover(dir, segment_limit)?;
        let state = Arc::new(state);
        let published = Arc::new(Published::new(applied, journal.head()));
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (failure, failed) = watch::channel(None);
        let writer = Writer {
            journal,
            state: Arc::clone(&state),
            applied,
            published: Arc::clone(&published),
            failure,
        };
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(io_error("start the writer for", dir))?;
        Ok(Self {
            dir: dir.to_owned(),
            state,
            published,
            jobs,
            writer: Mutex::new(Some(writer)),
            failure: failed,
            recovery,
            _lock: lock,
        })
    }

    /// What opening had to do.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
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
        Ok(self.state.get(id)?.map(|bytes| KeyRecord::decode(&bytes)).transpose()?)
    }
}

impl Store for Embedded {
    fn commit(
        &self,
        rule: Rule,
    ) -> Pin<Box<dyn Future<Output = Result<Committed, CommitError>> + Send + '_>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            self.jobs.send(Job::Commit { rule, reply }).await.map_err(|_| CommitError::Closed)?;
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

/// Makes the directory if need be, and takes its lock.
pub(super) fn take(dir: &Path) -> Result<File, OpenError> {
    make(dir).map_err(io_error("create", dir))?;
    let path = dir.join("lock");
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let mut lock = options.open(&path).map_err(io_error("open", &path))?;
    if let Err(error) = lock.try_lock() {
        return Err(match error {
            fs::TryLockError::WouldBlock => {
                let mut holder = String::new();
                let _ = lock.take(64).read_to_string(&mut holder);
                OpenError::InUse { path: dir.to_owned(), holder: holder.trim().to_owned() }
            }
            fs::TryLockError::Error(source) => OpenError::Io { doing: "lock", path, source },
        });
    }
    lock.set_len(0)
        .and_then(|()| lock.rewind())
        .and_then(|()| writeln!(lock, "process {}", process::id()))
        .and_then(|()| lock.sync_all())
        .map_err(io_error("write", &path))?;
    Ok(lock)
}

/// Makes the directory, mode 0700, and its name durable; and so the ones above.
fn make(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    make(parent)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(_) if dir.is_dir() => {}
        made => made?,
    }
    File::open(parent)?.sync_all()
}

/// Brings journal and state together.
///
/// INVARIANT: the journal is made before the state, and read to its end before
/// the state is touched: opening sled writes.
fn recover(
    dir: &Path,
    segment_limit: u64,
) -> Result<(State, Journal, Applied, Recovery), OpenError> {
    let (journal_dir, state_dir, format) = (journal_dir(dir), state_dir(dir), dir.join("format"));
    let mut recovery = Recovery { created: !format.exists(), ..Recovery::default() };
    let lost = |problem| OpenError::Lost { problem, dir: dir.to_owned() };
    let at = |error: ReplayError| error.at(dir, &state_dir);

    let mut end = End::read(&journal_dir).map_err(|error| at(error.into()))?;
    if end.is_none() && recovery.created && !state_dir.exists() {
        Journal::create(&journal_dir, 1, segment_limit).map_err(OpenError::Journal)?;
        end = End::read(&journal_dir).map_err(|error| at(error.into()))?;
    }
    let Some(end) = end else { return Err(lost(Lost::Missing)) };

    let opened = State::open(&state_dir).and_then(|state| Ok((state.verify()?, state)));
    let caught_up = match opened {
        Ok((from, _)) if from.sequence > end.tail.last => {
            return Err(lost(Lost::Behind { journal: end.tail.last, state: from.sequence }));
        }
        Ok((from, state)) => end
            .replay(&journal_dir, &state, from)
            .map(|applied| (state, applied, applied.sequence - from.sequence)),
        Err(error) => Err(error.into()),
    };
    let (state, applied, replayed) = match caught_up {
        Ok(caught_up) => caught_up,
        Err(ReplayError::State(error)) if error.is_damage() => {
            let aside = set_aside(&state_dir)?;
            tracing::warn!(%error, set_aside = %aside.display(), "the state is damaged and is rebuilt from the journal");
            recovery.set_aside = Some(aside);
            let state = State::open(&state_dir).map_err(|error| at(error.into()))?;
            let applied = end.replay(&journal_dir, &state, Applied::default()).map_err(at)?;
            (state, applied, applied.sequence)
        }
        Err(error) => return Err(at(error)),
    };
    recovery.replayed = replayed;
    recovery.torn = end.tail.torn;
    let journal =
        Journal::resume(&journal_dir, end.tail, segment_limit).map_err(OpenError::Journal)?;
    if !format.exists() {
        write_durably(&format, FORMAT.as_bytes())?;
    }
    Ok((state, journal, applied, recovery))
}

/// Where a journal ends, and what the state is there.
struct End {
    tail: Tail,
    digest: [u8; 32],
}

impl End {
    /// Verifies the whole journal. `None`: there is none.
    fn read(dir: &Path) -> Result<Option<Self>, JournalError> {
        let mut digest = StateDigest::default().to_bytes().to_vec();
        let tail = journal::read(dir, |frame| {
            digest = frame.commit.state_digest;
            Ok::<_, JournalError>(())
        })?;
        let digest = digest.try_into().unwrap_or_default();
        Ok(tail.map(|tail| Self { tail, digest }))
    }

    /// Gives the state, which is at `from`, what it does not have.
    fn replay(&self, dir: &Path, state: &State, from: Applied) -> Result<Applied, ReplayError> {
        let mut applied = from;
        if from.sequence < self.tail.last {
            journal::read(dir, |frame| {
                if frame.last > from.sequence {
                    applied = apply(&frame, state, applied)?;
                }
                // Also catches a state that stands in the middle of a frame.
                let is_there = frame.last >= from.sequence;
                if is_there && frame.commit.state_digest != applied.digest.to_bytes() {
                    return Err(ReplayError::State(StateError::Digest));
                }
                Ok(())
            })?;
        }
        if applied.digest.to_bytes() != self.digest {
            return Err(ReplayError::State(StateError::Digest));
        }
        // A journal that a repair made may begin late, and without a change.
        Ok(Applied { sequence: self.tail.last, ..applied })
    }
}

fn apply(frame: &Frame, state: &State, applied: Applied) -> Result<Applied, StateError> {
    let mut group = Group::new(state, applied);
    for change in &frame.commit.changes {
        let id = change.key_id.parse().map_err(|_| StateError::Applied)?;
        let after = change.key.clone().map(KeyRecord::from_stored).transpose()?;
        group.push(change.sequence, id, after.as_ref().map(KeyRecord::encode))?;
    }
    group.apply()
}

#[derive(Debug)]
enum ReplayError {
    Journal(JournalError),
    State(StateError),
}

impl From<JournalError> for ReplayError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<StateError> for ReplayError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl ReplayError {
    fn at(self, dir: &Path, state_dir: &Path) -> OpenError {
        match self {
            Self::Journal(error @ JournalError::Damaged { .. }) => {
                OpenError::Lost { problem: Lost::Damaged(error), dir: dir.to_owned() }
            }
            Self::Journal(error) => OpenError::Journal(error),
            Self::State(source) => OpenError::State { path: state_dir.to_owned(), source },
        }
    }
}

/// Moves `path` out of the way; nothing is deleted.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, OpenError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = (1..u32::MAX)
        .map(|n| path.with_file_name(format!("{name}.damaged-{n}")))
        .find(|to| !to.exists());
    let aside = free.unwrap_or_else(|| path.with_file_name(format!("{name}.damaged")));
    fs::rename(path, &aside).map_err(io_error("set aside", path))?;
    Ok(aside)
}

/// Writes a small file, whole or not at all.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(io_error("write", path))
}

pub(super) fn journal_dir(dir: &Path) -> PathBuf {
    dir.join("journal")
}

pub(super) fn state_dir(dir: &Path) -> PathBuf {
    dir.join("state")
}

pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { doing, path: path.to_owned(), source }
}
