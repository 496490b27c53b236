//! The rows in sled: id → totals, and one row over all of them.
//!
//! INVARIANT: a batch of rows and their sum are one atomic batch. A batch is
//! small: sled lets nobody read any of its databases in this process while one is
//! applied. Only the thread that flushes changes rows. A panic of sled is an error
//! like any other.

use std::{collections::BTreeMap, fs::File, path::Path};

use prost::Message as _;
use sled::{IVec, Tree};

use super::{
    UsageError,
    moment::{LastUsed, Moment},
    totals::Totals,
};
use crate::{
    clock::Timestamp, pb::storage::StoredUsage, sled_dir::contained, store::StateDigest,
    token::KeyId,
};

/// Where the sum stands: before every key id.
const SUM_ROW: [u8; 1] = [0];
/// Rows in one batch.
const BATCH: usize = 100;
/// sled's own page cache.
const PAGE_CACHE: u64 = 8 << 20;

pub(super) struct Rows {
    db: sled::Db,
    tree: Tree,
    file: File,
}

/// What all rows add up to.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// Since when use is tracked.
    pub(super) since: Timestamp,
    /// How many batches were written.
    pub(super) number: u64,
    count: u64,
    digest: StateDigest,
}

/// What was read.
pub(super) struct Contents {
    /// The sum as it was written.
    pub(super) stored: Option<Sum>,
    /// The sum of the rows that were read, with the stored one's time and number.
    pub(super) found: Sum,
    pub(super) last_used: LastUsed,
    /// Rows that no version of this program wrote.
    pub(super) damaged: Vec<IVec>,
}

impl Rows {
    /// Only within `sled_dir::open`, which contains a panic.
    pub(super) fn open(dir: &Path) -> Result<Self, UsageError> {
        // Without a thread of sled's that flushes: it would do so beside ours, and
        // say nothing of errors.
        let config = sled::Config::new().path(dir).cache_capacity(PAGE_CACHE);
        let db = config.flush_every_ms(None).open()?;
        let tree = db.open_tree("usage")?;
        Ok(Self { db, tree, file: File::options().write(true).open(dir.join("db"))? })
    }

    /// Reads every row.
    pub(super) fn read_all(&self) -> Result<Contents, UsageError> {
        contained(|| {
            let stored = self.tree.get(SUM_ROW)?.and_then(|bytes| Sum::decode(&bytes));
            let mut found = Sum { count: 0, ..stored.unwrap_or_default() };
            found.digest = StateDigest::default();
            let mut last_used = Vec::new();
            let mut damaged = Vec::new();
            for entry in &self.tree {
                let (row, bytes) = entry?;
                match decode(&row, &bytes) {
                    _ if *row == SUM_ROW => {}
                    Some((id, totals)) => {
                        found.add(id, &bytes);
                        last_used.push((id, Moment::new(totals.last_used)));
                    }
                    None => damaged.push(row),
                }
            }
            // At once: its nodes are full.
            let last_used = LastUsed::from_iter(last_used);
            Ok(Contents { stored, found, last_used, damaged })
        })
    }

    /// Takes out damaged rows, and writes the sum anew.
    pub(super) fn reset(&self, damaged: Vec<IVec>, sum: &Sum) -> Result<(), UsageError> {
        contained(|| {
            let mut batch = sled::Batch::default();
            damaged.into_iter().for_each(|row| batch.remove(row));
            batch.insert(&SUM_ROW, sum.encode().as_slice());
            Ok(self.tree.apply_batch(batch)?)
        })
    }

    /// The totals in the row of a key.
    pub(super) fn get(&self, id: KeyId) -> Result<Option<Totals>, UsageError> {
        contained(|| {
            let Some(bytes) = self.tree.get(id.as_bytes())? else { return Ok(None) };
            let (_, totals) = decode(id.as_bytes(), &bytes).ok_or(UsageError::Damaged)?;
            Ok(Some(totals))
        })
    }

    /// Writes totals (`None` removes the row), and keeps `sum` up to date. Gives how
    /// many rows were changed. After an error, rows and sum are in doubt.
    pub(super) fn apply<'a>(
        &self,
        changed: impl IntoIterator<Item = (KeyId, Option<&'a Totals>)>,
        sum: &mut Sum,
    ) -> Result<u64, UsageError> {
        contained(|| {
            // In order: sled takes many times the memory for rows that come at random.
            let changed: BTreeMap<_, _> = changed.into_iter().collect();
            let mut changed = changed.into_iter().peekable();
            let mut written = 0;
            while changed.peek().is_some() {
                let mut batch = sled::Batch::default();
                let mut rows = 0;
                for (id, totals) in changed.by_ref().take(BATCH) {
                    let old = self.tree.get(id.as_bytes())?;
                    let new = totals.map(|totals| totals.to_stored().encode_to_vec());
                    if old.as_deref() == new.as_deref() {
                        continue;
                    }
                    old.inspect(|old| sum.remove(id, old));
                    match new {
                        Some(new) => {
                            sum.add(id, &new);
                            batch.insert(id.as_bytes(), new);
                        }
                        None => batch.remove(id.as_bytes()),
                    }
                    rows += 1;
                }
                if rows > 0 {
                    sum.number += 1;
                    batch.insert(&SUM_ROW, sum.encode().as_slice());
                    self.tree.apply_batch(batch)?;
                    written += rows;
                }
            }
            Ok(written)
        })
    }

    /// Makes durable what was applied. sled's own flush is no fsync; and it
    /// deadlocks beside another.
    pub(super) fn sync(&self) -> Result<(), UsageError> {
        contained(|| {
            self.db.flush()?;
            Ok(self.file.sync_data()?)
        })
    }

    /// The rows in the order of ids, up to the first that cannot be read.
    pub(super) fn scan(
        &self,
    ) -> impl Iterator<Item = Result<(KeyId, Totals), UsageError>> + Send + use<> {
        let mut rows = self.tree.range(KeyId::MIN.as_bytes().as_slice()..);
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let next = contained(|| Ok::<_, UsageError>(rows.next().transpose()?)).transpose();
            let next = next.map(|entry| {
                let (row, bytes) = entry?;
                decode(&row, &bytes).ok_or(UsageError::Damaged)
            });
            ended = !matches!(next, Some(Ok(_)));
            next
        })
    }
}

fn decode(row: &[u8], bytes: &[u8]) -> Option<(KeyId, Totals)> {
    let id = str::from_utf8(row).ok()?.parse().ok()?;
    Some((id, Totals::from_stored(&StoredUsage::decode(bytes).ok()?)))
}

impl Sum {
    /// Of no rows.
    pub(super) fn new(since: Timestamp) -> Self {
        Self { since, ..Self::default() }
    }

    fn add(&mut self, id: KeyId, bytes: &[u8]) {
        self.count += 1;
        self.digest.add(&[id.as_bytes().as_slice(), bytes].concat());
    }

    fn remove(&mut self, id: KeyId, bytes: &[u8]) {
        self.count = self.count.saturating_sub(1);
        self.digest.remove(&[id.as_bytes().as_slice(), bytes].concat());
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(56);
        bytes.extend_from_slice(&self.since.0.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.digest.to_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (since, rest) = bytes.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (count, digest) = rest.split_first_chunk()?;
        Some(Self {
            since: Timestamp(i64::from_le_bytes(*since)),
            number: u64::from_le_bytes(*number),
            count: u64::from_le_bytes(*count),
            digest: StateDigest::from_bytes(digest.try_into().ok()?),
        })
    }
}
