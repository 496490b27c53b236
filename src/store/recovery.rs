//! Brings journal and state together at a start.
//!
//! INVARIANT: what is served is what the journal says, all of it. The whole
//! journal and the whole state are verified against each other; a state that is
//! behind, damaged or gone is replayed or rebuilt, a journal that may have lost
//! something acknowledged stops the start. A journal whose old segments were
//! deleted stands on a snapshot: a state that is not behind it begins with that.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    StateError,
    data_dir::{
        Lost, OpenError, io_error, journal_dir, set_aside, snapshot_dir, state_dir, write_durably,
    },
    ground::{Ground, GroundError},
    group::Group,
    journal::{self, Index, Journal, JournalError, Tail, Task},
    sealed::SealedError,
    state::{Applied, State},
};
use crate::{
    digest::Census,
    pb::storage::{Commit, change::Effect as Stored},
    record::KeyRecord,
};

/// Says that a journal must be there.
const FORMAT: &str = "octavia-authz data directory, format 1\n";

/// Keys of a snapshot that are put into the state together.
const KEYS_PER_BATCH: usize = 1024;

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

/// Journal and state, at one change.
pub(super) struct Recovered {
    pub(super) state: State,
    pub(super) journal: Journal,
    pub(super) index: Arc<Index>,
    pub(super) applied: Applied,
    pub(super) census: Census,
    pub(super) recovery: Recovery,
}

/// Brings journal and state together.
///
/// INVARIANT: the journal is made before the state, and read to its end before
/// the state is touched: opening sled writes.
pub(super) fn recover(dir: &Path, segment_limit: u64) -> Result<Recovered, OpenError> {
    let (journal_dir, state_dir, format) = (journal_dir(dir), state_dir(dir), dir.join("format"));
    let mut recovery = Recovery { created: !is_ours(&format)?, ..Recovery::default() };
    let lost = |problem| OpenError::Lost { problem, dir: dir.to_owned() };
    let at = |error: ReplayError| error.at(dir, &state_dir);

    let ground = Ground::find(&journal_dir, &snapshot_dir(dir)).map_err(|error| match error {
        GroundError::Journal(error) => OpenError::Journal(error),
        GroundError::List(error) => OpenError::Snapshot(error),
        error => lost(Lost::Ground(error)),
    })?;
    let mut end = End::read(&journal_dir, &ground).map_err(at)?;
    if end.is_none() && recovery.created && !state_dir.exists() {
        Journal::create(&journal_dir, 1, segment_limit).map_err(OpenError::Journal)?;
        end = End::read(&journal_dir, &ground).map_err(at)?;
    }
    let Some(end) = end else { return Err(lost(Lost::Missing)) };

    let opened = State::open(&state_dir);
    // Even a damaged state's word counts here: it may know of a change that is gone.
    if let Ok(Ok(claimed)) = opened.as_ref().map(State::applied)
        && claimed.sequence > end.tail.last
    {
        return Err(lost(Lost::Behind { journal: end.tail.last, state: claimed.sequence }));
    }
    let caught_up = opened.map_err(ReplayError::from).and_then(|state| {
        let (from, census) = state.verify()?;
        let from = match from {
            Applied { sequence: 0, count: 0, .. } => begin_with(&ground, &state)?,
            // The changes between it and the snapshot may be gone.
            from if from.sequence < ground.sequence() => return Err(StateError::Behind.into()),
            from => from,
        };
        let applied = end.replay(&state, from)?;
        Ok((state, applied, applied.sequence - from.sequence, census))
    });
    let (state, applied, replayed, census) = match caught_up {
        Ok(caught_up) => caught_up,
        Err(ReplayError::State(error)) if error.is_damage() => {
            let aside = set_aside(&state_dir)?;
            tracing::warn!(%error, set_aside = %aside.display(), "the state is damaged and is rebuilt from the journal");
            recovery.set_aside = Some(aside);
            let state = State::open(&state_dir).map_err(|error| at(error.into()))?;
            let from = begin_with(&ground, &state).map_err(at)?;
            let applied = end.replay(&state, from).map_err(at)?;
            (state, applied, applied.sequence - from.sequence, Census::default())
        }
        Err(error) => return Err(at(error)),
    };
    // What was counted before is not all that there is.
    let is_old = replayed > 0 || recovery.set_aside.is_some() || ground.sequence() > 0;
    let census = match is_old {
        true => state.verify().map_err(|error| at(error.into()))?.1,
        false => census,
    };
    recovery.replayed = replayed;
    recovery.torn = end.tail.torn;
    let index = Arc::new(end.index);
    let journal =
        Journal::resume(&journal_dir, end.tail, segment_limit).map_err(OpenError::Journal)?;
    if recovery.created {
        write_durably(&format, FORMAT.as_bytes())?;
    }
    Ok(Recovered { state, journal, index, applied, census, recovery })
}

