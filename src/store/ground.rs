//! What a journal stands on: nothing, where it has its first segment ever, or a
//! snapshot, where retention has deleted that.
//!
//! INVARIANT: a journal that does not begin at the beginning is not read without a
//! whole snapshot that reaches its first segment; the chain then has to pass
//! through the snapshot's head. Asked by the start, repair, retention and backup.

use std::path::Path;

use super::{
    journal::{self, Beginning, JournalError, Start},
    sealed::SealedError,
    snapshot::{self, Snapshot},
};
use crate::record::KeyRecord;

/// What a journal stands on.
#[derive(Clone, Debug, Default)]
pub(super) struct Ground(Option<Snapshot>);

/// There is nothing that the journal could stand on.
#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    /// The journal cannot be looked at.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The snapshots cannot be listed.
    #[error(transparent)]
    List(SealedError),
    /// Old segments were deleted, and what was kept for them is gone.
    #[error(
        "the journal begins with change {first}: the segments before it are missing, and so is the snapshot of the state before it"
    )]
    Missing {
        /// The first change that the journal has.
        first: u64,
    },
    /// Old segments were deleted, and what was kept for them is damaged.
    #[error(
        "the journal begins with change {first}: the segments before it are missing, and the snapshot of the state before it cannot be used: {error}"
    )]
    Damaged {
        /// The first change that the journal has.
        first: u64,
        /// What is wrong with the newest.
        error: SealedError,
    },
}

impl Ground {
    /// What the journal of the data directory `dir` stands on. Of several snapshots
    /// the newest that is whole.
    ///
    /// # Errors
    /// [`GroundError`]
    pub(super) fn find(journal_dir: &Path, snapshot_dir: &Path) -> Result<Self, GroundError> {
        let first = match journal::beginning(journal_dir)? {
            Some(Beginning { first, genesis: false }) => first,
            // A first segment without a header is for the one who reads it to refuse.
            Some(Beginning { genesis: true, .. }) | None => return Ok(Self(None)),
        };
        let mut problem = None;
        for (sequence, path) in
            snapshot::list(snapshot_dir).map_err(GroundError::List)?.iter().rev()
        {
            if sequence.saturating_add(1) < first {
                break;
            }
            match snapshot::read(path, |_| {}) {
                Ok(snapshot) => return Ok(Self(Some(snapshot))),
                Err(error) => {
                    tracing::warn!(%error, "a snapshot of the state cannot be used");
                    problem = problem.or(Some(error));
                }
            }
        }
        Err(match problem {
            Some(error) => GroundError::Damaged { first, error },
            None => GroundError::Missing { first },
        })
    }

    /// The snapshot, if it is one.
    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.0.as_ref()
    }

    /// The change that it is the state after; 0: the beginning.
    pub(super) fn sequence(&self) -> u64 {
        self.0.as_ref().map_or(0, |snapshot| snapshot.applied.sequence)
    }

    /// Where the journal has to begin.
    pub(super) fn start(&self) -> Start {
        self.0.as_ref().map_or(Start::Genesis, Snapshot::start)
    }

    /// Gives every key in it to `visit`.
    ///
    /// # Errors
    /// [`SealedError`]
    pub(super) fn read(&self, visit: impl FnMut(KeyRecord)) -> Result<(), SealedError> {
        match &self.0 {
            Some(Snapshot { path, .. }) => snapshot::read(path, visit).map(drop),
            None => Ok(()),
        }
    }
}
