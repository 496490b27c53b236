//! A directory of sled's that may be damaged: opened, judged, and set aside.
//!
//! INVARIANT: a panic of sled is an error like any other, and nothing is deleted
//! but what sled itself would not read: it is set aside. What the operating system
//! says is no damage: somebody has to mend that.

use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// sled releases its lock a little after it was closed.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// sled panicked, as it does on some damaged files.
pub(crate) struct Panicked;

/// An error that may be sled's.
pub(crate) trait Failure: From<io::Error> + From<Panicked> {
    /// What sled says, if it is its.
    fn of_sled(&self) -> Option<&sled::Error>;
}

/// Opens the directory `dir`, if it is there, by `open`.
pub(crate) fn open<T, E: Failure>(
    dir: &Path,
    mut open: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    remove_half_made_snapshots(dir)?;
    let started = Instant::now();
    loop {
        match contained(&mut open) {
            Err(error)
                if error.of_sled().is_some_and(is_locked) && started.elapsed() < LOCK_PATIENCE =>
            {
                thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// sled panics on some damaged files: that is an error like any other.
pub(crate) fn contained<T, E: From<Panicked>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Panicked.into()))
}

/// Whether the files are damaged. What the operating system says (no permission, no
/// space) somebody has to mend first.
pub(crate) fn is_damage(error: &sled::Error) -> bool {
    match error {
        sled::Error::Io(io) => io.raw_os_error().is_none() && !is_locked(error),
        _ => true,
    }
}

/// Moves `path` out of the way; nothing is deleted. Gives where it is now.
pub(crate) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = (1..u32::MAX)
        .map(|n| path.with_file_name(format!("{name}.damaged-{n}")))
        .find(|to| !to.exists());
    let aside = free.unwrap_or_else(|| path.with_file_name(format!("{name}.damaged")));
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock
        || error.to_string().contains("could not acquire lock"))
}

/// sled refuses to open beside a snapshot that it was killed while making.
fn remove_half_made_snapshots(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::warn!(file = %path.display(), "removing a snapshot that was never finished");
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
