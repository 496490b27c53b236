//! Makes a data directory servable again after its journal was damaged, and names
//! what that gives up.
//!
//! INVARIANT: nothing is deleted: what was there is set aside. Every key is as
//! the state has it, or a snapshot, whichever is whole and newer, or else no key is
//! there to begin with; on top of that every later change that can still be read is
//! made. The keys are carried over into a new journal.

use std::{
    collections::BTreeMap,
    fs, io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use prost::Message as _;

use super::{
    JournalError, OpenError, SealedError, StateDigest, StateError,
    data_dir::{Lost, io_error, journal_dir, set_aside, snapshot_dir, state_dir, take},
    ground::{Ground, GroundError},
    journal::{self, Beginning, Journal, SEGMENT_LIMIT, Start},
    snapshot,
    state::{Applied, State},
    writer::stored,
};
use crate::{
    change::{Actor, Change, ChangeKind, Effect, Origin},
    clock::Timestamp,
    pb::storage::{Commit, change::Effect as Stored},
    record::{KeyRecord, RecordError},
    token::KeyId,
};

/// Sequence numbers that unreadable changes at the end may have had are not used
/// again.
const SPARE_SEQUENCES: u64 = 1024;
/// The new journal, all of it, until it is in its place.
const WRITTEN: &str = "journal.repaired";
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
    /// Changes that cannot be read and are not in the source, as far as readable
    /// ones follow; there may be more behind `last`.
    pub unreadable: Vec<RangeInclusive<u64>>,
    /// The last change that can be read.
    pub last: u64,
    /// It was done, not only looked at.
    pub applied: bool,
    /// Where the old journal is now; `None` when nothing was done, or there was
    /// none.
    pub set_aside: Option<PathBuf>,
}

/// What the keys are taken from.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The state, which is whole, and the changes after it that can be read.
    State,
    /// A snapshot, and the changes after it that can be read.
    Snapshot,
    /// The changes that can be read, from the beginning.
    Journal,
    /// The new journal of a repair that was interrupted: whole, and only to be
    /// put in its place.
    Interrupted,
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
    /// The snapshots cannot be looked at.
    #[error(transparent)]
    Snapshot(#[from] SealedError),
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
    let (journal_dir, state_dir) = (journal_dir(dir), state_dir(dir));
    let written = dir.join(WRITTEN);
    if !journal_dir.exists() && !state_dir.exists() && !written.exists() {
        return Err(RepairError::Nothing(dir.to_owned()));
    }
    let _lock = take(dir)?;
    // Never joined with the state: that has what the first repair gave up.
    if !journal_dir.exists() && written.exists() {
        return finish(dir, apply).map(Some);
    }
    let copy = StateCopy::make(dir, &state_dir)?;
    let state = copy.open();
    let from = state.as_ref().map_or(0, |(applied, _)| applied.sequence);
    let Some(problem) = problem(dir, from)? else { return Ok(None) };

    let mut begins = Vec::new();
    if let Some((applied, state)) = &state {
        begins.push((Source::State, Salvage::of(*applied, state)?));
    }
    if let Some(salvage) = Salvage::of_snapshot(&snapshot_dir(dir))? {
        begins.push((Source::Snapshot, salvage));
    }
    // What is newer needs fewer of the changes. The state goes first where both are
    // of one change.
    begins.sort_by_key(|(_, salvage)| std::cmp::Reverse(salvage.last));
    begins.push((Source::Journal, Salvage::default()));
    let mut found = None;
    for (source, begin) in begins {
        if let Some(salvage) = Salvage::read(&journal_dir, begin)? {
            found = Some((source, salvage));
            break;
        }
    }
    let (source, salvage) = found.unwrap_or((Source::Journal, Salvage::default()));
    if salvage.last == 0 {
        return Err(RepairError::Nothing(dir.to_owned()));
    }
    let keys: Vec<_> = salvage.keys.into_values().collect();
    let mut repair = Repair {
        problem,
        source,
        keys: keys.len(),
        unreadable: salvage.unreadable,
        last: salvage.last,
        applied: apply,
        set_aside: None,
    };
    if apply {
        drop(state);
        repair.set_aside = replace_journal(dir, &keys, repair.last + SPARE_SEQUENCES, now)?;
        set_aside_with_journal(dir)?;
    }
    Ok(Some(repair))
}

