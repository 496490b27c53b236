//! Retention: deletes old history, and keeps what it has led to.
//!
//! INVARIANT: a segment is deleted only when a snapshot of the state at its end or
//! later is durable and was read back; oldest first, each durably, so that no crash
//! leaves a gap; and never while a backup is being made. The snapshot is built from
//! the one before and the journal, beside the writer, never from the state. Called
//! by `Embedded`; the server calls that at a start and every hour.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    StateError,
    data_dir::{journal_dir, snapshot_dir},
    ground::{Ground, GroundError},
    journal::{self, Closed, Index, JournalError},
    key_set::KeySet,
    sealed::SealedError,
    snapshot::{self, Snapshot},
};
use crate::clock::Timestamp;

/// What was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// How many segments of the journal.
    pub segments: usize,
    /// The last change that was in them; 0: there was nothing to delete.
    pub last: u64,
    /// Nothing was deleted, because a backup is being made: to be tried again.
    pub postponed: bool,
}

/// Nothing more was deleted; everything can be served as before.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is no snapshot to begin with.
    #[error(transparent)]
    Ground(#[from] GroundError),
    /// The snapshot cannot be written or read back.
    #[error(transparent)]
    Snapshot(#[from] SealedError),
    /// The changes do not add up to what the journal says.
    #[error("the changes in the journal do not add up to the state that it names")]
    State(#[from] StateError),
    /// The snapshot that was read back is another than was written, or the chain
    /// goes elsewhere.
    #[error("the snapshot of change {0} is not what was written")]
    Unlike(u64),
    /// A file cannot be deleted.
    #[error("cannot delete `{0}`")]
    Delete(String, #[source] io::Error),
}

/// Keeps files from being deleted, as long as one is held.
#[derive(Clone, Default)]
pub(super) struct Holds(Arc<Mutex<usize>>);

/// A hold on the files of a directory.
pub(super) struct Hold(Arc<Mutex<usize>>);

impl Holds {
    /// From now on nothing is deleted. Waits while something is.
    pub(super) fn hold(&self) -> Hold {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Hold(Arc::clone(&self.0))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *holds = holds.saturating_sub(1);
    }
}

/// Deletes the segments in the data directory `dir` whose last change was made
/// before `before`, but never the one that is written. One call at a time.
///
/// # Errors
/// [`RetentionError`]
pub(super) fn forget(
    dir: &Path,
    holds: &Holds,
    index: &Index,
    before: Timestamp,
    now: Timestamp,
) -> Result<Forgotten, RetentionError> {
    let (journal_dir, snapshot_dir) = (journal_dir(dir), snapshot_dir(dir));
    let mut old = Vec::new();
    for segment in journal::closed(&journal_dir)? {
        if segment.last_time()?.is_some_and(|time| time >= before.0) {
            break;
        }
        old.push(segment);
    }
    let kept = match old.last() {
        Some(end) => durable_snapshot(&journal_dir, &snapshot_dir, end, now)?.applied.sequence,
        // A crash may have left older ones.
        None => Ground::find(&journal_dir, &snapshot_dir)?.sequence(),
    };

    let holds = holds.0.lock().unwrap_or_else(PoisonError::into_inner);
    if *holds > 0 {
        return Ok(Forgotten { postponed: !old.is_empty(), ..Forgotten::default() });
    }
    if let Some(end) = old.last() {
        // First: nobody looks for what is about to go.
        index.forget_before(end.last + 1);
    }
    for segment in &old {
        delete(&segment.path, &journal_dir)?;
    }
    for (sequence, path) in snapshot::list(&snapshot_dir)? {
        if sequence < kept {
            delete(&path, &snapshot_dir)?;
        }
    }
    drop(holds);
    let last = old.last().map_or(0, |end| end.last);
    Ok(Forgotten { segments: old.len(), last, postponed: false })
}

/// A snapshot of the state at the end of `end` that was read back.
fn durable_snapshot(
    journal_dir: &Path,
    snapshot_dir: &Path,
    end: &Closed,
    now: Timestamp,
) -> Result<Snapshot, RetentionError> {
    let is_of_end =
        |snapshot: &Snapshot| (snapshot.applied.sequence, snapshot.head) == (end.last, end.head);
    // What an attempt before has left. Its keys are checked by their digest, which
    // `build` would only compute again.
    for (sequence, path) in snapshot::list(snapshot_dir)? {
        if sequence == end.last
            && let Ok(snapshot) = snapshot::read(&path, |_| {})
            && is_of_end(&snapshot)
        {
            return Ok(snapshot);
        }
    }
    let keys = build(journal_dir, snapshot_dir, end)?;
    let path = snapshot::write(snapshot_dir, &keys, &end.head, now)?;
    let snapshot = snapshot::read(&path, |_| {})?;
    if is_of_end(&snapshot) && snapshot.applied == keys.applied() {
        Ok(snapshot)
    } else {
        Err(RetentionError::Unlike(end.last))
    }
}

/// Why reading ends.
enum Stop {
    /// All that is needed was read: what is behind it may be just being written.
    There,
    Failed(RetentionError),
}

impl<E: Into<RetentionError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The keys at the end of the closed segment `end`, by the journal.
fn build(journal_dir: &Path, snapshot_dir: &Path, end: &Closed) -> Result<KeySet, RetentionError> {
    let ground = Ground::find(journal_dir, snapshot_dir)?;
    let mut keys = KeySet::default();
    ground.read(|key| keys.put(&key))?;
    keys.stands_at(ground.sequence());
    if ground.snapshot().is_some_and(|snapshot| snapshot.applied != keys.applied()) {
        return Err(RetentionError::Unlike(ground.sequence()));
    }
    let read = journal::read(journal_dir, ground.start(), |frame| {
        keys.take(&frame, &frame.commit()?)?;
        match frame.last {
            last if last < end.last => Ok(()),
            last if last == end.last && frame.head == end.head => Err(Stop::There),
            _ => Err(Stop::Failed(RetentionError::Unlike(end.last))),
        }
    });
    match read {
        Err(Stop::There) => Ok(keys),
        Err(Stop::Failed(error)) => Err(error),
        Ok(_) => Err(RetentionError::Unlike(end.last)),
    }
}

/// Deletes a file, durably.
fn delete(path: &Path, dir: &Path) -> Result<(), RetentionError> {
    fs::remove_file(path)
        .and_then(|()| snapshot::sync(dir))
        .map_err(|error| RetentionError::Delete(path.display().to_string(), error))
}
