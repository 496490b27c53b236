//! Reading a journal from its beginning, and telling a torn end from damage.
//!
//! Nothing here writes: the same code serves the start, verification and repair.

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
use crate::pb::storage::Commit;

/// The smallest piece of a write that a disk loses.
const SECTOR: u64 = 512;

/// One durable group of changes, and where the chain stands after it.
#[derive(Debug)]
pub(in crate::store) struct Frame {
    /// The changes.
    pub(in crate::store) commit: Commit,
    /// The sequence number of the last of them.
    pub(in crate::store) last: u64,
    /// The head of the chain after it.
    pub(in crate::store) head: Head,
}

/// Where a journal has to begin.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Start {
    /// With its first segment ever.
    Genesis,
    /// With any segment that begins at or before the change after `sequence`, if
    /// the chain passes through `head` there.
    After {
        /// The last change that is known without it.
        sequence: u64,
        /// The head of the chain there.
        head: Head,
    },
}

/// Watches that a chain passes where it has to.
pub(super) struct Passage {
    start: Start,
    passed: bool,
}

impl Passage {
    pub(super) fn new(start: Start) -> Self {
        Self { start, passed: start == Start::Genesis }
    }

    /// Whether a journal may begin with this header.
    pub(super) fn permits(&self, header: &Header) -> bool {
        match self.start {
            Start::Genesis => header.genesis,
            Start::After { sequence, .. } => header.first <= sequence.saturating_add(1),
        }
    }

    /// Whether `head` may be the chain's head after change `last`. To be asked at
    /// every header and every frame.
    pub(super) fn allows(&mut self, last: u64, head: &Head) -> bool {
        if let Start::After { sequence, head: expected } = self.start
            && sequence == last
        {
            self.passed = *head == expected;
            return self.passed;
        }
        self.passed || self.is_before(last)
    }

    /// Whether a chain that ends here has passed.
    pub(super) fn is_done(&self) -> bool {
        self.passed
    }