/// Whether `format` says that a journal must be there.
fn is_ours(format: &Path) -> Result<bool, OpenError> {
    match fs::read(format) {
        Ok(found) if found == FORMAT.as_bytes() => Ok(true),
        Ok(_) => Err(OpenError::Format(format.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("read", format)(error)),
    }
}

/// Puts the keys of the snapshot into a state that is empty.
fn begin_with(ground: &Ground, state: &State) -> Result<Applied, ReplayError> {
    let Some(snapshot) = ground.snapshot() else { return Ok(Applied::default()) };
    let (mut applied, mut keys) = (Applied::default(), Vec::with_capacity(KEYS_PER_BATCH));
    let mut failed = None;
    let mut put = |keys: &mut Vec<KeyRecord>| {
        let mut group = Group::new(state, applied);
        // INVARIANT: the number stays 0 until all keys are there: what was begun
        // and not ended is behind every snapshot.
        keys.drain(..).for_each(|key| group.push(0, key.id, None, Some(&key)));
        match group.apply() {
            Ok(now) => applied = now,
            Err(error) => failed = failed.take().or(Some(error)),
        }
    };
    ground.read(|key| {
        keys.push(key);
        if keys.len() == KEYS_PER_BATCH {
            put(&mut keys);
        }
    })?;
    put(&mut keys);
    if let Some(error) = failed {
        return Err(error.into());
    }
    let mut group = Group::new(state, applied);
    group.pass(snapshot.applied.sequence, 0);
    let applied = group.apply()?;
    if applied == snapshot.applied { Ok(applied) } else { Err(StateError::Digest.into()) }
}

/// Where a journal ends, and what the state is there.
struct End {
    tail: Tail,
    digest: [u8; 32],
    index: Index,
}

impl End {
    /// Verifies the whole journal. `None`: there is none.
    fn read(dir: &Path, ground: &Ground) -> Result<Option<Self>, ReplayError> {
        let stands = ground.snapshot().map(|snapshot| snapshot.applied).unwrap_or_default();
        let task = Task { point: stands.sequence, ..Task::whole(dir, ground.start()) };
        let pass = journal::verify(&task, &mut |_, _| {})?;
        if let Some(problem) = pass.problem {
            return Err(problem.into());
        }
        // What the journal says of the state that the snapshot is of, if it does.
        if pass.point_digest.is_some_and(|digest| digest != stands.digest.to_bytes()) {
            return Err(ReplayError::Snapshot);
        }
        let digest = match pass.digest.is_empty() {
            true => stands.digest.to_bytes(),
            false => pass.digest.try_into().unwrap_or_default(),
        };
        Ok(pass.tail.map(|tail| Self { tail, digest, index: pass.index }))
    }

    /// Gives the state, which is at `from`, what it does not have.
    fn replay(&self, state: &State, from: Applied) -> Result<Applied, ReplayError> {
        let mut applied = from;
        if from.sequence < self.tail.last {
            self.index.frames_from(from.sequence, |frame| {
                if frame.last > from.sequence {
                    applied = apply(&frame.commit()?, state, applied)?;
                }
                // Also catches a state that stands in the middle of a frame.
                if frame.outline.state_digest != applied.digest.to_bytes() {
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

fn apply(commit: &Commit, state: &State, applied: Applied) -> Result<Applied, StateError> {
    let mut group = Group::new(state, applied);
    for change in &commit.changes {
        let after = match &change.effect {
            Some(Stored::Put(key)) => Some(KeyRecord::from_stored(key.clone())?),
            Some(Stored::Removed(_)) => None,
            Some(Stored::Refused(_)) => {
                group.pass(change.sequence, 0);
                continue;
            }
            None => return Err(StateError::Applied),
        };
        let id = change.key_id.parse().map_err(|_| StateError::Applied)?;
        let before = group.read(id)?;
        group.push(change.sequence, id, before.as_ref(), after.as_ref());
    }
    group.apply()
}

#[derive(Debug)]
enum ReplayError {
    Journal(JournalError),
    State(StateError),
    Sealed(SealedError),
    /// The journal says that the state was another.
    Snapshot,
}

impl From<SealedError> for ReplayError {
    fn from(error: SealedError) -> Self {
        Self::Sealed(error)
    }
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
            Self::Sealed(error) => OpenError::Snapshot(error),
            Self::Snapshot => OpenError::Lost { problem: Lost::Snapshot, dir: dir.to_owned() },
            Self::State(source) => OpenError::State { path: state_dir.to_owned(), source },
        }
    }
}
