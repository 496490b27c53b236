//! A backup: all that a data directory holds as of one revision, as one file.
//!
//! INVARIANT: it holds what was published when it began, all of it and nothing
//! else: the journal up to there, the snapshot that the journal stands on, and use.
//! Making it blocks no change, since the journal is only appended to and nothing is
//! deleted meanwhile. There is no secret in it: the operator token and the pepper
//! are left out. Made by `Embedded`, streamed by `grpc`; `backup::check` reads it.
//!
//! The file is a sealed file: a `BackupHead`, then `BackupPart`s: the pieces of the
//! snapshot, of the segments in order, of use, and the end.

mod check;
mod parts;

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

pub use self::check::{BackupInfo, check_backup};
use self::parts::KIND;
pub(super) use self::parts::Parts;
use super::{
    OpenError, StateError,
    data_dir::{journal_dir, snapshot_dir},
    ground::{Ground, GroundError},
    journal::{self, Head, JournalError},
    pepper::pepper_of,
    retention::Hold,
    sealed::{SealedError, Sealer, sealed_io},
    state::Applied,
};
use crate::{
    clock::Timestamp,
    digest::PepperId,
    pb::storage::{
        BackupEnd, BackupHead, BackupPart, FilePiece, KeyUsage, StoredUsage, UsagePiece,
        backup_part::Part,
    },
    token::KeyId,
};

/// No chunk of a backup is longer.
pub const BACKUP_CHUNK: usize = 256 << 10;
/// A piece and what stands around it fit into a chunk.
const PIECE: usize = BACKUP_CHUNK - 1024;
/// How many keys' use share a chunk.
const USES_PER_PIECE: usize = 512;

/// A backup cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is not what was written, or a file cannot be read.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// The journal, or the one inside of the backup.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal has nothing to stand on.
    #[error(transparent)]
    Ground(#[from] GroundError),
    /// The data directory cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The journal inside of the backup does not add up.
    #[error("the changes in the journal do not add up to the state that it names")]
    State(#[from] StateError),
    /// It needs a pepper.
    #[error(
        "the keys in the backup are digested with the pepper of fingerprint {needed}, {}; pass it with --pepper-file",
        match given { Some(given) => format!("and not with that of {given}"), None => "and none was given".to_owned() }
    )]
    Pepper {
        /// The fingerprint of the pepper that it needs.
        needed: PepperId,
        /// The fingerprint of the one that was given.
        given: Option<PepperId>,
    },
}

/// How keys were used, to go into a backup or as it came out of one.
pub struct UsageCopy {
    /// Since when use was tracked.
    pub since: Option<Timestamp>,
    /// The keys that were used, and how.
    pub keys: Box<dyn Iterator<Item = (KeyId, StoredUsage)> + Send>,
}

impl Default for UsageCopy {
    /// None was used.
    fn default() -> Self {
        Self { since: None, keys: Box::new(std::iter::empty()) }
    }
}

/// A backup that is being made: an iterator over its bytes, in chunks of at most
/// [`BACKUP_CHUNK`]. As long as there is one, no history is deleted.
pub struct Backup {
    revision: u64,
    journal_head: Head,
    total: u64,
    begin: Option<Vec<u8>>,
    sealer: Sealer,
    files: VecDeque<Source>,
    usage: Box<dyn Iterator<Item = (KeyId, StoredUsage)> + Send>,
    parts: u64,
    ended: bool,
    _hold: Hold,
}

/// A file of the data directory, as far as it goes into the backup.
struct Source {
    name: String,
    path: PathBuf,
    left: u64,
    file: Option<File>,
}

