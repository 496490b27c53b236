//! A snapshot: all keys as of one change, in one file. What stands before the
//! journal's first segment when older ones were deleted.
//!
//! INVARIANT: a snapshot that can be read is whole: its keys are in order, as many
//! as it says, and add up to its digest. Whether it belongs to a journal, the
//! journal tells: the chain has to pass through its head. Written by retention,
//! read by the start, repair and backup.
//!
//! The file is `snapshot/<sequence>.snapshot`, a sealed file: a `SnapshotHead`, then
//! `SnapshotKeys`, at the end one without a key.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, BufReader, BufWriter, Read, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use prost::Message as _;

use super::{
    journal::{Head, Start},
    key_set::KeySet,
    sealed::{Flaw, Kind, SealedError, Sealer, Unsealer, sealed_io},
    state::Applied,
};
use crate::{
    clock::Timestamp,
    pb::storage::{SnapshotHead, SnapshotKeys, StoredKey},
    record::KeyRecord,
};

static KIND: Kind = Kind { name: "snapshot", magic: *b"OCTVSNAP", version: 1 };
/// At most so many keys share a frame.
const KEYS_PER_FRAME: usize = 256;
/// A frame is closed when its keys are this long.
const FRAME_BYTES: usize = 1 << 20;

/// What a snapshot says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Its file.
    pub(super) path: PathBuf,
    /// The last change in it, how many keys there are, and their digest.
    pub(super) applied: Applied,
    /// The head of the journal's chain there.
    pub(super) head: Head,
}

impl Snapshot {
    /// Where a journal that stands on it has to begin.
    pub(super) fn start(&self) -> Start {
        Start::After { sequence: self.applied.sequence, head: self.head }
    }
}

/// Writes `keys`, whose journal has this head there, into the directory `dir`,
/// durably, whole or not at all. Nothing is read back.
///
/// # Errors
/// [`SealedError::Io`]
pub(super) fn write(
    dir: &Path,
    keys: &KeySet,
    head: &Head,
    now: Timestamp,
) -> Result<PathBuf, SealedError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.and_then(|()| sync(dir.parent().unwrap_or(Path::new("."))))
        .map_err(sealed_io("create", dir))?;
    let path = dir.join(format!("{:020}.snapshot", keys.applied().sequence));
    let new = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut output = BufWriter::with_capacity(256 << 10, options.open(&new)?);
        let applied = keys.applied();
        let (mut sealer, header) = Sealer::begin(&KIND);
        output.write_all(&header)?;
        output.write_all(&sealer.frame(&SnapshotHead {
            sequence: applied.sequence,
            journal_head: head.to_vec(),
            state_digest: applied.digest.to_bytes().to_vec(),
            key_count: applied.count,
            time_ms: now.0,
        }))?;
        let (mut piece, mut len) = (SnapshotKeys::default(), 0);
        for stored in keys.stored() {
            // INVARIANT: a key set holds what a record has encoded.
            piece.keys.push(StoredKey::decode(stored).map_err(io::Error::other)?);
            len += stored.len();
            if piece.keys.len() >= KEYS_PER_FRAME || len >= FRAME_BYTES {
                output.write_all(&sealer.frame(&std::mem::take(&mut piece)))?;
                len = 0;
            }
        }
        if !piece.keys.is_empty() {
            output.write_all(&sealer.frame(&piece))?;
        }
        output.write_all(&sealer.frame(&SnapshotKeys::default()))?;
        output.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&new, &path)?;
        sync(dir)
    };
    write().map_err(sealed_io("write", &path))?;
    Ok(path)
}

/// Reads the snapshot in `path` to its end and gives every key to `visit`. What it
/// gave is to be believed only when all of it could be read.
///
/// # Errors
/// [`SealedError`]
pub(super) fn read(path: &Path, visit: impl FnMut(KeyRecord)) -> Result<Snapshot, SealedError> {
    let file = File::open(path).map_err(sealed_io("open", path))?;
    read_from(BufReader::with_capacity(256 << 10, file), path, visit)
}

/// The same of any input, which is called `path`.
pub(super) fn read_from(
    input: impl Read,
    path: &Path,
    mut visit: impl FnMut(KeyRecord),
) -> Result<Snapshot, SealedError> {
    let mut input = Unsealer::open(&KIND, input, path)?;
    let head: SnapshotHead = input.next()?;
    let fields = || {
        Some((
            Head::try_from(head.journal_head.as_slice()).ok()?,
            <[u8; 32]>::try_from(head.state_digest.as_slice()).ok()?,
        ))
    };
    let (journal_head, digest) = fields().ok_or_else(|| input.damaged(Flaw::Content))?;
    if sequence_of(path).is_some_and(|sequence| sequence != head.sequence) {
        return Err(input.damaged(Flaw::Order));
    }
    let mut applied = Applied { sequence: head.sequence, ..Applied::default() };
    let mut before = None;
    loop {
        let piece: SnapshotKeys = input.next()?;
        if piece.keys.is_empty() {
            break;
        }
        for key in piece.keys {
            let key = KeyRecord::from_stored(key).map_err(|_| input.damaged(Flaw::Content))?;
            if before >= Some(key.id) {
                return Err(input.damaged(Flaw::Order));
            }
            before = Some(key.id);
            applied.add(&key.encode());
            visit(key);
        }
    }
    if (applied.count, applied.digest.to_bytes()) != (head.key_count, digest) {
        return Err(input.damaged(Flaw::Digest));
    }
    input.end()?;
    Ok(Snapshot { path: path.to_owned(), applied, head: journal_head })
}

/// The files in `dir` that are called as snapshots are, oldest first, and the
/// change that each is of.
///
/// # Errors
/// [`SealedError::Io`]
pub(super) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, SealedError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(sealed_io("list", dir)(error)),
    };
    let mut snapshots = Vec::new();
    for entry in entries {
        let path = entry.map_err(sealed_io("list", dir))?.path();
        snapshots.extend(sequence_of(&path).map(|sequence| (sequence, path)));
    }
    snapshots.sort();
    Ok(snapshots)
}

fn sequence_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".snapshot")?;
    name.parse().ok()
}

/// Makes the names in `dir` durable.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}
