//! Verifies a whole journal, many segments at once, and makes its index.
//!
//! INVARIANT: what it says is what reading from the beginning would have said:
//! each segment's header names the head before it, so segments are checked by
//! themselves and then joined in order; the first that is wrong counts. Called
//! at a start and by `store::verify`.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use prost::Message as _;

use super::{
    Head, JournalError,
    index::{Blocks, Index, Indexed, Placed},
    io_error,
    read::{Label, Segment, Start, Tail, frames_in, segments},
};
use crate::pb::storage::CommitOutline;

/// How much a thread reads before it says so.
const STEP: u64 = 1 << 20;

/// What to verify.
#[derive(Copy, Clone, Debug)]
pub(in crate::store) struct Task<'a> {
    /// The journal's directory.
    pub(in crate::store) dir: &'a Path,
    /// Where it has to begin.
    pub(in crate::store) start: Start,
    /// What stands behind this change is not looked at: it is being written.
    pub(in crate::store) until: u64,
    /// The head of the chain behind this change is to be found.
    pub(in crate::store) point: u64,
    /// How many threads may read at once.
    pub(in crate::store) threads: usize,
}

/// What was found.
#[derive(Debug)]
pub(in crate::store) struct Pass {
    /// Where the journal ends, or up to where it is valid.
    pub(in crate::store) tail: Option<Tail>,
    /// The state's digest there; empty when there is no change.
    pub(in crate::store) digest: Vec<u8>,
    /// The index up to there.
    pub(in crate::store) index: Index,
    /// What the chain's head is at the point that was asked for.
    pub(in crate::store) point: Point,
    /// What the journal says of the state there, if a frame ends there.
    pub(in crate::store) point_digest: Option<Vec<u8>>,
    /// The first thing that is wrong.
    pub(in crate::store) problem: Option<JournalError>,
}

/// What the chain's head is behind a change.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) enum Point {
    /// The change is not there.
    #[default]
    Unknown,
    /// Another change was made durable together with it, and stands behind it.
    Inside,
    /// This.
    Head(Head),
}

/// What one segment holds.
struct Part {
    label: Label,
    tail: Option<Tail>,
    digest: Option<Vec<u8>>,
    blocks: Blocks,
    point: Point,
    point_digest: Option<Vec<u8>>,
    problem: Option<JournalError>,
}

enum Told {
    Read(u64),
    Done(usize, Box<Result<Part, JournalError>>),
}

impl Task<'_> {
    /// Verifies `dir` as a start does: all of it, with all cores.
    pub(in crate::store) fn whole(dir: &Path, start: Start) -> Task<'_> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Task { dir, start, until: u64::MAX, point: 0, threads }
    }
}

/// Does `task`. Says to `progress` how many bytes of how many were read.
///
/// # Errors
/// [`JournalError::Io`] when the directory cannot be listed. What is wrong with
/// the journal stands in [`Pass::problem`].
pub(in crate::store) fn verify(
    task: &Task<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Pass, JournalError> {
    let paths = segments(task.dir)?;
    let mut total = 0;
    for path in &paths {
        total += fs::metadata(path).map_err(io_error("read", path))?.len();
    }
    let mut parts: Vec<Option<Result<Part, JournalError>>> = paths.iter().map(|_| None).collect();
    let (next, broken) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    let (told, news) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..task.threads.clamp(1, paths.len().max(1)) {
            let (told, paths, next, broken) = (told.clone(), &paths, &next, &broken);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = paths.get(number) else { break };
                    if number > broken.load(Ordering::Relaxed) {
                        break;
                    }
                    let part = task.read(path, number + 1 == paths.len(), &told);
                    if !matches!(&part, Ok(Part { problem: None, .. })) {
                        broken.fetch_min(number, Ordering::Relaxed);
                    }
                    // The other end is there as long as this thread is.
                    let _ = told.send(Told::Done(number, Box::new(part)));
                }
            });
        }
        drop(told);
        let mut read = 0;
        for told in news {
            match told {
                Told::Read(bytes) => {
                    read += bytes;
                    progress(read, total.max(read));
                }
                Told::Done(number, part) => {
                    if let Some(slot) = parts.get_mut(number) {
                        *slot = Some(*part);
                    }
                }
            }
        }
    });
    Ok(task.join(parts))
}

