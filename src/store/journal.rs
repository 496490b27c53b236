//! The journal: every change ever made, in order, in one hash chain.
//!
//! INVARIANT: `append` returns `Ok` only after an fdatasync of what it wrote, and
//! one frame is synced before the next is begun. So only the last frame can be
//! torn, and an invalid frame with a valid one behind it is damage. Written by
//! the writer thread alone; read at open, by `repair`, by verification, and by the
//! audit log through the `index`.
//!
//! A segment is a file named after its first sequence number:
//! `header (64 bytes) frame*`, a frame is
//! `"JFR1" | length u32 | CRC-32C u32 | chain head [32] | CRC-32C u32 | Commit
//! (protobuf) | 0xff`, integers little-endian; the first CRC covers length, head
//! and commit, the second what stands before it; the head is
//! BLAKE3(previous head ‖ commit).

mod closed;
mod index;
mod read;
mod segment;
mod stream;
mod verify;

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _},
    path::{Path, PathBuf},
    time::Instant,
};

use prost::Message as _;

use self::segment::Header;
pub(super) use self::{
    closed::{Closed, closed, end_of, segments_until},
    index::{Block, Index, Marks, Placed, tag},
    read::{Beginning, Frame, Start, Tail, beginning, read, scan_frames},
    segment::{FRAME_LEN, FrameHeader, encode_frame, next_head},
    stream::{Position, read_stream},
    verify::{Pass, Point, Task, first_of, frames_behind, verify},
};
use crate::{metrics::Histogram, pb::storage::Commit};

/// A segment that is at least this long is followed by a new one.
pub(super) const SEGMENT_LIMIT: u64 = 64 << 20;
/// No frame is longer: what claims to be is damage.
pub(super) const MAX_COMMIT: usize = 16 << 20;

/// The head of a chain: BLAKE3 over all that led there.
pub(super) type Head = [u8; 32];

/// The journal, open at its end.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    segment: File,
    path: PathBuf,
    len: u64,
    last_frame: u64,
    limit: u64,
    last: u64,
    head: Head,
    syncs: Option<Histogram>,
}

/// A change could not be appended.
#[derive(Debug)]
pub(super) enum AppendError {
    /// The journal is as it was before.
    NotWritten(io::Error),
    /// Nobody knows what is on the disk: the process must stop.
    InDoubt(io::Error),
}

/// The journal cannot be read or continued.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system says no.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What came back.
        #[source]
        source: io::Error,
    },
    /// A newer program wrote it.
    #[error("`{}` has journal format {version}; this program reads format {}", path.display(), segment::VERSION)]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its format.
        version: u32,
    },
    /// Something that was durable is not what it was.
    #[error("the journal is damaged in `{}` at byte {offset}, after change {after}: {problem}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The last change that is known to be whole.
        after: u64,
        /// What is wrong.
        problem: Damage,
    },
}

/// What is wrong with a journal.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The segment's header is not one.
    #[error("the segment's header is damaged")]
    Header,
    /// The first segment does not begin at the beginning.
    #[error("the segments before it are missing")]
    Beginning,
    /// The chain does not pass through the head of the snapshot that is stood on.
    #[error("it does not continue the snapshot of the state that it was cut off at")]
    Snapshot,
    /// A segment does not continue the one before.
    #[error("it does not continue the segment before it")]
    Gap,
    /// Length or checksum of a frame is wrong.
    #[error("a frame's length or checksum is wrong")]
    Frame,
    /// A frame's content is not what this program writes.
    #[error("a frame's content cannot be decoded")]
    Content,
    /// The hash chain is broken.
    #[error("the hash chain is broken: a record was changed, removed or reordered")]
    Chain,
    /// Sequence numbers are not consecutive.
    #[error("sequence numbers are not consecutive")]
    Sequence,
}

