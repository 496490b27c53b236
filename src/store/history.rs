//! The audit log of the embedded engine: its journal, read through the index.
//!
//! INVARIANT: blocks are read in order and nothing is kept of them; a call ends
//! at its bounds, between two blocks, and says where to go on.

use std::time::Instant;

use prost::Message as _;
use tokio::sync::watch;

use super::{
    Embedded, JournalError, Log, LogError, Order, Revision, Scan, Scanned,
    journal::{Block, Frame, Marks, tag},
    verify::{self, Verification, VerifyError},
    writer::stored_kind,
};
use crate::{
    change::ChangeKind,
    clock::Timestamp,
    event::{Event, Filter, Refused},
    pb::storage::{self, ChangeOutline, change::Effect as Stored},
    record::{KeyRecord, RecordError},
};

impl Log for Embedded {
    fn read(&self, scan: &Scan<'_>) -> Result<Scanned, LogError> {
        let started = Instant::now();
        // First: what is published meanwhile, the next call reads.
        let newest = self.index().newest();
        let mut reader = Reading::new(scan);
        let mut at = match scan.order {
            Order::OldestFirst => scan.from,
            Order::NewestFirst => scan.from.min(newest),
        };
        let mut read = 0;
        while let Some(block) = self.next_block(scan, at, newest) {
            if read > 0 && (read >= scan.max_bytes || started.elapsed() >= scan.max_time) {
                // The blocks before it cannot hold anything that matches.
                let next = match scan.order {
                    Order::OldestFirst => block.first.max(at),
                    Order::NewestFirst => block.last.min(at),
                };
                return Ok(Scanned { events: reader.events, next: Some(next), newest });
            }
            read += block.len;
            match reader.read(&block, at, newest) {
                Ok(()) => {}
                // Old segments may be deleted while they are read.
                Err(error) if error.is_missing() && self.oldest() > Some(block.first) => {
                    at = match scan.order {
                        Order::OldestFirst => block.last + 1,
                        Order::NewestFirst => break,
                    };
                    continue;
                }
                Err(error) => return Err(error),
            }
            if let Some(next) = reader.next {
                return Ok(Scanned { events: reader.events, next: Some(next), newest });
            }
            match scan.order {
                Order::OldestFirst if block.last >= newest => break,
                Order::NewestFirst if block.first <= 1 => break,
                Order::OldestFirst => at = block.last + 1,
                Order::NewestFirst => at = block.first - 1,
            }
        }
        Ok(Scanned { events: reader.events, next: None, newest })
    }

    fn oldest(&self) -> Option<Revision> {
        self.index().oldest()
    }

    fn newest(&self) -> Revision {
        self.index().newest()
    }

    fn watch(&self) -> watch::Receiver<Revision> {
        self.index().watch()
    }

    fn verify(
        &self,
        expected: Option<(u64, [u8; 32])>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verification, VerifyError> {
        // One thread: the others decide.
        verify::verify_to(self.dir(), expected, Some(self.index().newest()), 1, progress)
    }
}

impl Embedded {
    fn next_block(&self, scan: &Scan<'_>, at: u64, newest: u64) -> Option<Block> {
        let key = scan.filter.key_id.map(|id| tag(id.as_str()));
        let wanted = |block: &Block| {
            block.first <= newest
                && scan.filter.may_match_between(block.earliest, block.latest)
                && may_be_of_kind(block.marks, scan.filter)
        };
        match scan.order {
            Order::OldestFirst => self.index().at_or_behind(at, key, wanted),
            Order::NewestFirst => self.index().at_or_before(at, key, wanted),
        }
    }
}

impl LogError {
    fn is_missing(&self) -> bool {
        matches!(self, Self::Journal(JournalError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound)
    }
}

/// A scan under way.
struct Reading<'a> {
    scan: &'a Scan<'a>,
    events: Vec<Event>,
    /// How long they are as they are stored.
    reply: usize,
    /// Set: there are enough events; go on here.
    next: Option<u64>,
}

impl<'a> Reading<'a> {
    fn new(scan: &'a Scan<'a>) -> Self {
        Self { scan, events: Vec::new(), reply: 0, next: None }
    }

