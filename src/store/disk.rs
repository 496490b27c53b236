//! What the store takes of the disk, for metrics.
//!
//! INVARIANT: what cannot be read is `None`, never a part of it.

use std::path::Path;

use super::data_dir::{journal_dir, state_dir};
use crate::dir_size::size_of;

/// Sizes in bytes; `None` could not be read.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// The journal's.
    pub journal: Option<u64>,
    /// The state's.
    pub state: Option<u64>,
    /// What is free for this user.
    pub free: Option<u64>,
}

impl DiskUse {
    /// What the data directory `dir` takes.
    pub(super) fn of(dir: &Path) -> Self {
        let free = rustix::fs::statvfs(dir);
        Self {
            journal: size_of(&journal_dir(dir)),
            state: size_of(&state_dir(dir)),
            free: free.ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
        }
    }
}