impl Journal {
    /// Begins a journal in `dir`, which has none, with change `first`.
    pub(super) fn create(dir: &Path, first: u64, limit: u64) -> Result<Self, JournalError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(dir).map_err(io_error("create", dir))?;
        let header = Header { first, previous: [0; 32], genesis: true };
        let (segment, path) = header.create(dir)?;
        if let Some(parent) = dir.parent() {
            sync_dir(parent)?;
        }
        let (dir, len) = (dir.to_owned(), segment::HEADER_LEN);
        let last = first.saturating_sub(1);
        Ok(Self {
            dir,
            segment,
            path,
            len,
            last_frame: len,
            limit,
            last,
            head: [0; 32],
            syncs: None,
        })
    }

    /// Continues the journal in `dir` at `tail`. What is torn behind it is cut
    /// off: it was never acknowledged. The last frame is written again and synced:
    /// the process before may have been killed before its sync, or have stopped
    /// because that failed, and then the page cache shows what the disk does not
    /// have and another sync would not write.
    pub(super) fn resume(dir: &Path, tail: Tail, limit: u64) -> Result<Self, JournalError> {
        let path = tail.path;
        let segment =
            File::options().read(true).write(true).open(&path).map_err(io_error("open", &path))?;
        if tail.torn > 0 {
            segment.set_len(tail.len).map_err(io_error("cut off the torn end of", &path))?;
        }
        let len = usize::try_from(tail.len.saturating_sub(tail.last_frame)).unwrap_or_default();
        let mut last_frame = vec![0; len];
        segment
            .read_exact_at(&mut last_frame, tail.last_frame)
            .and_then(|()| segment.write_all_at(&last_frame, tail.last_frame))
            .map_err(io_error("write again the end of", &path))?;
        segment.sync_all().map_err(io_error("sync", &path))?;
        sync_dir(dir)?;
        if let Some(parent) = dir.parent() {
            sync_dir(parent)?;
        }
        let dir = dir.to_owned();
        let Tail { len, last_frame, last, head, .. } = tail;
        Ok(Self { dir, segment, path, len, last_frame, limit, last, head, syncs: None })
    }

    /// From now on it is observed how long syncs take.
    pub(super) fn time_syncs(&mut self, syncs: Histogram) {
        self.syncs = Some(syncs);
    }

    /// Writes `commit` and waits until it is durable.
    pub(super) fn append(&mut self, commit: &Commit) -> Result<(), AppendError> {
        if self.len >= self.limit {
            self.rotate().map_err(AppendError::NotWritten)?;
        }
        let commit_bytes = commit.encode_to_vec();
        if commit_bytes.len() > MAX_COMMIT {
            return Err(AppendError::NotWritten(io::ErrorKind::FileTooLarge.into()));
        }
        let (frame, head) = encode_frame(&self.head, &commit_bytes);
        if let Err(error) = self.segment.write_all_at(&frame, self.len) {
            // A part may have been written: take it back, or stop.
            let undone = self.segment.set_len(self.len).and_then(|()| self.segment.sync_data());
            return Err(match undone {
                Ok(()) => AppendError::NotWritten(error),
                Err(_) => AppendError::InDoubt(error),
            });
        }
        // A failed sync may have dropped the dirty pages: a second one that
        // succeeds would prove nothing.
        let started = Instant::now();
        self.segment.sync_data().map_err(AppendError::InDoubt)?;
        if let Some(syncs) = &self.syncs {
            syncs.observe_since(started);
        }
        self.last_frame = self.len;
        self.len += frame.len() as u64;
        self.head = head;
        self.last = commit.changes.last().map_or(self.last, |change| change.sequence);
        Ok(())
    }

    /// Where the frame stands that was appended last.
    pub(super) fn placed(&self) -> Placed<'_> {
        Placed { path: &self.path, offset: self.last_frame, len: self.len - self.last_frame }
    }

    /// The last change.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The head of the chain.
    pub(super) fn head(&self) -> Head {
        self.head
    }

    fn rotate(&mut self) -> io::Result<()> {
        let header = Header { first: self.last + 1, previous: self.head, genesis: false };
        let (segment, path) = header.create(&self.dir).map_err(io::Error::other)?;
        self.segment = segment;
        self.path = path;
        self.len = segment::HEADER_LEN;
        Ok(())
    }
}

/// Makes the names in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync", dir))
}

pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    move |source| JournalError::Io { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
