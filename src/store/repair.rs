//! Makes a data directory servable again after its journal was damaged, and names
//! what that gives up.
//!
//! INVARIANT: nothing is deleted: what was there is set aside. Every key is as
//! the newest change that can still be read says, and is carried over into a new
//! journal.

use std::{
    collections::BTreeMap,
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use prost::Message as _;

use super::{
    JournalError, OpenError, StateDigest, StateError,
    embedded::{journal_dir, set_aside, state_dir, take},
    journal::{self, Journal, SEGMENT_LIMIT},
    state::{Applied, State},
    writer::stored,
};
use crate::{
    change::{Actor, Change, ChangeKind, Origin},
    clock::Timestamp,
    pb::storage::{self, Commit},
    record::{KeyRecord, RecordError},
};

/// Sequence numbers that unreadable changes at the end may have had are not used
/// again.
const SPARE_SEQUENCES: u64 = 1024;
/// Keys in a frame of the new journal.
const KEYS_PER_FRAME: usize = 256;

/// What a repair does, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Why the directory is not served.
    pub problem: String,
    /// Where the keys are taken from.
    pub source: Source,
    /// How many keys there are.
    pub keys: usize,
    /// Changes that cannot be read, as far as readable ones follow; there may be
    /// more behind `last`.
    pub unreadable: Vec<RangeInclusive<u64>>,
    /// The last change that can be read.
    pub last: u64,
    /// Where the old journal is now; `None` when nothing was done.
    pub set_aside: Option<PathBuf>,
}

/// What the keys are taken from.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The state, which is whole: no key is other than it was; only history is
    /// given up.
    State,
    /// The changes that can be read: what the unreadable ones did is given up.
    Journal,
}

/// Nothing can be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The directory cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The journal cannot be read at all.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Reading the state failed midway.
    #[error(transparent)]
    State(#[from] StateError),
    /// A change that can be read holds no key.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// There is neither journal nor whole state.
    #[error("there is nothing to save: neither the journal nor the state in `{}` can be read; put back a copy", .0.display())]
    Nothing(PathBuf),
    /// The new journal could not be written.
    #[error("the new journal could not be written; nothing was changed")]
    Write,
}

/// Looks at the data directory `dir`. With `apply`, sets its journal aside and
/// writes a new one; without, only says what that would do. `None`: nothing is
/// wrong with it.
///
/// # Errors
/// [`RepairError`]
pub fn repair(dir: &Path, now: Timestamp, apply: bool) -> Result<Option<Repair>, RepairError> {
    let _lock = take(dir)?;
    let (journal_dir, state_dir) = (journal_dir(dir), state_dir(dir));
    let state = State::open(&state_dir).and_then(|state| Ok((state.verify()?, state))).ok();
    let from = state.as_ref().map_or(0, |(applied, _)| applied.sequence);
    let problem = match journal::read::<JournalError>(&journal_dir, |_| Ok(())) {
        Ok(Some(tail)) if tail.last >= from => return Ok(None),
        Ok(Some(tail)) => {
            format!("the journal ends with change {}, but the state has change {from}", tail.last)
        }
        Ok(None) => "the journal is missing".to_owned(),
        Err(error) => error.to_string(),
    };

    let salvage = Salvage::read(&journal_dir)?;
    let whole = state.filter(|(applied, _)| salvage.is_behind(applied));
    let (source, keys) = match &whole {
        Some((_, state)) => (Source::State, from_state(state)?),
        None if salvage.last == 0 => return Err(RepairError::Nothing(dir.to_owned())),
        None => (Source::Journal, salvage.keys.into_values().collect()),
    };
    let mut repair = Repair {
        problem,
        source,
        keys: keys.len(),
        unreadable: salvage.unreadable,
        last: salvage.last.max(from),
        set_aside: None,
    };
    if apply {
        drop(whole);
        repair.set_aside = replace_journal(dir, &keys, repair.last + SPARE_SEQUENCES, now)?;
        if state_dir.exists() {
            set_aside(&state_dir)?;
        }
    }
    Ok(Some(repair))
}

/// What the readable changes say.
#[derive(Default)]
struct Salvage {
    keys: BTreeMap<String, KeyRecord>,
    unreadable: Vec<RangeInclusive<u64>>,
    last: u64,
    digest: Vec<u8>,
}

impl Salvage {
    fn read(dir: &Path) -> Result<Self, RepairError> {
        let mut salvage = Self::default();
        let mut error = None;
        journal::scan_frames(dir, |commit| {
            if let Err(damaged) = salvage.take(commit) {
                error = Some(damaged);
            }
        })?;
        error.map_or(Ok(salvage), |error| Err(error.into()))
    }

    fn take(&mut self, commit: Commit) -> Result<(), RecordError> {
        if let Some(first) = commit.changes.first() {
            // A journal that a repair made begins where it likes.
            let begins = self.last == 0 && first.kind() == storage::ChangeKind::CarryOver;
            if first.sequence > self.last + 1 && !begins {
                self.unreadable.push(self.last + 1..=first.sequence - 1);
            }
        }
        for change in commit.changes {
            self.last = change.sequence;
            match change.key {
                Some(key) => self.keys.insert(change.key_id, KeyRecord::from_stored(key)?),
                None => self.keys.remove(&change.key_id),
            };
        }
        self.digest = commit.state_digest;
        Ok(())
    }

    /// Whether a state at `applied` has everything that was ever acknowledged.
    fn is_behind(&self, applied: &Applied) -> bool {
        applied.sequence > self.last
            || (applied.sequence == self.last
                && applied.digest.to_bytes() == self.digest.as_slice())
    }
}

fn from_state(state: &State) -> Result<Vec<KeyRecord>, RepairError> {
    state.scan(None).map(|bytes| Ok(KeyRecord::decode(&bytes?)?)).collect()
}

/// Writes a new journal beside the old one, then puts it in its place. Gives
/// where the old one went.
fn replace_journal(
    dir: &Path,
    keys: &[KeyRecord],
    after: u64,
    now: Timestamp,
) -> Result<Option<PathBuf>, RepairError> {
    let new_dir = dir.join("journal.repairing");
    if new_dir.exists() {
        set_aside(&new_dir)?;
    }
    let mut journal = Journal::create(&new_dir, after + 1, SEGMENT_LIMIT)?;
    let mut digest = StateDigest::default();
    for keys in keys.chunks(KEYS_PER_FRAME) {
        let first = journal.last() + 1;
        let changes = (first..).zip(keys).map(|(sequence, key)| {
            let key = KeyRecord { revision: sequence, ..key.clone() };
            digest.add(&key.encode());
            stored(&carry_over(key, now), sequence)
        });
        let changes = changes.collect();
        let commit = Commit { changes, state_digest: digest.to_bytes().to_vec() };
        journal.append(&commit).map_err(|_| RepairError::Write)?;
        tracing::debug!(bytes = commit.encoded_len(), "carried over");
    }
    let journal_dir = journal_dir(dir);
    let aside = if journal_dir.exists() { Some(set_aside(&journal_dir)?) } else { None };
    fs::rename(&new_dir, &journal_dir).map_err(|source| OpenError::Io {
        doing: "put the new journal at",
        path: journal_dir,
        source,
    })?;
    journal::sync_dir(dir)?;
    Ok(aside)
}

fn carry_over(key: KeyRecord, now: Timestamp) -> Change {
    Change {
        kind: ChangeKind::CarryOver,
        time: now,
        origin: Origin { actor: Actor::Repair, peer: String::new(), request_id: String::new() },
        key_id: key.id,
        after: Some(key),
    }
}
