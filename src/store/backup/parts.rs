//! The parts of a backup, one after the other, and the files in it as streams.
//!
//! INVARIANT: only names that this program gives are taken: a file of a backup
//! cannot be put anywhere else. Read by the check and by restore.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::super::{
    BackupError,
    sealed::{Flaw, Kind, SealedError, Unsealer},
};
use crate::pb::storage::{BackupHead, BackupPart, FilePiece, backup_part::Part};

pub(super) static KIND: Kind = Kind { name: "backup", magic: *b"OCTVBKUP", version: 1 };

/// What a file in a backup is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum FileKind {
    Snapshot,
    Segment,
}

/// The name of a file in a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct FileName {
    /// What it is.
    pub(in crate::store) kind: FileKind,
    /// Its path in the data directory.
    pub(in crate::store) path: String,
}

impl FileName {
    /// `None`: no file of this name goes into a backup.
    fn parse(path: &str) -> Option<Self> {
        let (kind, number) = if let Some(name) = path.strip_prefix("journal/") {
            (FileKind::Segment, name.strip_suffix(".journal")?)
        } else {
            (FileKind::Snapshot, path.strip_prefix("snapshot/")?.strip_suffix(".snapshot")?)
        };
        let digits = number.len() == 20 && number.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| Self { kind, path: path.to_owned() })
    }
}

/// The parts of a backup.
pub(in crate::store) struct Parts<R> {
    unsealer: Unsealer<R>,
    path: PathBuf,
    /// What stands at the beginning.
    pub(in crate::store) head: BackupHead,
    next: Option<Part>,
    read: u64,
}

impl<R: Read> Parts<R> {
    /// Begins to read the backup `input`, which is called `path`.
    pub(in crate::store) fn open(input: R, path: &Path) -> Result<Self, SealedError> {
        let mut unsealer = Unsealer::open(&KIND, input, path)?;
        let head = unsealer.next()?;
        Ok(Self { unsealer, path: path.to_owned(), head, next: None, read: 0 })
    }

    /// The next part.
    pub(in crate::store) fn next(&mut self) -> Result<Part, SealedError> {
        if let Some(part) = self.next.take() {
            return Ok(part);
        }
        let part: BackupPart = self.unsealer.next()?;
        let part = part.part.ok_or_else(|| self.damaged(Flaw::Content))?;
        if let Part::End(end) = &part
            && end.parts != self.read
        {
            return Err(self.damaged(Flaw::Order));
        }
        self.read += 1;
        Ok(part)
    }

    /// The name of the file that a piece is of.
    pub(in crate::store) fn name_of(&self, piece: &FilePiece) -> Result<FileName, SealedError> {
        FileName::parse(&piece.path).ok_or_else(|| self.damaged(Flaw::Content))
    }

    /// That the part which was read last is wrong.
    pub(in crate::store) fn damaged(&self, flaw: Flaw) -> SealedError {
        self.unsealer.damaged(flaw)
    }

    /// Checks that nothing stands behind the end. Gives the file's length.
    pub(in crate::store) fn end(&mut self) -> Result<u64, SealedError> {
        self.unsealer.end()
    }

    /// Lets `work` read the file that begins with `first`, all of it. It is told what
    /// the file is called, for what it may have to say.
    pub(super) fn file<T>(
        &mut self,
        first: FilePiece,
        work: impl FnOnce(&mut Content<'_, R>, &Path) -> Result<T, BackupError>,
    ) -> Result<T, BackupError> {
        let shown = PathBuf::from(format!("{}:{}", self.path.display(), first.path));
        let mut content = Content { parts: self, piece: first, at: 0, failed: None };
        let done = work(&mut content, &shown);
        // A damaged backup says more than what that made of the file in it.
        match content.failed.take() {
            Some(error) => Err(error.into()),
            None => done,
        }
    }
}

/// The bytes of one file in a backup.
pub(super) struct Content<'a, R> {
    parts: &'a mut Parts<R>,
    piece: FilePiece,
    at: usize,
    failed: Option<SealedError>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let rest = self.piece.bytes.get(self.at..).unwrap_or_default();
            if !rest.is_empty() {
                let len = rest.len().min(buffer.len());
                if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
                    to.copy_from_slice(from);
                }
                self.at += len;
                return Ok(len);
            }
            match self.parts.next() {
                Ok(Part::File(piece)) if piece.path == self.piece.path => {
                    (self.piece, self.at) = (piece, 0);
                }
                Ok(other) => {
                    self.parts.next = Some(other);
                    return Ok(0);
                }
                Err(error) => {
                    self.failed = Some(error);
                    return Err(io::Error::other("the backup is damaged"));
                }
            }
        }
    }
}
