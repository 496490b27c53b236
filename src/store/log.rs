//! The audit log that an engine keeps: what it can be asked for.
//!
//! INVARIANT: every change that `commit` has acknowledged can be read here, in
//! order, and none that is not. An engine implements it beside `Store`; `audit`
//! asks it, on threads that may wait for a disk.

use std::time::Duration;

use tokio::sync::watch;

use super::{
    JournalError, Revision,
    verify::{Verification, VerifyError},
};
use crate::{
    event::{Event, Filter},
    record::RecordError,
};

/// Reads events.
pub trait Log: Send + Sync + 'static {
    /// Reads as much of what `scan` asks for as its bounds allow. Blocks.
    ///
    /// # Errors
    /// [`LogError`]
    fn read(&self, scan: &Scan<'_>) -> Result<Scanned, LogError>;

    /// The first event that can still be read; `None` when there is none yet.
    fn oldest(&self) -> Option<Revision>;

    /// The newest event that can be read.
    fn newest(&self) -> Revision;

    /// Turns with every newest event, also with what was refused. A reader that
    /// is slow sees the newest only.
    fn watch(&self) -> watch::Receiver<Revision>;

    /// Reads the whole log from the disk and checks its hash chain. `expected` is
    /// a head that was noted down, and where. Says to `progress` how many bytes of
    /// how many were read. Blocks.
    ///
    /// # Errors
    /// [`VerifyError`] when nothing can be said.
    fn verify(
        &self,
        expected: Option<(u64, [u8; 32])>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verification, VerifyError>;
}

/// In which order to read.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// The oldest first.
    OldestFirst,
    /// The newest first.
    NewestFirst,
}

/// What to read, and at what cost.
#[derive(Copy, Clone, Debug)]
pub struct Scan<'a> {
    /// In which order.
    pub order: Order,
    /// The first sequence number to look at, in that order.
    pub from: u64,
    /// Which events.
    pub filter: &'a Filter,
    /// At most so many events.
    pub limit: usize,
    /// At most so many bytes of events, as far as they are stored; but one event.
    pub max_reply: usize,
    /// Looks at no more once so many bytes were read.
    pub max_bytes: u64,
    /// Looks at no more once so much time has passed.
    pub max_time: Duration,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The events, in the order asked for.
    pub events: Vec<Event>,
    /// Where to go on; `None`: everything was looked at.
    pub next: Option<u64>,
    /// The newest event there was. With the oldest first and without `next`,
    /// everything up to here was looked at.
    pub newest: u64,
}

/// The log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Its files are not what they were, or cannot be read.
    #[error("the audit log cannot be read: {0}; `octavia-authz audit verify` says more")]
    Journal(#[from] JournalError),
    /// A key in it cannot be read.
    #[error("the audit log holds a damaged record at {sequence}: {source}")]
    Record {
        /// Which event.
        sequence: u64,
        /// What is wrong with it.
        source: RecordError,
    },
}