/// Why the journal in `dir`, whose state has changes up to `from`, is not served;
/// `None`: it is.
fn problem(dir: &Path, from: u64) -> Result<Option<String>, RepairError> {
    let journal_dir = journal_dir(dir);
    let ground = match Ground::find(&journal_dir, &snapshot_dir(dir)) {
        Ok(ground) => ground,
        Err(GroundError::Journal(error)) => return Err(error.into()),
        Err(GroundError::List(error)) => return Err(error.into()),
        Err(error @ (GroundError::Missing { .. } | GroundError::Damaged { .. })) => {
            return Ok(Some(error.to_string()));
        }
    };
    let stands = ground.snapshot().map(|snapshot| snapshot.applied);
    let mut contradicted = false;
    let read = journal::read::<JournalError>(&journal_dir, ground.start(), |frame| {
        contradicted |= stands.is_some_and(|stands| {
            frame.last == stands.sequence && frame.outline.state_digest != stands.digest.to_bytes()
        });
        // As replay would look at it.
        frame.commit().map(drop)
    });
    Ok(match read {
        Ok(Some(_)) if contradicted => Some(Lost::Snapshot.to_string()),
        Ok(Some(tail)) if tail.last >= from => None,
        Ok(Some(tail)) => Some(Lost::Behind { journal: tail.last, state: from }.to_string()),
        Ok(None) => Some(Lost::Missing.to_string()),
        Err(error @ JournalError::Damaged { .. }) => Some(error.to_string()),
        // Of a newer program's journal nothing is known, so nothing is saved.
        Err(error @ (JournalError::Io { .. } | JournalError::Version { .. })) => {
            return Err(error.into());
        }
    })
}

/// Sets aside what belongs to the journal that was replaced.
fn set_aside_with_journal(dir: &Path) -> Result<(), OpenError> {
    for path in [state_dir(dir), snapshot_dir(dir)] {
        if path.exists() {
            set_aside(&path)?;
        }
    }
    Ok(())
}

/// Puts the journal that an interrupted repair has written in its place.
fn finish(dir: &Path, apply: bool) -> Result<Repair, RepairError> {
    let written = dir.join(WRITTEN);
    let mut salvage = Salvage::default();
    let tail = journal::read::<RepairError>(&written, Start::Genesis, |frame| {
        Ok(salvage.take(frame.commit()?)?)
    })?;
    if apply {
        put_in_place(dir)?;
        set_aside_with_journal(dir)?;
    }
    Ok(Repair {
        problem: "a repair was interrupted before its new journal was in its place".to_owned(),
        source: Source::Interrupted,
        keys: salvage.keys.len(),
        unreadable: Vec::new(),
        last: tail.map_or(0, |tail| tail.last),
        applied: apply,
        set_aside: None,
    })
}

/// What state and readable changes say.
#[derive(Default)]
struct Salvage {
    keys: BTreeMap<KeyId, KeyRecord>,
    unreadable: Vec<RangeInclusive<u64>>,
    last: u64,
    /// The last number that was never given to a change.
    before: u64,
    /// Where the state stands; changes up to there are in it.
    from: Applied,
    /// The state is not one of this journal.
    foreign: bool,
}

impl Salvage {
    /// What the state says, without any change.
    fn of(from: Applied, state: &State) -> Result<Self, RepairError> {
        let records = state.scan(None).map(|bytes| Ok(KeyRecord::decode(&bytes?)?));
        let keys = records.map(|record| record.map(|record| (record.id, record)));
        let keys = keys.collect::<Result<_, RepairError>>()?;
        Ok(Self { keys, last: from.sequence, from, ..Self::default() })
    }

    /// What the newest whole snapshot in `dir` says, without any change. `None`:
    /// there is none.
    fn of_snapshot(dir: &Path) -> Result<Option<Self>, SealedError> {
        for (_, path) in snapshot::list(dir)?.iter().rev() {
            let mut keys = BTreeMap::new();
            if let Ok(snapshot) = snapshot::read(path, |key| drop(keys.insert(key.id, key))) {
                let from = snapshot.applied;
                return Ok(Some(Self { keys, last: from.sequence, from, ..Self::default() }));
            }
        }
        Ok(None)
    }

    /// Takes in what can be read in `dir`. `None`: it contradicts the state.
    fn read(dir: &Path, begin: Self) -> Result<Option<Self>, RepairError> {
        let (mut salvage, mut error) = (begin, None);
        if salvage.last == 0 {
            // A journal that a repair made begins late.
            salvage.before = match journal::beginning(dir)? {
                Some(Beginning { first, genesis: true }) => first.saturating_sub(1),
                Some(Beginning { genesis: false, .. }) | None => 0,
            };
        }
        journal::scan_frames(dir, |commit| {
            if let Err(damaged) = salvage.take(commit) {
                error = Some(damaged);
            }
        })?;
        match error {
            Some(error) => Err(error.into()),
            None => Ok(Some(salvage).filter(|salvage| !salvage.foreign)),
        }
    }

