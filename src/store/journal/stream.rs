//! Verifies a segment that comes as a stream, as it lies in a backup: no file, no
//! torn end, nothing behind the last frame.
//!
//! INVARIANT: as strict as reading a journal's files, but for the end: a backup
//! ends with a whole frame, so what is torn is damage. Called by the check of a
//! backup.

use std::{io::Read, path::Path};

use prost::Message as _;

use super::{
    Damage, Head, JournalError, io_error,
    read::{Frame, Passage, Start, consecutive, read_frame, read_up_to},
    segment::{BadHeader, FRAME_LEN, HEADER_LEN, Header},
};
use crate::pb::storage::Commit;

/// Where a chain of streamed segments stands.
pub(in crate::store) struct Position {
    passage: Passage,
    /// The last change, and the head of the chain after it; `None` before the
    /// first segment.
    at: Option<(u64, Head)>,
}

impl Position {
    /// Before the first segment, which has to be as `start` says.
    pub(in crate::store) fn new(start: Start) -> Self {
        Self { passage: Passage::new(start), at: None }
    }

    /// The last change and the head of the chain; `None`: there was no segment, or
    /// the chain has not passed where it has to.
    pub(in crate::store) fn end(&self) -> Option<(u64, Head)> {
        self.at.filter(|_| self.passage.is_done())
    }
}

/// Reads the next segment, which is called `path`, and gives every frame to
/// `visit`.
///
/// # Errors
/// `E` is what `visit` may fail with; [`JournalError`] becomes one.
pub(in crate::store) fn read_stream<E: From<JournalError>>(
    input: &mut impl Read,
    path: &Path,
    position: &mut Position,
    mut visit: impl FnMut(Frame) -> Result<(), E>,
) -> Result<(), E> {
    let known = position.at.map_or(0, |(last, _)| last);
    let damaged = |offset, after, problem| JournalError::Damaged {
        path: path.to_owned(),
        offset,
        after,
        problem,
    };
    let mut header = [0; HEADER_LEN as usize];
    if read_up_to(input, &mut header).map_err(io_error("read", path))? < header.len() {
        return Err(damaged(0, known, Damage::Header).into());
    }
    let header = Header::decode(&header).map_err(|bad| match bad {
        BadHeader::Version(version) => JournalError::Version { path: path.to_owned(), version },
        BadHeader::Damaged => damaged(0, known, Damage::Header),
    })?;
    let before = header.first.saturating_sub(1);
    let problem = match position.at {
        None if !position.passage.permits(&header) => Some(Damage::Beginning),
        Some(at) if at != (before, header.previous) => Some(Damage::Gap),
        _ if !position.passage.allows(before, &header.previous) => Some(Damage::Snapshot),
        _ => None,
    };
    if let Some(problem) = problem {
        return Err(damaged(0, known, problem).into());
    }

    let (mut offset, mut last, mut head) = (HEADER_LEN, before, header.previous);
    loop {
        let wrong = |problem| damaged(offset, last, problem);
        let mut input = Counted { input: &mut *input, read: 0 };
        let Some((frame, bytes)) = read_frame(&mut input).map_err(io_error("read", path))? else {
            if input.read == 0 {
                break;
            }
            return Err(wrong(Damage::Frame).into());
        };
        if super::next_head(&head, &bytes) != frame.head {
            return Err(wrong(Damage::Chain).into());
        }
        let commit = Commit::decode(bytes.as_slice()).map_err(|_| wrong(Damage::Content))?;
        let next = consecutive(&commit, last).ok_or_else(|| wrong(Damage::Sequence))?;
        if !position.passage.allows(next, &frame.head) {
            return Err(wrong(Damage::Snapshot).into());
        }
        visit(Frame { commit, last: next, head: frame.head })?;
        offset += (FRAME_LEN + frame.rest_len()) as u64;
        (last, head) = (next, frame.head);
    }
    position.at = Some((last, head));
    Ok(())
}

/// Tells an end from half a frame.
struct Counted<'a, R> {
    input: &'a mut R,
    read: usize,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.read += read;
        Ok(read)
    }
}
