//! The usage's directory: opened, checked, and set aside when it is damaged.
//!
//! INVARIANT: `since` is the time from which nothing is missing. Where rows do not
//! add up to their sum, or sled went back to an older state (it cuts off a damaged
//! log in silence), what can be read is kept and `since` is now. Against the
//! latter stands the file `synced`: the number of the last batch that was synced,
//! outside sled. Nothing is deleted, only set aside.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

use super::{
    UsageError,
    moment::LastUsed,
    rows::{Rows, Sum},
};
use crate::{clock::Timestamp, sled_dir};

/// With less than this free on the disk, usage stays in memory. More than the
/// store's own reserve: the last room is for changes of keys.
const RESERVE: u64 = 48 << 20;

pub(super) struct Opened {
    pub(super) rows: Rows,
    pub(super) sum: Sum,
    pub(super) last_used: LastUsed,
}

/// Opens the rows in `dir`, or makes new ones that begin at `now`.
pub(super) fn open(dir: &Path, now: Timestamp) -> Result<Opened, UsageError> {
    match open_as_it_is(dir, now) {
        Err(error) if error.is_damage() => {
            let aside = sled_dir::set_aside(dir)?;
            tracing::warn!(
                %error, set_aside = %aside.display(),
                "the usage of keys is damaged and was set aside; it is tracked anew from now on"
            );
            open_as_it_is(dir, now)
        }
        result => result,
    }
}

/// Opens what is in `dir`, without a look at it.
pub(super) fn open_rows(dir: &Path) -> Result<Rows, UsageError> {
    // sled's files have the process's umask: the directory keeps others out.
    if !dir.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    sled_dir::open(dir, || Rows::open(dir))
}

fn open_as_it_is(dir: &Path, now: Timestamp) -> Result<Opened, UsageError> {
    let rows = open_rows(dir)?;
    let contents = rows.read_all()?;
    let synced = read_synced(dir)?;
    let is_whole = contents.damaged.is_empty()
        && contents.stored == Some(contents.found)
        && contents.found.number >= synced;
    let mut sum = contents.found;
    if !is_whole {
        if contents.stored.is_some() || synced > 0 || !contents.last_used.is_empty() {
            tracing::warn!(
                dir = %dir.display(), keys = contents.last_used.len(),
                "some of the usage of keys is missing; what is left is kept, and counts from now on"
            );
        }
        sum.since = now;
        sum.number = sum.number.max(synced) + 1;
        rows.reset(contents.damaged, &sum)?;
        rows.sync()?;
        // The new files have names, too.
        File::open(dir)?.sync_all()?;
        write_synced(dir, sum.number)?;
    }
    Ok(Opened { rows, sum, last_used: contents.last_used })
}

/// Notes that the batch `number` is durable. Itself not synced: an older number
/// than the true one raises no alarm.
pub(super) fn write_synced(dir: &Path, number: u64) -> Result<(), UsageError> {
    let number = number.to_le_bytes();
    let sum = crc32c::crc32c(&number).to_le_bytes();
    Ok(fs::write(dir.join("synced"), [number.as_slice(), &sum].concat())?)
}

/// The number that was noted; 0 where there is none that can be read.
fn read_synced(dir: &Path) -> Result<u64, UsageError> {
    let bytes = match fs::read(dir.join("synced")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        result => result?,
    };
    let number = bytes
        .split_first_chunk()
        .filter(|(number, sum)| crc32c::crc32c(number.as_slice()).to_le_bytes().as_slice() == *sum);
    Ok(number.map_or(0, |(number, _)| u64::from_le_bytes(*number)))
}

/// Refuses to write on a disk that is nearly full: sled does not recover from it.
pub(super) fn check_room(dir: &Path) -> Result<(), UsageError> {
    let disk = rustix::fs::statvfs(dir).map_err(io::Error::from)?;
    let is_room = disk.f_bavail.saturating_mul(disk.f_frsize) >= RESERVE;
    if is_room { Ok(()) } else { Err(UsageError::NoRoom) }
}

/// Whether there is nothing in `dir`, or no `dir`.
pub(super) fn is_empty(dir: &Path) -> io::Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}