    fn take(&mut self, commit: Commit) -> Result<(), RecordError> {
        if let Some(first) = commit.changes.first() {
            let before = self.last.max(self.before);
            if first.sequence > before + 1 {
                self.unreadable.push(before + 1..=first.sequence - 1);
            }
        }
        if commit.changes.last().is_some_and(|last| last.sequence == self.from.sequence) {
            self.foreign |= commit.state_digest != self.from.digest.to_bytes();
        }
        for change in commit.changes {
            if change.sequence <= self.last {
                continue;
            }
            self.last = change.sequence;
            let id = || change.key_id.parse().map_err(|_| RecordError::Field("id"));
            match change.effect {
                Some(Stored::Put(key)) => {
                    self.keys.insert(id()?, KeyRecord::from_stored(key)?);
                }
                Some(Stored::Removed(_)) => {
                    self.keys.remove(&id()?);
                }
                Some(Stored::Refused(_)) => {}
                None => return Err(RecordError::Field("effect")),
            }
        }
        Ok(())
    }
}

/// A copy of the state, which is read in its place: opening sled writes.
struct StateCopy(PathBuf);

impl StateCopy {
    fn make(dir: &Path, state_dir: &Path) -> Result<Self, OpenError> {
        let copy = Self(dir.join("state.copy"));
        copy.remove().map_err(io_error("remove", &copy.0))?;
        if state_dir.exists() {
            copy_dir(state_dir, &copy.0).map_err(io_error("copy the state to", &copy.0))?;
        }
        Ok(copy)
    }

    /// `None`: the state is not whole, or there was none.
    fn open(&self) -> Option<(Applied, State)> {
        let state = State::open(&self.0).ok()?;
        let (applied, _) = state.verify().ok()?;
        (applied.sequence > 0).then_some((applied, state))
    }

    fn remove(&self) -> io::Result<()> {
        if self.0.exists() { fs::remove_dir_all(&self.0) } else { Ok(()) }
    }
}

impl Drop for StateCopy {
    fn drop(&mut self) {
        // The next repair removes it.
        let _ = self.remove();
    }
}

fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Writes a new journal beside the old one, then puts it in its place. Gives
/// where the old one went.
fn replace_journal(
    dir: &Path,
    keys: &[KeyRecord],
    after: u64,
    now: Timestamp,
) -> Result<Option<PathBuf>, RepairError> {
    let (new_dir, written) = (dir.join("journal.repairing"), dir.join(WRITTEN));
    for left_over in [&new_dir, &written] {
        if left_over.exists() {
            set_aside(left_over)?;
        }
    }
    let mut journal = Journal::create(&new_dir, after + 1, SEGMENT_LIMIT)?;
    let mut digest = StateDigest::default();
    for keys in keys.chunks(KEYS_PER_FRAME) {
        let first = journal.last() + 1;
        let changes = (first..).zip(keys).map(|(sequence, key)| {
            let key = KeyRecord { revision: sequence, ..key.clone() };
            digest.add(&key.encode());
            stored(&carry_over(key, now), sequence, None)
        });
        let changes = changes.collect();
        let commit = Commit { changes, state_digest: digest.to_bytes().to_vec() };
        journal.append(&commit).map_err(|_| RepairError::Write)?;
        tracing::debug!(bytes = commit.encoded_len(), "carried over");
    }
    rename(&new_dir, &written)?;
    journal::sync_dir(dir)?;
    let journal_dir = journal_dir(dir);
    let aside = if journal_dir.exists() { Some(set_aside(&journal_dir)?) } else { None };
    put_in_place(dir)?;
    Ok(aside)
}

/// Makes the new journal the journal. There is no other.
fn put_in_place(dir: &Path) -> Result<(), RepairError> {
    rename(&dir.join(WRITTEN), &journal_dir(dir))?;
    Ok(journal::sync_dir(dir)?)
}

fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    fs::rename(from, to).map_err(io_error("put in its place the new journal", from))
}

fn carry_over(key: KeyRecord, now: Timestamp) -> Change {
    Change {
        kind: ChangeKind::CarryOver,
        time: now,
        origin: Origin { actor: Actor::Repair, peer: String::new(), request_id: String::new() },
        key_id: Some(key.id),
        team: key.team.clone(),
        service: key.service.clone(),
        effect: Effect::Put(Box::new(key)),
    }
}
