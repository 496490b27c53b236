//! The data directory: who has it, what lies in it, and why it cannot be used.
//!
//! INVARIANT: one process at a time, by a lock on the file `lock`; nothing in it
//! is ever deleted, only set aside.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process,
};

use super::{StateError, journal::JournalError};
use crate::digest::PepperId;

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

/// The fingerprint of the pepper that the data in `dir` is digested with.
pub(super) fn pepper_of(dir: &Path) -> Result<Option<PepperId>, OpenError> {
    let path = dir.join("pepper");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let pepper = text.trim_end().parse().map_err(|_| OpenError::Format(path))?;
    Ok(Some(pepper))
}

/// Notes down the fingerprint of the pepper.
pub(super) fn set_pepper(dir: &Path, pepper: Option<PepperId>) -> Result<(), OpenError> {
    let path = dir.join("pepper");
    match pepper {
        Some(pepper) => write_durably(&path, format!("{pepper}\n").as_bytes()),
        None => fs::remove_file(&path)
            .and_then(|()| File::open(dir)?.sync_all())
            .map_err(io_error("remove", &path)),
    }
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
