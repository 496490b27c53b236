//! The segments of a journal as files: which are closed, what the last change of
//! each is, and how far the last one reaches at a revision.
//!
//! INVARIANT: nothing is appended to a closed segment any more, and no frame that
//! the writer may still be at is looked at: who reads here runs beside the writer.
//! Used by retention and backup. Nothing is verified here but what is needed to
//! find the way.

use std::{
    fs::File,
    io::{self, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use prost::Message as _;

use super::{
    Damage, Head, JournalError, io_error,
    read::{read_up_to, segments},
    segment::{BadHeader, FRAME_LEN, FrameHeader, HEADER_LEN, Header},
};
use crate::pb::storage::Commit;

/// A segment that is followed by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Closed {
    /// Its file.
    pub(in crate::store) path: PathBuf,
    /// Its last change.
    pub(in crate::store) last: u64,
    /// The head of the chain after it.
    pub(in crate::store) head: Head,
}

/// The closed segments in `dir`, in order.
///
/// # Errors
/// [`JournalError`]
pub(in crate::store) fn closed(dir: &Path) -> Result<Vec<Closed>, JournalError> {
    let segments = segments(dir)?;
    let mut closed = Vec::with_capacity(segments.len());
    for (path, next) in segments.iter().zip(segments.iter().skip(1)) {
        let next = header(next)?;
        let last = next.first.saturating_sub(1);
        closed.push(Closed { path: path.clone(), last, head: next.previous });
    }
    Ok(closed)
}

impl Closed {
    /// When its last change was made, in milliseconds since the Unix epoch. `None`:
    /// there is no change in it.
    ///
    /// # Errors
    /// [`JournalError`]
    pub(in crate::store) fn last_time(&self) -> Result<Option<i64>, JournalError> {
        let mut hops = Hops::open(&self.path)?;
        let mut last = None;
        while let Some(hop) = hops.next()? {
            last = Some(hop);
        }
        let Some((at, header)) = last else { return Ok(None) };
        let bytes = hops.read(at + FRAME_LEN as u64, header.rest_len())?;
        let commit = header.commit(&bytes).and_then(|commit| Commit::decode(commit).ok());
        let commit = commit.ok_or_else(|| hops.damaged(at, Damage::Frame))?;
        Ok(commit.changes.last().map(|change| change.time_ms))
    }
}

/// The segments in `dir` that hold changes up to `sequence`, in order; at least
/// the first, which may hold none yet.
///
/// # Errors
/// [`JournalError`]
pub(in crate::store) fn segments_until(
    dir: &Path,
    sequence: u64,
) -> Result<Vec<PathBuf>, JournalError> {
    let mut until = Vec::new();
    for path in segments(dir)? {
        if !until.is_empty() && header(&path)?.first > sequence {
            break;
        }
        until.push(path);
    }
    Ok(until)
}

/// How long the segment in `path` is up to the frame after which the chain has
/// this head.
///
/// # Errors
/// [`JournalError`]; [`Damage::Chain`] when there is none.
pub(in crate::store) fn end_of(path: &Path, head: &Head) -> Result<u64, JournalError> {
    if header(path)?.previous == *head {
        return Ok(HEADER_LEN);
    }
    let mut hops = Hops::open(path)?;
    while let Some((at, frame)) = hops.next()? {
        if frame.head == *head {
            return Ok(at + (FRAME_LEN + frame.rest_len()) as u64);
        }
    }
    Err(hops.damaged(hops.at, Damage::Chain))
}

fn header(path: &Path) -> Result<Header, JournalError> {
    let mut header = [0; HEADER_LEN as usize];
    let mut file = File::open(path).map_err(io_error("open", path))?;
    let filled = read_up_to(&mut file, &mut header).map_err(io_error("read", path))?;
    let damaged = || JournalError::Damaged {
        path: path.to_owned(),
        offset: 0,
        after: 0,
        problem: Damage::Header,
    };
    if filled < header.len() {
        return Err(damaged());
    }
    Header::decode(&header).map_err(|bad| match bad {
        BadHeader::Damaged => damaged(),
        BadHeader::Version(version) => JournalError::Version { path: path.to_owned(), version },
    })
}

/// Goes from frame to frame without reading what is in them.
struct Hops {
    path: PathBuf,
    input: BufReader<File>,
    at: u64,
}

impl Hops {
    fn open(path: &Path) -> Result<Self, JournalError> {
        let file = File::open(path).map_err(io_error("open", path))?;
        let mut input = BufReader::with_capacity(64 << 10, file);
        input.seek(SeekFrom::Start(HEADER_LEN)).map_err(io_error("read", path))?;
        Ok(Self { path: path.to_owned(), input, at: HEADER_LEN })
    }

    /// The next frame: where it begins, and its header. `None`: the end, or what
    /// is no whole header.
    fn next(&mut self) -> Result<Option<(u64, FrameHeader)>, JournalError> {
        let mut header = [0; FRAME_LEN];
        read_up_to(&mut self.input, &mut header).map_err(io_error("read", &self.path))?;
        let Some(header) = FrameHeader::decode(&header) else { return Ok(None) };
        let rest = i64::try_from(header.rest_len()).unwrap_or(i64::MAX);
        self.input.seek_relative(rest).map_err(io_error("read", &self.path))?;
        let at = self.at;
        self.at += (FRAME_LEN + header.rest_len()) as u64;
        Ok(Some((at, header)))
    }

    fn read(&mut self, at: u64, len: usize) -> Result<Vec<u8>, JournalError> {
        let mut bytes = vec![0; len];
        let mut read = || -> io::Result<()> {
            self.input.seek(SeekFrom::Start(at))?;
            self.input.read_exact(&mut bytes)
        };
        read().map_err(io_error("read", &self.path))?;
        Ok(bytes)
    }

    fn damaged(&self, offset: u64, problem: Damage) -> JournalError {
        JournalError::Damaged { path: self.path.clone(), offset, after: 0, problem }
    }
}
