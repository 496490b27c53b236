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
    read::{Frame, Label, Start, Tail, consecutive, damaged, read_frame, read_up_to},
    segment::{BadHeader, FRAME_LEN, HEADER_LEN, Header},
};
use crate::pb::storage::CommitOutline;

/// Where a chain of streamed segments stands.
pub(in crate::store) struct Position {
    start: Start,
    /// `None` before the first segment.
    tail: Option<Tail>,
}

impl Position {
    /// Before the first segment, which has to be as `start` says.
    pub(in crate::store) fn new(start: Start) -> Self {
        Self { start, tail: None }
    }

    /// The last change and the head of the chain; `None`: there was no segment, or
    /// the chain has not passed where it has to.
    pub(in crate::store) fn end(&self) -> Option<(u64, Head)> {
        let tail = self.tail.as_ref().filter(|tail| self.start.check_end(tail).is_ok())?;
        Some((tail.last, tail.head))
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
    mut visit: impl FnMut(Frame<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut header = [0; HEADER_LEN as usize];
    let filled = read_up_to(input, &mut header).map_err(io_error("read", path))?;
    let header = match filled < header.len() {
        true => Err(BadHeader::Damaged),
        false => Header::decode(&header),
    };
    let label = Label { path: path.to_owned(), header };
    let header = label.follow(position.tail.as_ref(), position.start)?;
    let mut tail = Tail {
        path: path.to_owned(),
        len: HEADER_LEN,
        last_frame: HEADER_LEN,
        torn: 0,
        last: header.first.saturating_sub(1),
        head: header.previous,
    };
    let mut bytes = Vec::new();
    loop {
        let wrong = |problem| damaged(path, tail.len, tail.last, problem);
        let mut input = Counted { input: &mut *input, read: 0 };
        let frame = read_frame(&mut input, &mut bytes).map_err(io_error("read", path))?;
        let Some(frame) = frame else {
            if input.read == 0 {
                break;
            }
            return Err(wrong(Damage::Frame).into());
        };
        if super::next_head(&tail.head, &bytes) != frame.head {
            return Err(wrong(Damage::Chain).into());
        }
        let outline =
            CommitOutline::decode(bytes.as_slice()).map_err(|_| wrong(Damage::Content))?;
        let last = consecutive(&outline, tail.last).ok_or_else(|| wrong(Damage::Sequence))?;
        let len = (FRAME_LEN + frame.rest_len()) as u64;
        let shown = Frame {
            outline,
            last,
            after: tail.last,
            head: frame.head,
            offset: tail.len,
            len,
            path,
            bytes: &bytes,
        };
        position.start.check(&shown)?;
        visit(shown)?;
        tail.last_frame = tail.len;
        tail.len += len;
        (tail.last, tail.head) = (last, frame.head);
    }
    position.tail = Some(tail);
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
