//! Where keys are kept: the trait that an engine implements.
//!
//! INVARIANT: when `commit` returns, the change is durable, `get` shows it, and
//! every subscriber has been told. The authorizer only reads; the keyring
//! commits. Layout: `embedded` is the engine of a single node, made of
//! `journal` (the truth, one fdatasync for a `group` of changes), `state` (sled,
//! what is read) and `writer` (the one thread that changes both, and has them `told` to the log), in a
//! `data_dir` that `recovery` opens, `repair` mends and `verify` checks. `retention`
//! deletes old history and leaves a `snapshot`; `backup` and `restore` carry all of it
//! elsewhere. `log` is the trait of the audit log beside it, `history` the embedded
//! engine's.

mod backup;
mod data_dir;
mod disk;
mod embedded;
mod ground;
mod group;
mod history;
mod journal;
mod key_set;
mod log;
mod pepper;
mod recovery;
mod repair;
mod restore;
mod retention;
mod sealed;
mod snapshot;
mod state;
mod told;
mod verify;
mod writer;

use std::{future::Future, io, path::PathBuf, pin::Pin};

pub use self::{
    backup::{BACKUP_CHUNK, Backup, BackupError, BackupInfo, UsageCopy, check_backup},
    data_dir::{Lost, OpenError},
    disk::DiskUse,
    embedded::Embedded,
    ground::GroundError,
    journal::{Damage, JournalError},
    log::{Log, LogError, Order, Scan, Scanned},
    pepper::{pepper_of, set_pepper},
    recovery::Recovery,
    repair::{Repair, RepairError, Source, repair},
    restore::{Restore, RestoreError, restore},
    retention::{Forgotten, RetentionError},
    sealed::{Flaw, SealedError},
    state::{StateDigest, StateError},
    verify::{Broken, Verification, VerifyError, verify},
    writer::Failure,
};
use crate::{
    change::{Change, Effect, Refusal},
    digest::{Digest, Presented},
    record::{KeyRecord, RecordError},
    token::KeyId,
};

/// The sequence number of a change; the state after it is this revision.
pub type Revision = u64;

/// Decides changes inside the commit, where nothing can come between the check
/// and the change: all of them are made, or none. Each is made to the key as it
/// was before the rule, so a rule changes a key once. May be called more than
/// once: it must have no side effect.
pub type Rule = Box<dyn FnMut(&dyn Reader) -> Result<Vec<Change>, CommitError> + Send>;

/// Is told of a change after it can be read and before it is acknowledged.
pub type Subscriber = Box<dyn Fn(&Changed<'_>) + Send + Sync>;

/// An engine that keeps keys.
pub trait Store: Reader + Send + Sync + 'static {
    /// Runs `rule` against the newest state and makes its changes durable. Gives
    /// what each has done, in order.
    ///
    /// # Errors
    /// [`CommitError`]; except for [`CommitError::InDoubt`], nothing changed.
    fn commit(
        &self,
        rule: Rule,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Committed>, CommitError>> + Send + '_>>;

    /// The keys after `after` in the order of their ids; `None` begins with the
    /// first.
    fn scan(
        &self,
        after: Option<KeyId>,
    ) -> Box<dyn Iterator<Item = Result<KeyRecord, StoreError>> + Send + '_>;

    /// Calls `subscriber` for every change of a key from now on, in order; not for
    /// what was refused.
    fn subscribe(&self, subscriber: Subscriber);

    /// The newest revision that every reader and subscriber is at.
    fn revision(&self) -> Revision;

    /// What the engine says of itself.
    fn summary(&self) -> Summary;
}

/// Reads single keys: the store, or a rule's view of it inside a commit.
pub trait Reader {
    /// The key `id`, or `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`] when this could not be found out.
    fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError>;

    /// The id of the imported key that has a secret of this digest.
    ///
    /// # Errors
    /// [`StoreError`] when this could not be found out.
    fn find(&self, digest: &Digest) -> Result<Option<KeyId>, StoreError>;
}

/// The id of the key that is presented: the one in its text or, for an imported
/// key, the one that its digests find. A text that was imported as two keys is
/// neither's: nobody could revoke it by revoking one.
///
/// # Errors
/// [`StoreError`] when this could not be found out.
pub fn find_presented(
    presented: &Presented,
    reader: &(impl Reader + ?Sized),
) -> Result<Option<KeyId>, StoreError> {
    if presented.id.is_some() {
        return Ok(presented.id);
    }
    let mut found: Option<KeyId> = None;
    for digest in presented.digests.iter() {
        let Some(id) = reader.find(digest)? else { continue };
        match found {
            Some(other) if other != id => {
                tracing::warn!(key_id = %id, other_key_id = %other,
                    "one text was imported as two keys and is refused: revoke one of them");
                return Ok(None);
            }
            _ => found = Some(id),
        }
    }
    Ok(found)
}

/// What a subscriber is told.
#[derive(Copy, Clone, Debug)]
pub struct Changed<'a> {
    /// The key that is not any more what it was.
    pub key_id: KeyId,
    /// What it was; `None` when it was created.
    pub before: Option<&'a KeyRecord>,
    /// What it is; `None` when it was revoked.
    pub after: Option<&'a KeyRecord>,
    /// Since when.
    pub revision: Revision,
}

/// A change that is durable and visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its sequence number.
    pub revision: Revision,
    /// The key before; `None` when there was none.
    pub before: Option<KeyRecord>,
    /// What has become of it. A key that was put has its revision.
    pub effect: Effect,
}

impl Committed {
    /// The key after the change; `None` when there is none, or nothing changed.
    pub fn after(&self) -> Option<&KeyRecord> {
        match &self.effect {
            Effect::Put(key) => Some(key),
            Effect::Remove | Effect::Refuse { .. } => None,
        }
    }
}

/// What an engine says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The engine's name.
    pub engine: &'static str,
    /// Where its data lies.
    pub data_dir: PathBuf,
    /// The newest revision.
    pub revision: Revision,
    /// How many keys it holds.
    pub key_count: u64,
    /// Digest over all keys: equal states have equal digests.
    pub state_digest: [u8; 32],
    /// Head of the journal's hash chain.
    pub journal_head: [u8; 32],
}

/// A change was not made.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The rule says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The state could not be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// The journal could not be written, and is as it was. The usual cause is a
    /// full disk.
    #[error("the change could not be written to the journal, and was not made: {0}")]
    NotWritten(#[source] io::Error),
    /// Whether the change is durable is not known: the store has stopped.
    #[error(
        "the store has stopped; whether the change was made is not known: read it after a restart"
    )]
    InDoubt,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// A key could not be read. Nothing follows from that about the key.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state gives an error.
    #[error("the state cannot be read")]
    State(#[from] StateError),
    /// The stored form is not a record.
    #[error("the state holds a damaged record")]
    Record(#[from] RecordError),
    /// The engine cannot answer.
    #[error("the store cannot answer: {0}")]
    Unavailable(&'static str),
}

#[cfg(test)]
mod tests;
