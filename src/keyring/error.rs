//! Why a call on the keyring did not do what it should.

use crate::{
    change::Refusal,
    store::{CommitError, StoreError},
    token::NoRandomness,
    usage::UsageError,
};

/// A call on the keyring did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The change was not made.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// No secret could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// Too many looks through all keys of this caller wait for their turn.
    #[error("too many lists of this caller wait for their turn: ask for one after the other")]
    TooManyLooks,
    /// It broke off: a fault of ours.
    #[error("looking through the keys failed")]
    BrokenOff,
    /// Keys were imported, but not when they were last used. There may be others that
    /// were not imported yet.
    #[error(
        "keys were imported, but when they were last used could not be written; import them again to be sure that all are there"
    )]
    ImportedWithoutUsage(#[source] UsageError),
}

impl From<Refusal> for KeyringError {
    fn from(refusal: Refusal) -> Self {
        Self::Commit(refusal.into())
    }
}

impl From<StoreError> for KeyringError {
    fn from(error: StoreError) -> Self {
        Self::Commit(error.into())
    }
}
