//! The state: all keys as they are now, in sled, for reading.
//!
//! INVARIANT: the state is what the journal says up to the sequence number that
//! stands in it; a batch of records and that number are one atomic batch of one
//! tree. It is never the only copy: what is wrong with it is found at open by
//! its digest, and mended by replaying the journal.

use std::{
    fs::DirBuilder,
    io,
    ops::Bound,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use sled::{IVec, Tree};

use crate::{
    digest::Census,
    record::{KeyRecord, RecordError},
    sled_dir::{self, Failure, Panicked, contained},
    token::KeyId,
};

/// Where the applied sequence number stands: before every key id.
const APPLIED_KEY: [u8; 1] = [0];
/// What the rows of imported keys' digests begin with: before every key id.
const FOREIGN: u8 = 1;
/// More threads that verify would wait for each other.
const MAX_THREADS: usize = 8;
/// sled's own page cache. Resolved keys have a cache of their own.
const PAGE_CACHE: u64 = 64 << 20;

/// The state, open.
pub(super) struct State {
    db: sled::Db,
    tree: Tree,
}

/// A row of the tree.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Row {
    /// A key, by its id: its record.
    Key(KeyId),
    /// An imported key, by a digest of its text: its id. Follows from the records.
    Foreign([u8; 32]),
}

/// How far the journal is applied, and what the state is then.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// The last change that is in the state.
    pub(super) sequence: u64,
    /// How many keys there are.
    pub(super) count: u64,
    /// Digest over all of them.
    pub(super) digest: StateDigest,
}

/// What rows add up to.
#[derive(Default)]
struct Sum {
    records: Applied,
    /// The rows of imported keys' digests that the records ask for, less those that
    /// there are.
    foreign: StateDigest,
    census: Census,
}

impl Sum {
    fn merge(mut self, other: &Self) -> Self {
        self.records.count += other.records.count;
        self.records.digest.merge(&other.records.digest);
        self.foreign.merge(&other.foreign);
        self.census.merge(&other.census);
        self
    }
}

/// Digest of a set of stored records: the sum of their BLAKE3 digests, in four
/// lanes of 64 bits. It does not depend on the order of changes, and is kept up
/// to date by adding and removing. It finds damage, not an attacker: against
/// that stands the journal's hash chain.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct StateDigest([u64; 4]);