    /// Reads what matches in `block` from `at` on, and no further than `newest`.
    fn read(&mut self, block: &Block, at: u64, newest: u64) -> Result<(), LogError> {
        let is_asked_for = |sequence: u64| match self.scan.order {
            Order::OldestFirst => at <= sequence && sequence <= newest,
            Order::NewestFirst => sequence <= at,
        };
        let mut found = Vec::new();
        block.frames(|frame| {
            let filter = self.scan.filter;
            let may_match = |change: &ChangeOutline| {
                is_asked_for(change.sequence)
                    && filter.may_match_between(change.time_ms, change.time_ms)
                    && may_be_of_kind(Marks::of(change), filter)
                    && filter.key_id.is_none_or(|id| id.as_str() == change.key_id)
            };
            if frame.outline.changes.iter().any(may_match) {
                found.extend(matching(&frame, filter, is_asked_for)?);
            }
            Ok::<_, LogError>(())
        })?;
        if self.scan.order == Order::NewestFirst {
            found.reverse();
        }
        for (len, event) in found {
            let is_full = self.events.len() >= self.scan.limit
                || (!self.events.is_empty() && self.reply + len > self.scan.max_reply);
            if is_full {
                self.next = Some(event.sequence);
                break;
            }
            self.reply += len;
            self.events.push(event);
        }
        Ok(())
    }
}

/// Whether what has these marks may match `filter`.
fn may_be_of_kind(marks: Marks, filter: &Filter) -> bool {
    let kinds = filter.kinds.iter().map(|kind| stored_kind(*kind).into());
    marks.may_match(kinds, filter.refused)
}

/// The events of `frame` that are asked for and match, each with its length.
fn matching(
    frame: &Frame<'_>,
    filter: &Filter,
    is_asked_for: impl Fn(u64) -> bool,
) -> Result<Vec<(usize, Event)>, LogError> {
    let mut events = Vec::new();
    for change in frame.commit()?.changes {
        let sequence = change.sequence;
        if !is_asked_for(sequence) {
            continue;
        }
        let len = change.encoded_len();
        let event = event(change).map_err(|source| LogError::Record { sequence, source })?;
        if filter.matches(&event) {
            events.push((len, event));
        }
    }
    Ok(events)
}

/// The event that `change` is.
fn event(change: storage::Change) -> Result<Event, RecordError> {
    let kind = match change.kind() {
        storage::ChangeKind::Unspecified => return Err(RecordError::Field("kind")),
        storage::ChangeKind::Create => ChangeKind::Create,
        storage::ChangeKind::Update => ChangeKind::Update,
        storage::ChangeKind::Rotate => ChangeKind::Rotate,
        storage::ChangeKind::Revoke => ChangeKind::Revoke,
        storage::ChangeKind::CarryOver => ChangeKind::CarryOver,
        storage::ChangeKind::Import => ChangeKind::Import,
        storage::ChangeKind::Redigest => ChangeKind::Redigest,
    };
    let (after, refusal) = match change.effect {
        Some(Stored::Put(key)) => (Some(KeyRecord::from_history(key)?), None),
        Some(Stored::Removed(_)) => (None, None),
        Some(Stored::Refused(refused)) => {
            let storage::StoredRefusal { code, message, unrecorded } = refused;
            (None, Some(Refused { code, message, unrecorded }))
        }
        None => return Err(RecordError::Field("effect")),
    };
    let before = change.before.map(KeyRecord::from_history).transpose()?;
    // What was carried over is as it was.
    let is_same = kind == ChangeKind::CarryOver && before.is_none();
    let before = if is_same { after.clone() } else { before };
    let key_id = match change.key_id.as_str() {
        "" => None,
        id => Some(id.parse().map_err(|_| RecordError::Field("key_id"))?),
    };
    Ok(Event {
        sequence: change.sequence,
        time: Timestamp(change.time_ms),
        kind,
        actor: change.actor.parse().map_err(|_| RecordError::Field("actor"))?,
        peer: change.peer,
        request_id: change.request_id,
        key_id,
        team: change.team,
        service: change.service,
        before,
        after,
        refusal,
    })
}
