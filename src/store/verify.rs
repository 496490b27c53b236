//! Verifies the audit log of a data directory, and says of the first record that
//! is broken which one it is and what was done to it.
//!
//! INVARIANT: nothing is written and no lock is taken, so it can be asked of a
//! copy, and of a directory that a sidecar is running on. Called by `audit
//! verify` and, up to what is published, by a running sidecar.

mod diagnosis;

use std::{
    path::{Path, PathBuf},
    thread,
};

use super::{
    JournalError,
    data_dir::{journal_dir, snapshot_dir},
    ground::Ground,
    journal::{self, Pass, Point, Start, Task},
};

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The first event that is there; 0 when there is none.
    pub first: u64,
    /// The last event up to which everything is valid; 0 when there is none.
    pub last: u64,
    /// The head of the chain behind it.
    pub head: [u8; 32],
    /// Bytes at the end of a last record that is cut off. No break: a process that
    /// is killed leaves them. But of a copy nobody knows whether the record was
    /// acknowledged.
    pub torn: u64,
    /// The first thing that is broken; `None`: the chain is whole in itself.
    pub broken: Option<Broken>,
    /// Why a chain that is whole in itself is not the one whose head was noted down,
    /// in words. There is no place to name: all of it may be another.
    pub other: Option<String>,
}

impl Verification {
    /// Whether everything is as it was written, as far as can be known.
    #[must_use]
    pub fn valid(&self) -> bool {
        self.broken.is_none() && self.other.is_none()
    }
}

/// A record that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its first event.
    pub first: u64,
    /// Its last event, if that is known.
    pub last: Option<u64>,
    /// The file that it is, or should be, in.
    pub file: PathBuf,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What is wrong with it, in words.
    pub problem: String,
}

/// Nothing can be said of a log.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is none.
    #[error("there is no audit log in `{}`: name a data directory, or a copy of one; its files are in `journal/`", .0.display())]
    Missing(PathBuf),
    /// It cannot be read, or is a newer program's.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Verifies the log in the data directory `dir`, or a copy of one. `expected` is
/// the head of the chain as it was noted down elsewhere, and behind which event.
/// Says to `progress` how many bytes of how many were read.
///
/// # Errors
/// [`VerifyError`] when nothing can be said.
pub fn verify(
    dir: &Path,
    expected: Option<(u64, [u8; 32])>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verification, VerifyError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    verify_to(dir, expected, None, threads, progress)
}

/// As [`verify`], no further than event `until`, which must be there.
pub(super) fn verify_to(
    dir: &Path,
    expected: Option<(u64, [u8; 32])>,
    until: Option<u64>,
    threads: usize,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verification, VerifyError> {
    let journal_dir = journal_dir(dir);
    let point = expected.map_or(0, |(sequence, _)| sequence);
    let end = until.unwrap_or(u64::MAX);
    let task = Task { dir: &journal_dir, start: start(dir), until: end, point, threads };
    let pass = journal::verify(&task, progress)?;
    if pass.tail.is_none() && pass.problem.is_none() {
        return Err(VerifyError::Missing(dir.to_owned()));
    }
    let (mut broken, mut other) = (None, None);
    match (&pass.problem, expected) {
        (Some(JournalError::Damaged { path, offset, after, problem }), _) => {
            broken = Some(diagnosis::of(&journal_dir, path, *offset, *after, *problem)?);
        }
        (Some(_), _) => {}
        (None, expected) => {
            broken = cut(&pass, until).or_else(|| missing(&pass, expected?.0));
            if broken.is_none() {
                other = expected.and_then(|expected| compare(&pass, expected));
            }
        }
    }
    let oldest = pass.index.oldest().unwrap_or(0);
    let (last, head, torn) = match &pass.tail {
        // A journal that a repair made, or that is new, may have no event yet.
        Some(tail) => (if oldest == 0 { 0 } else { tail.last }, tail.head, tail.torn),
        None => (0, [0; 32], 0),
    };
    match pass.problem {
        Some(error @ (JournalError::Io { .. } | JournalError::Version { .. })) => Err(error.into()),
        _ => Ok(Verification { first: oldest, last, head, torn, broken, other }),
    }
}

/// Where the log in `dir` has to begin: where old segments were deleted, with the
/// snapshot that stands in their place. Without a whole one they are missing.
fn start(dir: &Path) -> Start {
    let ground = Ground::find(&journal_dir(dir), &snapshot_dir(dir));
    ground.map_or(Start::Genesis, |ground| ground.start())
}

/// What is wrong when the log ends before event `until`, which was acknowledged.
fn cut(pass: &Pass, until: Option<u64>) -> Option<Broken> {
    let (tail, until) = (pass.tail.as_ref()?, until?);
    (tail.last < until).then(|| Broken {
        first: tail.last + 1,
        last: Some(until),
        file: tail.path.clone(),
        offset: tail.len,
        problem: format!(
            "{} cut off: the log ends with record {}",
            were(tail.last + 1, until),
            tail.last
        ),
    })
}

/// What is wrong when the log ends before event `sequence`, whose head was noted down.
fn missing(pass: &Pass, sequence: u64) -> Option<Broken> {
    let tail = pass.tail.as_ref()?;
    (tail.last < sequence).then(|| Broken {
        first: tail.last + 1,
        last: Some(sequence),
        file: tail.path.clone(),
        offset: tail.len,
        problem: format!("record {sequence} is not there: the log ends with record {}", tail.last),
    })
}

/// Why the chain, which is whole, is not the one whose head was noted down.
fn compare(pass: &Pass, (sequence, head): (u64, [u8; 32])) -> Option<String> {
    let first = pass.index.oldest().unwrap_or(0);
    match pass.point {
        Point::Head(found) if found == head => None,
        Point::Head(_) => Some(format!(
            "the chain is whole in itself, but its head at record {sequence} is not the one that was noted down: \
             history was rewritten, or it is the head of another log"
        )),
        Point::Inside => Some(format!(
            "the chain is whole in itself, but it has no head at record {sequence}, which was made durable together \
             with later ones: history was rewritten, or it is the head of another log"
        )),
        Point::Unknown => Some(format!(
            "the chain is whole in itself, but record {sequence} is not there, so that its head cannot be compared: \
             the log begins with record {first}"
        )),
    }
}

/// `record 5 was`, `records 5 to 7 were`.
fn were(first: u64, last: u64) -> String {
    match first == last {
        true => format!("record {first} was"),
        false => format!("records {first} to {last} were"),
    }
}

#[cfg(test)]
mod tests;
