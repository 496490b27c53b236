//! Makes a data directory of a backup.
//!
//! INVARIANT: the directory is there whole or not at all. All of the backup is checked
//! before anything is made; then it is unpacked beside the final place, opened as a
//! start would, made durable, and renamed. Nothing that exists is changed: the place is
//! free, or an empty directory. Called by `octavia-authz restore`.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, BufReader, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    BackupError, BackupInfo, OpenError, UsageCopy,
    backup::Parts,
    check_backup,
    data_dir::{io_error, make, take},
    journal::SEGMENT_LIMIT,
    pepper::set_pepper,
    recovery::{Recovered, recover},
    sealed::sealed_io,
    snapshot::sync,
};
use crate::{
    digest::PepperId,
    pb::storage::{StoredUsage, backup_part::Part},
    token::KeyId,
};

/// What is to be restored, and where to.
#[derive(Debug)]
pub struct Restore<'a> {
    /// The backup.
    pub file: &'a Path,
    /// The data directory that it becomes.
    pub dir: &'a Path,
    /// The fingerprint of the pepper that will be served with.
    pub pepper: Option<PepperId>,
}

/// Nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup is no good, or needs another pepper.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// There is something already.
    #[error("`{}` is not empty; a backup is restored only into a directory that is empty or does not exist: choose another --data-dir, or move it away first", .0.display())]
    NotEmpty(PathBuf),
    /// It could not be put in place at once.
    #[error("`{}` is a file system of its own, into which nothing can be moved at once; restore into a directory below it", .0.display())]
    MountPoint(PathBuf),
    /// The directory cannot be made, or what was unpacked cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was unpacked is not what the backup says.
    #[error(
        "what was unpacked is not what the backup says that it holds; nothing was restored, try again"
    )]
    Unlike,
}

impl From<super::SealedError> for RestoreError {
    fn from(error: super::SealedError) -> Self {
        Self::Backup(error.into())
    }
}

/// Restores a backup. `progress` is told how many bytes of the file were read, in two
/// passes: the second begins at 0 again. `usage` is given the directory that is being
/// made and how keys were used, once, before anything is put in place; what it writes
/// there it makes durable.
///
/// # Errors
/// [`RestoreError`]; then nothing is where the data directory would be.
pub fn restore(
    restore: &Restore<'_>,
    usage: &mut dyn FnMut(&Path, UsageCopy) -> io::Result<()>,
    progress: &mut dyn FnMut(u64),
) -> Result<BackupInfo, RestoreError> {
    let Restore { file, dir, pepper } = *restore;
    // What is in its place may be a link to it, or be called `.`.
    let dir = &dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    check_place(dir, parent)?;
    let open = || File::open(file).map_err(sealed_io("open", file));
    let info = check_backup(open()?, file, progress)?;
    info.check_pepper(pepper)?;

    let made = Unfinished::make(dir, parent)?;
    let lock = take(&made.0)?;
    let used = unpack(BufReader::with_capacity(256 << 10, open()?), file, &made.0, progress)?;
    usage(&made.0, UsageCopy { since: info.usage_since, keys: Box::new(used.into_iter()) })
        .map_err(io_error("write the use of keys into", &made.0))?;
    set_pepper(&made.0, info.pepper)?;
    let Recovered { state, journal, applied, .. } = recover(&made.0, SEGMENT_LIMIT)?;
    state.flush().map_err(|source| OpenError::State { path: made.0.clone(), source })?;
    let found = (applied.sequence, applied.count, applied.digest.to_bytes(), journal.head());
    let BackupInfo { revision, key_count, state_digest, journal_head, .. } = info;
    if found != (revision, key_count, state_digest, journal_head) {
        return Err(RestoreError::Unlike);
    }
    drop((state, journal));
    check_place(dir, parent)?;
    // Over an empty directory too, at once.
    fs::rename(&made.0, dir)
        .and_then(|()| sync(parent))
        .map_err(io_error("put in its place the directory", &made.0))?;
    drop(lock);
    Ok(info)
}

/// Checks that nothing would be overwritten.
fn check_place(dir: &Path, parent: &Path) -> Result<(), RestoreError> {
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(RestoreError::NotEmpty(dir.to_owned()));
        }
        Err(error) => return Err(io_error("look into", dir)(error).into()),
    };
    if entries.next().is_some() {
        return Err(RestoreError::NotEmpty(dir.to_owned()));
    }
    let device = |path: &Path| path.metadata().map(|found| found.dev()).ok();
    if device(dir) != device(parent) {
        return Err(RestoreError::MountPoint(dir.to_owned()));
    }
    Ok(())
}

/// The directory while it is being made; removed unless it was renamed.
struct Unfinished(PathBuf);

impl Unfinished {
    fn make(dir: &Path, parent: &Path) -> Result<Self, RestoreError> {
        make(parent).map_err(io_error("create", parent))?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let path = parent.join(format!(".{name}.restoring"));
        if path.exists() {
            // Left over from a restore that was interrupted, unless it still runs.
            let _lock = take(&path)?;
            fs::remove_dir_all(&path).map_err(io_error("remove", &path))?;
        }
        DirBuilder::new().mode(0o700).create(&path).map_err(io_error("create", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What cannot be removed is removed by the next restore.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes the files of a backup that was checked into `dir`, durably. Gives how keys
/// were used.
fn unpack(
    input: impl io::Read,
    file: &Path,
    dir: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<(KeyId, StoredUsage)>, RestoreError> {
    let mut parts = Parts::open(input, file)?;
    let mut output: Option<(PathBuf, File)> = None;
    let mut used = Vec::new();
    let mut written = 0;
    loop {
        match parts.next()? {
            Part::File(piece) => {
                let path = dir.join(parts.name_of(&piece)?.path);
                let mut file = match output.take() {
                    Some((before, file)) if before == path => file,
                    before => {
                        finish(before)?;
                        create(&path).map_err(io_error("create", &path))?
                    }
                };
                file.write_all(&piece.bytes).map_err(io_error("write", &path))?;
                written += piece.bytes.len() as u64;
                progress(written);
                output = Some((path, file));
            }
            Part::Usage(piece) => {
                for key in piece.keys {
                    if let (Ok(id), Some(usage)) = (key.id.parse(), key.usage) {
                        used.push((id, usage));
                    }
                }
            }
            Part::End(_) => break,
        }
    }
    finish(output)?;
    for name in ["journal", "snapshot", ""] {
        let dir = dir.join(name);
        if dir.exists() {
            sync(&dir).map_err(io_error("sync", &dir))?;
        }
    }
    Ok(used)
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

fn finish(output: Option<(PathBuf, File)>) -> Result<(), OpenError> {
    match output {
        Some((path, file)) => file.sync_all().map_err(io_error("sync", &path)),
        None => Ok(()),
    }
}
