//! Why the usage cannot be read or written.
//!
//! INVARIANT: only damage is answered by setting files aside; what the operating
//! system says somebody has to mend.

use std::{io, path::PathBuf};

use crate::sled_dir::{self, Failure, Panicked};

/// The usage cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// sled says so.
    #[error(transparent)]
    Sled(#[from] sled::Error),
    /// sled panicked, as it does on some damaged files.
    #[error("sled panicked on the files of the usage")]
    Panicked,
    /// A row is not what this program writes.
    #[error("the usage of a key is damaged")]
    Damaged,
    /// The operating system says no.
    #[error("cannot use the directory of the usage")]
    Io(#[from] io::Error),
    /// The disk is nearly full.
    #[error("too little room on the disk; free at least 48 MiB")]
    NoRoom,
    /// The rows could not be opened again after an error.
    #[error("the usage cannot be read until it can be opened again")]
    Unavailable,
    /// There is something where a restore should go.
    #[error("`{}` is not empty; restore into a fresh directory", .0.display())]
    NotEmpty(PathBuf),
}

impl UsageError {
    /// The files are damaged. What the operating system says somebody has to mend.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Sled(error) => sled_dir::is_damage(error),
            Self::Panicked | Self::Damaged => true,
            Self::Io(_) | Self::NoRoom | Self::Unavailable | Self::NotEmpty(_) => false,
        }
    }
}

impl From<Panicked> for UsageError {
    fn from(_: Panicked) -> Self {
        Self::Panicked
    }
}

impl Failure for UsageError {
    fn of_sled(&self) -> Option<&sled::Error> {
        if let Self::Sled(error) = self { Some(error) } else { None }
    }
}