impl Backup {
    /// Begins a backup of the data directory `dir`, which is at `applied` and `head`.
    pub(super) fn begin(
        dir: &Path,
        (applied, head): (Applied, Head),
        hold: Hold,
        usage: UsageCopy,
        now: Timestamp,
    ) -> Result<Self, BackupError> {
        let (journal_dir, snapshot_dir) = (journal_dir(dir), snapshot_dir(dir));
        let ground = Ground::find(&journal_dir, &snapshot_dir)?;
        let mut files = VecDeque::new();
        if let Some(snapshot) = ground.snapshot() {
            let path = snapshot.path.clone();
            let len = path.metadata().map_err(sealed_io("read", &path))?.len();
            files.push_back(Source::new("snapshot", path, len));
        }
        let mut segments = journal::segments_until(&journal_dir, applied.sequence)?;
        let last = segments.pop();
        for path in segments {
            let len = path.metadata().map_err(sealed_io("read", &path))?.len();
            files.push_back(Source::new("journal", path, len));
        }
        if let Some(path) = last {
            let len = journal::end_of(&path, &head)?;
            files.push_back(Source::new("journal", path, len));
        }
        let (sealer, begin) = Sealer::begin(&KIND);
        let mut backup = Self {
            revision: applied.sequence,
            journal_head: head,
            total: 0,
            begin: None,
            sealer,
            files,
            usage: usage.keys,
            parts: 0,
            ended: false,
            _hold: hold,
        };
        let head = BackupHead {
            sequence: applied.sequence,
            journal_head: head.to_vec(),
            state_digest: applied.digest.to_bytes().to_vec(),
            key_count: applied.count,
            time_ms: now.0,
            pepper: pepper_of(dir)?.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            usage_since_ms: usage.since.map_or(0, |since| since.0),
        };
        let begin = [begin, backup.sealer.frame(&head)].concat();
        backup.total = begin.len() as u64 + backup.files.iter().map(Source::total).sum::<u64>();
        backup.begin = Some(begin);
        Ok(backup)
    }

    /// The revision that it holds.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The head of the journal's chain there.
    pub fn journal_head(&self) -> &[u8; 32] {
        &self.journal_head
    }

    /// How many bytes it has, nearly: without use.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    fn part(&mut self, part: Part) -> Vec<u8> {
        self.parts += 1;
        self.sealer.frame(&BackupPart { part: Some(part) })
    }

    fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        if self.ended {
            return Ok(None);
        }
        if let Some(begin) = self.begin.take() {
            return Ok(Some(begin));
        }
        while let Some(source) = self.files.front_mut() {
            let bytes = source.next_piece().map_err(sealed_io("read", &source.path))?;
            if let Some(bytes) = bytes {
                let path = source.name.clone();
                return Ok(Some(self.part(Part::File(FilePiece { path, bytes }))));
            }
            self.files.pop_front();
        }
        let keys = self.usage.by_ref().take(USES_PER_PIECE).map(|(id, usage)| KeyUsage {
            id: id.to_string(),
            // INVARIANT: what is handed in was encoded as this.
            usage: Some(usage),
        });
        let keys: Vec<_> = keys.collect();
        if !keys.is_empty() {
            return Ok(Some(self.part(Part::Usage(UsagePiece { keys }))));
        }
        self.ended = true;
        let parts = self.parts;
        Ok(Some(self.part(Part::End(BackupEnd { parts }))))
    }
}

impl Iterator for Backup {
    type Item = Result<Vec<u8>, BackupError>;

    /// The next bytes. After an error there are no more.
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_chunk();
        self.ended |= next.is_err();
        next.transpose()
    }
}

impl Source {
    fn new(dir: &str, path: PathBuf, left: u64) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self { name: format!("{dir}/{name}"), path, left, file: None }
    }

    /// How many bytes it takes in a backup.
    fn total(&self) -> u64 {
        let around = 128 * self.left.div_ceil(PIECE as u64);
        self.left + around
    }

    fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE);
        if len == 0 {
            return Ok(None);
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.path)?),
        };
        let mut bytes = vec![0; len];
        file.read_exact(&mut bytes)?;
        self.left -= len as u64;
        Ok(Some(bytes))
    }
}