impl Task<'_> {
    fn read(
        &self,
        path: &Path,
        last_segment: bool,
        told: &mpsc::Sender<Told>,
    ) -> Result<Part, JournalError> {
        let mut segment = Segment::open(path.to_owned())?;
        let label = segment.label.clone();
        let (mut digest, mut blocks, mut point) = (None, Blocks::default(), Point::Unknown);
        let (mut tail, mut problem, mut point_digest) = (None, None, None);
        // What is wrong with the header, and with its place, is found on joining.
        if let Ok(header) = label.header {
            let mut at = segment.begin(&header);
            let mut untold = 0;
            let read = segment.read_frames(&mut at, last_segment, self.until, &mut |frame| {
                self.start.check(&frame)?;
                let placed = Placed { path, offset: frame.offset, len: frame.len };
                let changes = frame.outline.changes.iter().map(Indexed::of);
                blocks.push(&placed, frame.after, frame.last, changes);
                if frame.last == self.point {
                    point = Point::Head(frame.head);
                    point_digest = Some(frame.outline.state_digest.clone());
                } else if frame.after < self.point && self.point < frame.last {
                    point = Point::Inside;
                }
                digest = Some(frame.outline.state_digest);
                untold += frame.len;
                if untold >= STEP {
                    // Nobody who does not listen is waited for.
                    let _ = told.send(Told::Read(std::mem::take(&mut untold)));
                }
                Ok::<_, JournalError>(())
            });
            problem = read.err();
            tail = Some(at);
            let _ = told.send(Told::Read(untold));
        }
        Ok(Part { label, tail, digest, blocks, point, point_digest, problem })
    }

    /// Joins what the segments hold, up to the first thing that is wrong.
    fn join(&self, parts: Vec<Option<Result<Part, JournalError>>>) -> Pass {
        let (mut tail, mut digest, mut problem) = (None, Vec::new(), None);
        let (mut blocks, mut point) = (Blocks::default(), Point::Unknown);
        let mut point_digest = None;
        for part in parts.into_iter().flatten() {
            let joined = part.and_then(|part| {
                let is_ahead = part.label.header.is_ok_and(|header| header.first > self.until);
                if is_ahead && tail.is_some() {
                    // Made after the verification was asked for.
                    return Ok(None);
                }
                let header = part.label.follow(tail.as_ref(), self.start)?;
                Ok(Some((header, part)))
            });
            let (header, part) = match joined {
                Ok(Some(joined)) => joined,
                Ok(None) => break,
                Err(error) => {
                    problem = Some(error);
                    break;
                }
            };
            let is_first = tail.is_none();
            if is_first && header.first.checked_sub(1) == Some(self.point) {
                point = Point::Head(header.previous);
            }
            blocks.append(part.blocks);
            tail = part.tail.or(tail);
            digest = part.digest.unwrap_or(digest);
            if part.point != Point::Unknown {
                point = part.point;
                point_digest = part.point_digest;
            }
            if part.problem.is_some() {
                problem = part.problem;
                break;
            }
        }
        if problem.is_none() {
            problem = tail.as_ref().and_then(|tail| self.start.check_end(tail).err());
        }
        let newest = tail.as_ref().map_or(0, |tail| tail.last);
        Pass { tail, digest, index: Index::new(blocks, newest), point, point_digest, problem }
    }
}

/// Shows every frame whose checksums are right, and that stands at or behind
/// `offset` of the segment `path` or in a segment behind it, until `visit`
/// breaks: where it stands, and its first and last change.
///
/// # Errors
/// [`JournalError::Io`]
pub(in crate::store) fn frames_behind(
    dir: &Path,
    path: &Path,
    offset: u64,
    mut visit: impl FnMut(&Path, u64, (u64, u64)) -> ControlFlow<()>,
) -> Result<(), JournalError> {
    let behind = segments(dir)?.into_iter().filter(|segment| *segment >= *path);
    for segment in behind {
        let bytes = fs::read(&segment).map_err(io_error("read", &segment))?;
        let skip = if segment == path { usize::try_from(offset).unwrap_or(usize::MAX) } else { 0 };
        for (at, commit) in frames_in(bytes.get(skip..).unwrap_or_default()) {
            let Ok(outline) = CommitOutline::decode(commit) else { continue };
            let (Some(first), Some(last)) = (outline.changes.first(), outline.changes.last())
            else {
                continue;
            };
            let range = (first.sequence, last.sequence);
            if visit(&segment, (skip + at) as u64, range).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The first change that the segment `path` says to begin with, if its header is
/// whole.
pub(in crate::store) fn first_of(path: &Path) -> Option<u64> {
    let segment = Segment::open(PathBuf::from(path)).ok()?;
    segment.label.header.ok().map(|header| header.first)
}
