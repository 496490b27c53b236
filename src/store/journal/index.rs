//! Where in the journal to look: a sparse index, in memory.
//!
//! INVARIANT: it knows published frames only, all of them, in order. It is made
//! by the pass that verifies the journal at a start, and extended by the writer
//! once a frame can be read; the audit log reads through it at the same time.
//!
//! Frames that stand side by side make a block of about 64 KiB, of which it keeps
//! place, sequence numbers, times, kinds, and two bytes for each key that was
//! changed. So the history of one key, or what was refused, is found by reading few
//! blocks.

use std::{
    collections::VecDeque,
    fs::File,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::watch;

use super::{JournalError, io_error, read};
use crate::pb::storage::{ChangeOutline, Commit, change::Effect};

/// A block is closed when it is this long.
const BLOCK: u64 = 64 << 10;

/// The index, shared by the writer and the readers.
#[derive(Debug)]
pub(in crate::store) struct Index {
    blocks: RwLock<Blocks>,
    newest: watch::Sender<u64>,
}

/// Blocks, in order.
#[derive(Debug, Default)]
pub(super) struct Blocks(VecDeque<Entry>);

#[derive(Debug)]
struct Entry {
    block: Block,
    /// One for each key in it.
    tags: Vec<u16>,
}

/// Frames that stand side by side in one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Block {
    /// The segment.
    pub(in crate::store) path: Arc<Path>,
    /// Where in it.
    pub(in crate::store) offset: u64,
    /// How long.
    pub(in crate::store) len: u64,
    /// The first change.
    pub(in crate::store) first: u64,
    /// The last change.
    pub(in crate::store) last: u64,
    /// The earliest time of a change in it, in milliseconds.
    pub(in crate::store) earliest: i64,
    /// The latest.
    pub(in crate::store) latest: i64,
    /// Those of all its changes.
    pub(in crate::store) marks: Marks,
}

/// Of which kinds changes are, and whether they were done or refused: a bit for each.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Marks(u16);

/// What the index takes in of a change.
#[derive(Copy, Clone, Debug)]
pub(in crate::store) struct Indexed<'a> {
    /// When, in milliseconds.
    pub(in crate::store) time: i64,
    /// The key; may be empty.
    pub(in crate::store) key: &'a str,
    /// What it was.
    pub(in crate::store) marks: Marks,
}

/// Where a frame stands.
#[derive(Copy, Clone, Debug)]
pub(in crate::store) struct Placed<'a> {
    /// In which segment.
    pub(in crate::store) path: &'a Path,
    /// Where in it.
    pub(in crate::store) offset: u64,
    /// How long it is.
    pub(in crate::store) len: u64,
}

/// What a block keeps of the key `id`. Other keys have the same tag: one in
/// 65,536.
pub(in crate::store) fn tag(id: &str) -> u16 {
    // The lower half: BLAKE3 would be no better and cost more.
    u16::try_from(crc32c::crc32c(id.as_bytes()) & 0xffff).unwrap_or_default()
}

impl Marks {
    const REFUSED: u16 = 1 << 15;
    const DONE: u16 = 1 << 14;

    /// Of a change of the stored kind `kind`.
    pub(in crate::store) fn new(kind: i32, refused: bool) -> Self {
        // A kind that has no bit has all: it is looked at.
        let kind = u32::try_from(kind).ok().and_then(|kind| 1_u16.checked_shl(kind));
        let kind = kind.filter(|bit| *bit < Self::DONE).unwrap_or(Self::DONE - 1);
        Self(kind | if refused { Self::REFUSED } else { Self::DONE })
    }

    /// Of `change`.
    pub(in crate::store) fn of(change: &ChangeOutline) -> Self {
        Self::new(change.kind, change.refused.is_some())
    }

    /// Whether there may be a change of any of these kinds, or of any at all if there is none; with
    /// `refused`, one that was or was not.
    pub(in crate::store) fn may_match(
        self,
        mut kinds: impl Iterator<Item = i32>,
        refused: Option<bool>,
    ) -> bool {
        let outcome = match refused {
            Some(true) => Self::REFUSED,
            Some(false) => Self::DONE,
            None => Self::REFUSED | Self::DONE,
        };
        let bits = |kind| Self::new(kind, false).0 & !Self::DONE;
        let any = kinds.next().map(|first| kinds.fold(bits(first), |all, kind| all | bits(kind)));
        self.0 & outcome != 0 && any.is_none_or(|kinds| self.0 & kinds != 0)
    }
}

impl<'a> Indexed<'a> {
    /// What is taken in of `change`.
    pub(in crate::store) fn of(change: &'a ChangeOutline) -> Self {
        Self { time: change.time_ms, key: &change.key_id, marks: Marks::of(change) }
    }
}

