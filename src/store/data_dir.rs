//! The data directory: who has it, what lies in it, and why it cannot be used.
//!
//! INVARIANT: one process at a time, by a lock on the file `lock`; nothing in it
//! is ever deleted, only set aside, but for history that retention has snapshotted.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process,
};

use super::{StateError, ground::GroundError, journal::JournalError, sealed::SealedError};
use crate::sled_dir;

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
    /// A snapshot of the state cannot be read, and that is not damage.
    #[error(transparent)]
    Snapshot(SealedError),
    /// Acknowledged changes may be gone.
    #[error("{problem}\nchanges that were acknowledged, revocations among them, may be missing, so nothing is served\nput back a copy of `{0}`, or run `octavia-authz repair --data-dir {0}` to see what can be saved", .dir.display())]
    Lost {
        /// What is wrong.
        problem: Lost,
        /// The data directory.
        dir: PathBuf,
    },
    /// A newer program's, or nobody's.
    #[error("`{}` is not what this program wrote: the data directory is of a newer version, or of another program", .0.display())]
    Format(PathBuf),
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
    /// Old segments were deleted, and there is no snapshot to stand on.
    #[error("{0}")]
    Ground(GroundError),
    /// The snapshot is not of this journal.
    #[error("the snapshot that the journal stands on is not what the journal says the state was")]
    Snapshot,
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
pub(super) fn make(dir: &Path) -> io::Result<()> {
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

/// Moves `path` out of the way; nothing is deleted.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, OpenError> {
    sled_dir::set_aside(path).map_err(io_error("set aside", path))
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

pub(super) fn snapshot_dir(dir: &Path) -> PathBuf {
    dir.join("snapshot")
}

pub(super) fn state_dir(dir: &Path) -> PathBuf {
    dir.join("state")
}

pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { doing, path: path.to_owned(), source }
}
