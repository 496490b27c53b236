//! Reading a journal frame by frame, and telling a torn end from damage.
//!
//! Nothing here writes: the same code serves the start, verification and repair.
//! INVARIANT: a frame that is shown has its checksums, continues the chain and
//! has the next sequence numbers. `verify` reads many segments at once with the
//! same steps.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use prost::Message as _;

use super::{
    Damage, Head, JournalError, MAX_COMMIT, io_error,
    segment::{BadHeader, FRAME_LEN, FrameHeader, HEADER_LEN, Header, next_head},
};
use crate::pb::storage::{Commit, CommitOutline};

/// The smallest piece of a write that a disk loses.
const SECTOR: u64 = 512;

/// Where a journal has to begin.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) enum Start {
    /// With the first change ever, or the first after a repair.
    #[default]
    Genesis,
    /// Anywhere, if what stands in it or before it goes through this point: the
    /// segments before were deleted, and something else has what was in them.
    After {
        /// The last change of a frame.
        sequence: u64,
        /// The head of the chain behind it.
        head: Head,
    },
}

/// One durable group of changes, as it stands in its segment.
#[derive(Debug)]
pub(in crate::store) struct Frame<'a> {
    /// What the index needs of the changes.
    pub(in crate::store) outline: CommitOutline,
    /// The sequence number of the last of them.
    pub(in crate::store) last: u64,
    /// The sequence number before the first of them.
    pub(in crate::store) after: u64,
    /// The head of the chain behind it.
    pub(in crate::store) head: Head,
    /// Where it begins in its segment.
    pub(in crate::store) offset: u64,
    /// How long it is.
    pub(in crate::store) len: u64,
    pub(super) path: &'a Path,
    pub(super) bytes: &'a [u8],
}

/// Where a journal ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Tail {
    /// The last segment.
    pub(in crate::store) path: PathBuf,
    /// How much of it is whole.
    pub(in crate::store) len: u64,
    /// Where in it the last frame begins; as `len` when there is none.
    pub(in crate::store) last_frame: u64,
    /// How many bytes behind `len` were begun and never acknowledged.
    pub(in crate::store) torn: u64,
    /// The last change.
    pub(in crate::store) last: u64,
    /// The head of the chain.
    pub(in crate::store) head: Head,
}

/// A segment, open behind its header.
pub(super) struct Segment {
    pub(super) label: Label,
    size: u64,
    input: BufReader<File>,
}

/// What a segment says of itself, not yet believed.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) path: PathBuf,
    pub(super) header: Result<Header, BadHeader>,
}

impl Frame<'_> {
    /// All that is known of the changes.
    ///
    /// # Errors
    /// [`Damage::Content`]
    pub(in crate::store) fn commit(&self) -> Result<Commit, JournalError> {
        Commit::decode(self.bytes)
            .map_err(|_| damaged(self.path, self.offset, self.after, Damage::Content))
    }
}

impl Start {
    /// Checks that the chain goes through the point, where `frame` holds it.
    pub(super) fn check(self, frame: &Frame<'_>) -> Result<(), JournalError> {
        let Self::After { sequence, head } = self else { return Ok(()) };
        let holds = frame.after < sequence && sequence <= frame.last;
        if holds && (frame.last != sequence || frame.head != head) {
            return Err(damaged(frame.path, frame.offset, frame.after, Damage::Snapshot));
        }
        Ok(())
    }

    /// Checks that the journal did not end before the point.
    pub(super) fn check_end(self, tail: &Tail) -> Result<(), JournalError> {
        match self {
            Self::After { sequence, .. } if tail.last < sequence => {
                Err(damaged(&tail.path, tail.len, tail.last, Damage::Snapshot))
            }
            _ => Ok(()),
        }
    }
}

/// Reads the journal in `dir`, which has to begin at `start`, and gives every
/// frame to `visit`. `None`: there is no journal.
///
/// # Errors
/// `E` is what `visit` may fail with; [`JournalError`] becomes one.
pub(in crate::store) fn read<E: From<JournalError>>(
    dir: &Path,
    start: Start,
    mut visit: impl FnMut(Frame<'_>) -> Result<(), E>,
) -> Result<Option<Tail>, E> {
    let segments = segments(dir)?;
    let mut tail: Option<Tail> = None;
    let count = segments.len();
    for (number, path) in segments.into_iter().enumerate() {
        let mut segment = Segment::open(path)?;
        let header = segment.label.follow(tail.as_ref(), start)?;
        let mut read = segment.begin(&header);
        segment.read_frames(&mut read, number + 1 == count, u64::MAX, &mut |frame| {
            start.check(&frame)?;
            visit(frame)
        })?;
        tail = Some(read);
    }
    if let Some(tail) = &tail {
        start.check_end(tail)?;
    }
    Ok(tail)
}

/// The segments in `dir`, in order.
pub(super) fn segments(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("list", dir)(error)),
    };
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry.map_err(io_error("list", dir))?.path();
        if path.extension().is_some_and(|extension| extension == "journal") {
            segments.push(path);
        }
    }
    segments.sort();
    Ok(segments)
}