impl Blocks {
    /// Takes in a frame of the changes after `after` up to `last`.
    pub(super) fn push<'a>(
        &mut self,
        placed: &Placed<'_>,
        after: u64,
        last: u64,
        changes: impl Iterator<Item = Indexed<'a>>,
    ) {
        let goes_on = |entry: &Entry| *entry.block.path == *placed.path && entry.block.len < BLOCK;
        if !self.0.back().is_some_and(goes_on) {
            if let Some(full) = self.0.back_mut() {
                full.tags.shrink_to_fit();
            }
            // Blocks of one segment share its path.
            let path = match self.0.back() {
                Some(entry) if *entry.block.path == *placed.path => Arc::clone(&entry.block.path),
                _ => Arc::from(placed.path),
            };
            let block = Block {
                path,
                offset: placed.offset,
                len: 0,
                first: after + 1,
                last: after,
                earliest: i64::MAX,
                latest: i64::MIN,
                marks: Marks::default(),
            };
            self.0.push_back(Entry { block, tags: Vec::new() });
        }
        let Some(Entry { block, tags }) = self.0.back_mut() else { return };
        block.len += placed.len;
        block.last = last;
        for Indexed { time, key, marks } in changes {
            block.earliest = block.earliest.min(time);
            block.latest = block.latest.max(time);
            block.marks.0 |= marks.0;
            let tag = tag(key);
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }

    /// Puts `behind` at the end.
    pub(super) fn append(&mut self, mut behind: Self) {
        self.0.append(&mut behind.0);
    }
}

impl Index {
    pub(super) fn new(blocks: Blocks, newest: u64) -> Self {
        Self { blocks: RwLock::new(blocks), newest: watch::Sender::new(newest) }
    }

    /// Takes in the frame that was published last, and wakes who waits for it.
    pub(in crate::store) fn extend(&self, placed: &Placed<'_>, commit: &Commit) {
        let Some(last) = commit.changes.last().map(|change| change.sequence) else { return };
        let after = commit.changes.first().map_or(last, |first| first.sequence.saturating_sub(1));
        let changes = commit.changes.iter().map(|change| {
            let refused = matches!(change.effect, Some(Effect::Refused(_)));
            let marks = Marks::new(change.kind, refused);
            Indexed { time: change.time_ms, key: &change.key_id, marks }
        });
        self.blocks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(placed, after, last, changes);
        self.newest.send_replace(last);
    }

    /// Forgets the blocks of segments that hold nothing but changes before
    /// `first`. Call it before their files are deleted.
    pub(in crate::store) fn forget_before(&self, first: u64) {
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        let is_needed = |entry: &Entry| entry.block.last >= first;
        let needed = blocks.0.iter().find(|entry| is_needed(entry));
        // A segment is deleted as a whole.
        let path = needed.map(|entry| Arc::clone(&entry.block.path));
        while blocks.0.front().is_some_and(|entry| {
            !is_needed(entry) && path.as_ref().is_none_or(|path| *path != entry.block.path)
        }) {
            blocks.0.pop_front();
        }
    }

    /// The first change that is there; `None` when there is none.
    pub(in crate::store) fn oldest(&self) -> Option<u64> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        blocks.0.front().map(|entry| entry.block.first)
    }

    /// The newest change.
    pub(in crate::store) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Is told of every newest change.
    pub(in crate::store) fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// The first block with a change at or behind `from` that `wanted` takes.
    /// With `key`, only what may hold a change of the key with this tag.
    pub(in crate::store) fn at_or_behind(
        &self,
        from: u64,
        key: Option<u16>,
        wanted: impl Fn(&Block) -> bool,
    ) -> Option<Block> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        let begin = blocks.0.partition_point(|entry| entry.block.last < from);
        let mut entries = blocks.0.range(begin..);
        entries.find(|entry| entry.may_hold(key) && wanted(&entry.block)).map(|e| e.block.clone())
    }

    /// The last block with a change at or before `from` that `wanted` takes.
    /// With `key`, only what may hold a change of the key with this tag.
    pub(in crate::store) fn at_or_before(
        &self,
        from: u64,
        key: Option<u16>,
        wanted: impl Fn(&Block) -> bool,
    ) -> Option<Block> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        let end = blocks.0.partition_point(|entry| entry.block.first <= from);
        let mut entries = blocks.0.range(..end).rev();
        entries.find(|entry| entry.may_hold(key) && wanted(&entry.block)).map(|e| e.block.clone())
    }

    /// Shows the frames that hold `from` or stand behind it to `visit`, without
    /// verifying the chain again.
    ///
    /// # Errors
    /// [`JournalError`], as `E`, or what `visit` fails with.
    pub(in crate::store) fn frames_from<E: From<JournalError>>(
        &self,
        from: u64,
        mut visit: impl FnMut(read::Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut from = from;
        while let Some(block) = self.at_or_behind(from, None, |_| true) {
            block.frames(|frame| if frame.last < from { Ok(()) } else { visit(frame) })?;
            from = block.last + 1;
        }
        Ok(())
    }
}

impl Entry {
    fn may_hold(&self, key: Option<u16>) -> bool {
        key.is_none_or(|tag| self.tags.contains(&tag))
    }
}

impl Block {
    /// Reads it from the disk and shows its frames to `visit`.
    ///
    /// # Errors
    /// [`JournalError`], as `E`, or what `visit` fails with.
    pub(in crate::store) fn frames<E: From<JournalError>>(
        &self,
        mut visit: impl FnMut(read::Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut bytes = vec![0; usize::try_from(self.len).unwrap_or(usize::MAX)];
        let file = File::open(&self.path).map_err(io_error("open", &self.path))?;
        file.read_exact_at(&mut bytes, self.offset).map_err(io_error("read", &self.path))?;
        let after = self.first.saturating_sub(1);
        read::read_block(&self.path, self.offset, after, &bytes, &mut visit)
    }
}

#[cfg(test)]
mod tests;