    fn is_before(&self, last: u64) -> bool {
        matches!(self.start, Start::After { sequence, .. } if last < sequence)
    }
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

/// Reads the journal in `dir` from its first segment, which has to be as `start`
/// says, and gives every frame to `visit`, those before `start` too. `None`: there
/// is no journal.
///
/// # Errors
/// `E` is what `visit` may fail with; [`JournalError`] becomes one.
pub(in crate::store) fn read<E: From<JournalError>>(
    dir: &Path,
    start: Start,
    mut visit: impl FnMut(Frame) -> Result<(), E>,
) -> Result<Option<Tail>, E> {
    let segments = segments(dir)?;
    let mut passage = Passage::new(start);
    let mut tail: Option<Tail> = None;
    let count = segments.len();
    for (number, path) in segments.into_iter().enumerate() {
        let last_segment = number + 1 == count;
        tail = Some(read_segment(path, tail, last_segment, &mut passage, &mut visit)?);
    }
    match tail {
        Some(Tail { path, len: offset, last: after, .. }) if !passage.is_done() => {
            Err(JournalError::Damaged { path, offset, after, problem: Damage::Snapshot }.into())
        }
        tail => Ok(tail),
    }
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

fn read_segment<E: From<JournalError>>(
    path: PathBuf,
    before: Option<Tail>,
    last_segment: bool,
    passage: &mut Passage,
    visit: &mut impl FnMut(Frame) -> Result<(), E>,
) -> Result<Tail, E> {
    let file = File::open(&path).map_err(io_error("open", &path))?;
    let size = file.metadata().map_err(io_error("read", &path))?.len();
    let mut input = BufReader::with_capacity(256 << 10, file);
    let after = before.as_ref().map_or(0, |tail| tail.last);
    let damaged = |offset, after, problem| JournalError::Damaged {
        path: path.clone(),
        offset,
        after,
        problem,
    };

    let mut header = [0; HEADER_LEN as usize];
    if read_up_to(&mut input, &mut header).map_err(io_error("read", &path))? < header.len() {
        return Err(damaged(0, after, Damage::Header).into());
    }
    let header = match Header::decode(&header) {
        Ok(header) => header,
        Err(BadHeader::Version(version)) => {
            return Err(JournalError::Version { path, version }.into());
        }
        Err(BadHeader::Damaged) => return Err(damaged(0, after, Damage::Header).into()),
    };
    match &before {
        None if !passage.permits(&header) => {
            return Err(damaged(0, after, Damage::Beginning).into());
        }
        Some(tail) if tail.last + 1 != header.first || tail.head != header.previous => {
            return Err(damaged(0, after, Damage::Gap).into());
        }
        _ => {}
    }
    if !passage.allows(header.first.saturating_sub(1), &header.previous) {
        return Err(damaged(0, after, Damage::Snapshot).into());
    }

    let mut tail = Tail {
        path: path.clone(),
        len: HEADER_LEN,
        last_frame: HEADER_LEN,
        torn: 0,
        last: header.first.saturating_sub(1),
        head: header.previous,
    };
    while tail.len < size {
        let Some((frame_header, bytes)) =
            read_frame(&mut input).map_err(io_error("read", &path))?
        else {
            let bytes = fs::read(&path).map_err(io_error("read", &path))?;
            let rest = usize::try_from(tail.len).ok().and_then(|at| bytes.get(at..));
            if !last_segment || !rest.is_some_and(|rest| is_torn(tail.len, rest)) {
                return Err(damaged(tail.len, tail.last, Damage::Frame).into());
            }
            tail.torn = size - tail.len;
            break;
        };
        let wrong = |problem| damaged(tail.len, tail.last, problem);
        if next_head(&tail.head, &bytes) != frame_header.head {
            return Err(wrong(Damage::Chain).into());
        }
        let commit = Commit::decode(bytes.as_slice()).map_err(|_| wrong(Damage::Content))?;
        let last = consecutive(&commit, tail.last).ok_or_else(|| wrong(Damage::Sequence))?;
        if !passage.allows(last, &frame_header.head) {
            return Err(wrong(Damage::Snapshot).into());
        }
        visit(Frame { commit, last, head: frame_header.head })?;
        tail.last_frame = tail.len;
        tail.len += (FRAME_LEN + frame_header.rest_len()) as u64;
        tail.head = frame_header.head;
        tail.last = last;
    }
    Ok(tail)
}

/// The sequence number of the last change, if all follow `before` in order.
pub(super) fn consecutive(commit: &Commit, before: u64) -> Option<u64> {
    let mut last = before;
    for change in &commit.changes {
        if change.sequence != last.checked_add(1)? {
            return None;
        }
        last = change.sequence;
    }
    (last > before).then_some(last)
}

/// The next frame, or `None` when what stands there is not a whole one.
pub(super) fn read_frame(input: &mut impl Read) -> io::Result<Option<(FrameHeader, Vec<u8>)>> {
    let mut header = [0; FRAME_LEN];
    if read_up_to(input, &mut header)? < FRAME_LEN {
        return Ok(None);
    }
    let Some(header) = FrameHeader::decode(&header).filter(|header| header.len <= MAX_COMMIT)
    else {
        return Ok(None);
    };
    let mut bytes = vec![0; header.rest_len()];
    let filled = read_up_to(input, &mut bytes)?;
    if filled < bytes.len() || header.commit(&bytes).is_none() {
        return Ok(None);
    }
    bytes.truncate(header.len);
    Ok(Some((header, bytes)))
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

/// Every whole frame in `bytes`, wherever it begins and whatever stands between.
fn frames_in(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= FRAME_LEN) {
            if let Some(header) = FrameHeader::decode(rest)
                && let Some(behind) = rest.get(FRAME_LEN..FRAME_LEN + header.rest_len())
                && let Some(commit) = header.commit(behind)
            {
                at += FRAME_LEN + behind.len();
                return Some(commit);
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
        frames_in(&bytes).filter_map(|commit| Commit::decode(commit).ok()).for_each(&mut visit);
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