impl Segment {
    /// Opens the segment `path`.
    ///
    /// # Errors
    /// [`JournalError::Io`]
    pub(super) fn open(path: PathBuf) -> Result<Self, JournalError> {
        let file = File::open(&path).map_err(io_error("open", &path))?;
        let size = file.metadata().map_err(io_error("read", &path))?.len();
        let mut input = BufReader::with_capacity(256 << 10, file);
        let mut header = [0; HEADER_LEN as usize];
        let filled = read_up_to(&mut input, &mut header).map_err(io_error("read", &path))?;
        let header = match filled < header.len() {
            true => Err(BadHeader::Damaged),
            false => Header::decode(&header),
        };
        Ok(Self { label: Label { path, header }, size, input })
    }

    /// Where reading begins.
    pub(super) fn begin(&self, header: &Header) -> Tail {
        Tail {
            path: self.label.path.clone(),
            len: HEADER_LEN,
            last_frame: HEADER_LEN,
            torn: 0,
            last: header.first.saturating_sub(1),
            head: header.previous,
        }
    }

    /// Shows every frame to `visit`, as far as change `until`. `tail` is where
    /// that has come to, also when it fails.
    ///
    /// # Errors
    /// [`JournalError`], as `E`, or what `visit` fails with.
    pub(super) fn read_frames<E: From<JournalError>>(
        &mut self,
        tail: &mut Tail,
        last_segment: bool,
        until: u64,
        visit: &mut impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = &self.label.path;
        let mut bytes = Vec::new();
        while tail.len < self.size && tail.last < until {
            let read = read_frame(&mut self.input, &mut bytes);
            let Some(header) = read.map_err(io_error("read", path))? else {
                let all = fs::read(path).map_err(io_error("read", path))?;
                let rest = usize::try_from(tail.len).ok().and_then(|at| all.get(at..));
                if !last_segment || !rest.is_some_and(|rest| is_torn(tail.len, rest)) {
                    return Err(damaged(path, tail.len, tail.last, Damage::Frame).into());
                }
                tail.torn = self.size - tail.len;
                break;
            };
            let wrong = |problem| damaged(path, tail.len, tail.last, problem);
            if next_head(&tail.head, &bytes) != header.head {
                return Err(wrong(Damage::Chain).into());
            }
            let outline = CommitOutline::decode(bytes.as_slice());
            let outline = outline.map_err(|_| wrong(Damage::Content))?;
            let last = consecutive(&outline, tail.last).ok_or_else(|| wrong(Damage::Sequence))?;
            let len = (FRAME_LEN + header.rest_len()) as u64;
            visit(Frame {
                outline,
                last,
                after: tail.last,
                head: header.head,
                offset: tail.len,
                len,
                path,
                bytes: &bytes,
            })?;
            tail.last_frame = tail.len;
            tail.len += len;
            tail.head = header.head;
            tail.last = last;
        }
        Ok(())
    }
}

impl Label {
    /// Its header, if it continues `before`; of the first one, if it may begin a
    /// journal.
    ///
    /// # Errors
    /// [`JournalError::Version`], [`JournalError::Damaged`]
    pub(super) fn follow(
        &self,
        before: Option<&Tail>,
        start: Start,
    ) -> Result<Header, JournalError> {
        let after = before.map_or(0, |tail| tail.last);
        let wrong = |problem| Err(damaged(&self.path, 0, after, problem));
        let header = match self.header {
            Ok(header) => header,
            Err(BadHeader::Version(version)) => {
                return Err(JournalError::Version { path: self.path.clone(), version });
            }
            Err(BadHeader::Damaged) => return wrong(Damage::Header),
        };
        match (before, start) {
            (Some(tail), _) if tail.last + 1 != header.first || tail.head != header.previous => {
                wrong(Damage::Gap)
            }
            (None, Start::Genesis) if !header.genesis => wrong(Damage::Beginning),
            (None, Start::After { sequence, .. }) if header.first > sequence + 1 => {
                wrong(Damage::Beginning)
            }
            (None, Start::After { sequence, head })
                if header.first == sequence + 1 && header.previous != head =>
            {
                wrong(Damage::Snapshot)
            }
            _ => Ok(header),
        }
    }
}

