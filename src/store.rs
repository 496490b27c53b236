//! Where keys are kept: the trait that an engine implements.
//!
//! INVARIANT: when `commit` returns, the change is durable, `get` shows it, and
//! every subscriber has been told. The authorizer only reads; the keyring
//! commits. Layout: `embedded` is the engine of a single node, made of
//! `journal` (the truth, one fdatasync for a `group` of changes), `state` (sled,
//! what is read) and `writer` (the one thread that changes both), in a
//! `data_dir` that `recovery` opens and `repair` mends.

mod data_dir;
mod embedded;
mod group;
mod journal;
mod recovery;
mod repair;
mod state;
mod writer;

use std::{future::Future, io, path::PathBuf, pin::Pin};

pub use self::{
    data_dir::{Lost, OpenError},
    embedded::Embedded,
    journal::{Damage, JournalError},
    recovery::Recovery,
    repair::{Repair, RepairError, Source, repair},
    state::{StateDigest, StateError},
    writer::Failure,
};
use crate::{
    change::{Change, Refusal},
    record::{KeyRecord, RecordError},
    token::KeyId,
};

/// The sequence number of a change; the state after it is this revision.
pub type Revision = u64;

/// Decides a change inside the commit, where nothing can come between the check
/// and the change. May be called more than once: it must have no side effect.
pub type Rule = Box<dyn FnMut(&dyn Reader) -> Result<Change, CommitError> + Send>;

/// Is told of a change after it can be read and before it is acknowledged.
pub type Subscriber = Box<dyn Fn(&Changed) + Send + Sync>;

/// An engine that keeps keys.
pub trait Store: Reader + Send + Sync + 'static {
    /// Runs `rule` against the newest state and makes its change durable.
    ///
    /// # Errors
    /// [`CommitError`]; except for [`CommitError::InDoubt`], nothing changed.
    fn commit(
        &self,
        rule: Rule,
    ) -> Pin<Box<dyn Future<Output = Result<Committed, CommitError>> + Send + '_>>;

    /// The keys after `after` in the order of their ids; `None` begins with the
    /// first.
    fn scan(
        &self,
        after: Option<KeyId>,
    ) -> Box<dyn Iterator<Item = Result<KeyRecord, StoreError>> + Send + '_>;

    /// Calls `subscriber` for every change from now on, in order.
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
}

/// What a subscriber is told.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The key that is not any more what it was.
    pub key_id: KeyId,
    /// Since when.
    pub revision: Revision,
}

/// A change that is durable and visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its sequence number.
    pub revision: Revision,
    /// The key before; `None` when it was created.
    pub before: Option<KeyRecord>,
    /// The key after; `None` when it was revoked.
    pub after: Option<KeyRecord>,
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
