//! Checks a backup: everything that a start would check, without a data directory.
//!
//! INVARIANT: what is found good is whole: every checksum and both hash chains hold,
//! the journal ends where the head says, and its changes add up to the keys that the
//! head names. Called by `backup`, `restore` and `restore --check` on the command line.

use std::{
    io::{BufReader, Read},
    path::Path,
};

use super::super::{
    journal::{Position, Start, read_stream},
    key_set::KeySet,
    sealed::Flaw,
    snapshot,
};
use super::{
    BackupError,
    parts::{FileKind, Parts},
};
use crate::{
    clock::Timestamp,
    digest::PepperId,
    pb::storage::{BackupHead, backup_part::Part},
};

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupInfo {
    /// The last change in it.
    pub revision: u64,
    /// The head of the journal's chain there.
    pub journal_head: [u8; 32],
    /// The state's digest there.
    pub state_digest: [u8; 32],
    /// How many keys there are.
    pub key_count: u64,
    /// When it was made.
    pub made: Timestamp,
    /// The fingerprint of the pepper that its keys are digested with; `None`: without.
    pub pepper: Option<PepperId>,
    /// The version of the program that made it.
    pub version: String,
    /// Since when use was tracked; `None`: it was not.
    pub usage_since: Option<Timestamp>,
    /// How long the file is, in bytes.
    pub bytes: u64,
}

impl BackupInfo {
    fn of(head: &BackupHead) -> Option<Self> {
        Some(Self {
            revision: head.sequence,
            journal_head: head.journal_head.as_slice().try_into().ok()?,
            state_digest: head.state_digest.as_slice().try_into().ok()?,
            key_count: head.key_count,
            made: Timestamp(head.time_ms),
            pepper: match head.pepper.as_slice() {
                [] => None,
                bytes => Some(PepperId::from_bytes(bytes)?),
            },
            version: head.version.clone(),
            usage_since: Some(head.usage_since_ms).filter(|ms| *ms != 0).map(Timestamp),
            bytes: 0,
        })
    }

    /// Checks that the pepper of fingerprint `given` is the one that the keys need. A
    /// pepper for keys that need none does no harm.
    ///
    /// # Errors
    /// [`BackupError::Pepper`]
    pub fn check_pepper(&self, given: Option<PepperId>) -> Result<(), BackupError> {
        match self.pepper {
            Some(needed) if given != Some(needed) => Err(BackupError::Pepper { needed, given }),
            _ => Ok(()),
        }
    }
}

/// Reads the backup `input`, which is called `path` in what is said of it, to its end
/// and checks all of it. `progress` is told how many bytes were read. Holds all keys in
/// memory.
///
/// # Errors
/// [`BackupError`]
pub fn check_backup(
    input: impl Read,
    path: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<BackupInfo, BackupError> {
    let input = BufReader::with_capacity(256 << 10, Told { input, read: 0, progress });
    let mut parts = Parts::open(input, path)?;
    let info = BackupInfo::of(&parts.head);
    let mut info = info.ok_or_else(|| parts.damaged(Flaw::Content))?;
    let mut keys = KeySet::default();
    let mut journal: Option<Position> = None;
    let mut start = Start::Genesis;
    let mut used = false;
    loop {
        match parts.next()? {
            Part::File(piece) if !used => match parts.name_of(&piece)?.kind {
                FileKind::Snapshot if journal.is_none() && start == Start::Genesis => {
                    let snapshot = parts.file(piece, |input, path| {
                        Ok(snapshot::read_from(input, path, |key| keys.put(&key))?)
                    })?;
                    keys.stands_at(snapshot.applied.sequence);
                    start = snapshot.start();
                }
                FileKind::Snapshot => return Err(parts.damaged(Flaw::Order).into()),
                FileKind::Segment => {
                    let journal = journal.get_or_insert_with(|| Position::new(start));
                    parts.file(piece, |input, path| {
                        read_stream(input, path, journal, |frame| {
                            Ok(keys.take(&frame, &frame.commit()?)?)
                        })
                    })?;
                }
            },
            Part::File(_) => return Err(parts.damaged(Flaw::Order).into()),
            Part::Usage(piece) => {
                used = true;
                if piece.keys.iter().any(|used| used.id.parse::<crate::token::KeyId>().is_err()) {
                    return Err(parts.damaged(Flaw::Content).into());
                }
            }
            Part::End(_) => break,
        }
    }
    if journal.and_then(|journal| journal.end()) != Some((info.revision, info.journal_head)) {
        return Err(parts.damaged(Flaw::End).into());
    }
    let applied = keys.applied();
    if (applied.count, applied.digest.to_bytes()) != (info.key_count, info.state_digest) {
        return Err(parts.damaged(Flaw::Digest).into());
    }
    info.bytes = parts.end()?;
    Ok(info)
}

/// Tells how much was read.
struct Told<'a, R> {
    input: R,
    read: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.read += read as u64;
        (self.progress)(self.read);
        Ok(read)
    }
}