/// The frames of `bytes`, which stood at `offset` of `path` and were verified
/// when they were written or at the start. `after` is the sequence number before
/// the first.
///
/// # Errors
/// [`JournalError`], as `E`, when they are not any more what they were, or what
/// `visit` fails with.
pub(super) fn read_block<E: From<JournalError>>(
    path: &Path,
    mut offset: u64,
    mut after: u64,
    mut bytes: &[u8],
    visit: &mut impl FnMut(Frame<'_>) -> Result<(), E>,
) -> Result<(), E> {
    while !bytes.is_empty() {
        let wrong = |problem| damaged(path, offset, after, problem);
        let header = FrameHeader::decode(bytes).ok_or_else(|| wrong(Damage::Frame))?;
        let (frame, rest) = bytes
            .split_at_checked(FRAME_LEN.saturating_add(header.rest_len()))
            .ok_or_else(|| wrong(Damage::Frame))?;
        let commit = frame.get(FRAME_LEN..).and_then(|rest| header.commit(rest));
        let commit = commit.ok_or_else(|| wrong(Damage::Frame))?;
        let outline = CommitOutline::decode(commit).map_err(|_| wrong(Damage::Content))?;
        let last = consecutive(&outline, after).ok_or_else(|| wrong(Damage::Sequence))?;
        let len = frame.len() as u64;
        visit(Frame { outline, last, after, head: header.head, offset, len, path, bytes: commit })?;
        (offset, after, bytes) = (offset + len, last, rest);
    }
    Ok(())
}

pub(super) fn damaged(path: &Path, offset: u64, after: u64, problem: Damage) -> JournalError {
    JournalError::Damaged { path: path.to_owned(), offset, after, problem }
}

/// The sequence number of the last change, if all follow `before` in order.
pub(super) fn consecutive(commit: &CommitOutline, before: u64) -> Option<u64> {
    let mut last = before;
    for change in &commit.changes {
        if change.sequence != last.checked_add(1)? {
            return None;
        }
        last = change.sequence;
    }
    (last > before).then_some(last)
}

/// The next frame, its commit into `bytes`; or `None` when what stands there is
/// not a whole one.
pub(super) fn read_frame(
    input: &mut impl Read,
    bytes: &mut Vec<u8>,
) -> io::Result<Option<FrameHeader>> {
    let mut header = [0; FRAME_LEN];
    if read_up_to(input, &mut header)? < FRAME_LEN {
        return Ok(None);
    }
    let Some(header) = FrameHeader::decode(&header).filter(|header| header.len <= MAX_COMMIT)
    else {
        return Ok(None);
    };
    bytes.resize(header.rest_len(), 0);
    let filled = read_up_to(input, bytes)?;
    if filled < bytes.len() || header.commit(bytes).is_none() {
        return Ok(None);
    }
    bytes.truncate(header.len);
    Ok(Some(header))
}

/// Whether `rest`, which stands at `offset` and does not begin with a whole
/// frame, is what a crash leaves of a write that was never acknowledged: the file
/// ends inside of it, or its last sectors never reached the disk and read as
/// zeros. Anything else was whole once, and may have been acknowledged.
fn is_torn(offset: u64, rest: &[u8]) -> bool {
    if frames_in(rest).next().is_some() {
        return false;
    }
    let ends_inside = match FrameHeader::decode(rest) {
        Some(header) => header.len <= MAX_COMMIT && rest.len() < FRAME_LEN + header.rest_len(),
        None => rest.len() < FRAME_LEN,
    };
    let zeros = rest.iter().rev().take_while(|byte| **byte == 0).count();
    let end = offset + rest.len() as u64;
    let sector_is_missing = (end - zeros as u64).next_multiple_of(SECTOR) < end;
    ends_inside || zeros == rest.len() || sector_is_missing
}

/// Every whole frame in `bytes`, wherever it begins and whatever stands between:
/// where it begins, and its commit.
pub(super) fn frames_in(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= FRAME_LEN) {
            if let Some(header) = FrameHeader::decode(rest)
                && let Some(behind) = rest.get(FRAME_LEN..FRAME_LEN + header.rest_len())
                && let Some(commit) = header.commit(behind)
            {
                let begin = at;
                at += FRAME_LEN + behind.len();
                return Some((begin, commit));
            }
            at += 1;
        }
        None
    })
}

/// Where a journal begins.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Beginning {
    /// The number of its first change.
    pub(in crate::store) first: u64,
    /// Nothing was before it.
    pub(in crate::store) genesis: bool,
}

/// Where the journal in `dir` begins, if its first segment is there and says so.
///
/// # Errors
/// [`JournalError::Io`]
pub(in crate::store) fn beginning(dir: &Path) -> Result<Option<Beginning>, JournalError> {
    let Some(path) = segments(dir)?.into_iter().next() else { return Ok(None) };
    let mut header = [0; HEADER_LEN as usize];
    let mut file = File::open(&path).map_err(io_error("open", &path))?;
    let filled = read_up_to(&mut file, &mut header).map_err(io_error("read", &path))?;
    let header = Header::decode(&header).ok().filter(|_| filled == HEADER_LEN as usize);
    Ok(header.map(|Header { first, genesis, .. }| Beginning { first, genesis }))
}

/// Every change that can still be read in the segments of `dir`, in order,
/// however damaged they are; for repair.
///
/// # Errors
/// [`JournalError::Io`]
pub(in crate::store) fn scan_frames(
    dir: &Path,
    mut visit: impl FnMut(Commit),
) -> Result<(), JournalError> {
    for path in segments(dir)? {
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        frames_in(&bytes)
            .filter_map(|(_, commit)| Commit::decode(commit).ok())
            .for_each(&mut visit);
    }
    Ok(())
}

/// Fills `buffer` as far as the input goes; gives how far that is.
pub(super) fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