/// sled has a problem.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// sled says so.
    #[error(transparent)]
    Sled(#[from] sled::Error),
    /// sled panicked, as it does on some damaged files.
    #[error("sled panicked on its files")]
    Panicked,
    /// The records are not what was written.
    #[error("the state's records do not add up to its digest")]
    Digest,
    /// It is older than the snapshot that the journal stands on.
    #[error("the state is older than the snapshot that the journal stands on")]
    Behind,
    /// The applied sequence number is not one.
    #[error("the state's sequence number is damaged")]
    Applied,
    /// A stored form is not a record.
    #[error("the state holds a damaged record")]
    Record(#[from] RecordError),
    /// The directory cannot be used.
    #[error("cannot use the state's directory")]
    Io(#[from] io::Error),
}

impl State {
    /// Opens the state in `dir`, or makes an empty one.
    pub(super) fn open(dir: &Path) -> Result<Self, StateError> {
        // sled's files have the process's umask: the directory keeps others out.
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        sled_dir::open(dir, || Self::try_open(dir))
    }

    fn try_open(dir: &Path) -> Result<Self, StateError> {
        let db = sled::Config::new().path(dir).cache_capacity(PAGE_CACHE).open()?;
        let tree = db.open_tree("keys")?;
        Ok(Self { db, tree })
    }

    /// What stands in `row`.
    pub(super) fn row(&self, row: Row) -> Result<Option<IVec>, StateError> {
        Ok(match row {
            Row::Key(id) => self.tree.get(id.as_bytes())?,
            Row::Foreign(digest) => self.tree.get(foreign_row(&digest))?,
        })
    }

    /// All records after `after`, in the order of ids.
    pub(super) fn scan(
        &self,
        after: Option<KeyId>,
    ) -> impl Iterator<Item = Result<IVec, StateError>> + Send + use<> {
        let range = match after {
            None => self.tree.range(KeyId::MIN.as_bytes().as_slice()..),
            Some(id) => self
                .tree
                .range::<&[u8], _>((Bound::Excluded(id.as_bytes().as_slice()), Bound::Unbounded)),
        };
        range.map(|entry| Ok(entry?.1))
    }

    /// How far the journal is applied, as it was written.
    pub(super) fn applied(&self) -> Result<Applied, StateError> {
        match self.tree.get(APPLIED_KEY)? {
            None => Ok(Applied::default()),
            Some(bytes) => Applied::decode(&bytes).ok_or(StateError::Applied),
        }
    }

    /// Reads every record, on all processors, and checks that they add up to what was
    /// written.
    pub(super) fn verify(&self) -> Result<(Applied, Census), StateError> {
        contained(|| {
            let applied = self.applied()?;
            let sum = self.sum()?;
            let found = Applied { sequence: applied.sequence, ..sum.records };
            let whole = found == applied && sum.foreign == StateDigest::default();
            if whole { Ok((found, sum.census)) } else { Err(StateError::Digest) }
        })
    }

    fn sum(&self) -> Result<Sum, StateError> {
        let next = AtomicUsize::new(0);
        let work = || -> Result<Sum, StateError> {
            let mut sum = Sum::default();
            loop {
                // Rows begin with one of 256 bytes; most with none, which costs nothing.
                let first = u8::try_from(next.fetch_add(1, Ordering::Relaxed));
                let Ok(first) = first else { return Ok(sum) };
                contained(|| self.add_rows(first, &mut sum))?;
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        thread::scope(|scope| {
            // Without another thread, this one reads them all.
            let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
            let others: Vec<_> = (1..threads).filter_map(spawn).collect();
            let mut sum = work();
            for other in others {
                let other = other.join().unwrap_or(Err(StateError::Panicked));
                sum = sum.and_then(|sum| Ok(sum.merge(&other?)));
            }
            sum
        })
    }

    /// Adds the rows that begin with the byte `first`.
    fn add_rows(&self, first: u8, sum: &mut Sum) -> Result<(), StateError> {
        for row in self.tree.scan_prefix([first]) {
            let (row, bytes) = row?;
            match first {
                0 => {}
                FOREIGN => {
                    let digest = row.get(1..).unwrap_or_default();
                    sum.foreign.remove(&[digest, &bytes].concat());
                }
                _ => {
                    sum.records.add(&bytes);
                    let key = KeyRecord::decode(&bytes)?;
                    sum.census.add(&key);
                    for digest in key.foreign_digests() {
                        let row = [digest.as_bytes().as_slice(), key.id.as_bytes()].concat();
                        sum.foreign.add(&row);
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes rows (`None` removes one) and how far the journal is applied with
    /// them, all or nothing.
    pub(super) fn apply(
        &self,
        rows: impl IntoIterator<Item = (Row, Option<Vec<u8>>)>,
        applied: &Applied,
    ) -> Result<(), StateError> {
        let mut batch = sled::Batch::default();
        for (row, bytes) in rows {
            let row = match row {
                Row::Key(id) => IVec::from(id.as_bytes()),
                Row::Foreign(digest) => IVec::from(foreign_row(&digest).as_slice()),
            };
            match bytes {
                Some(bytes) => batch.insert(row, bytes),
                None => batch.remove(row),
            }
        }
        batch.insert(&APPLIED_KEY, applied.encode().as_slice());
        Ok(self.tree.apply_batch(batch)?)
    }

    /// Writes out what is buffered. Only the thread that applies may call it:
    /// sled deadlocks on concurrent flushes.
    pub(super) fn flush(&self) -> Result<(), StateError> {
        self.db.flush()?;
        Ok(())
    }
}

fn foreign_row(digest: &[u8; 32]) -> [u8; 33] {
    let mut row = [FOREIGN; 33];
    row[1..].copy_from_slice(digest);
    row
}

/// The id that stands in a row of an imported key's digest.
pub(super) fn key_id(bytes: &[u8]) -> Result<KeyId, StateError> {
    let id = str::from_utf8(bytes).ok().and_then(|id| id.parse().ok());
    id.ok_or(StateError::Record(RecordError::Field("id")))
}

impl Applied {
    pub(super) fn add(&mut self, record: &[u8]) {
        self.count += 1;
        self.digest.add(record);
    }

    pub(super) fn remove(&mut self, record: &[u8]) {
        self.count = self.count.saturating_sub(1);
        self.digest.remove(record);
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(48);
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.digest.to_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (sequence, rest) = bytes.split_first_chunk()?;
        let (count, digest) = rest.split_first_chunk()?;
        Some(Self {
            sequence: u64::from_le_bytes(*sequence),
            count: u64::from_le_bytes(*count),
            digest: StateDigest::from_bytes(digest.try_into().ok()?),
        })
    }
}

impl StateDigest {
    /// Takes a record in.
    pub fn add(&mut self, record: &[u8]) {
        for (lane, part) in self.0.iter_mut().zip(lanes(blake3::hash(record).as_bytes())) {
            *lane = lane.wrapping_add(part);
        }
    }

    /// Takes a record out.
    pub fn remove(&mut self, record: &[u8]) {
        for (lane, part) in self.0.iter_mut().zip(lanes(blake3::hash(record).as_bytes())) {
            *lane = lane.wrapping_sub(part);
        }
    }

    /// Takes in all that `other` is the digest of.
    pub fn merge(&mut self, other: &Self) {
        for (lane, part) in self.0.iter_mut().zip(other.0) {
            *lane = lane.wrapping_add(part);
        }
    }

    /// 32 bytes, little-endian.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (place, lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            place.copy_from_slice(&lane.to_le_bytes());
        }
        bytes
    }

    /// What [`StateDigest::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut digest = Self::default();
        for (lane, part) in digest.0.iter_mut().zip(lanes(bytes)) {
            *lane = part;
        }
        digest
    }
}

fn lanes(bytes: &[u8; 32]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(8).map(|lane| lane.try_into().map_or(0, u64::from_le_bytes))
}

impl StateError {
    /// The files are damaged, and the journal can mend that. What the operating
    /// system says (no permission, no space) somebody has to mend first.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Sled(error) => sled_dir::is_damage(error),
            Self::Io(_) => false,
            Self::Panicked | Self::Digest | Self::Behind | Self::Applied | Self::Record(_) => true,
        }
    }
}

impl From<Panicked> for StateError {
    fn from(_: Panicked) -> Self {
        Self::Panicked
    }
}

impl Failure for StateError {
    fn of_sled(&self) -> Option<&sled::Error> {
        if let Self::Sled(error) = self { Some(error) } else { None }
    }
}
