//! The end of a key.

use super::{
    Caller, Keyring, KeyringError,
    edit::{Attempt, Edit},
    key_id,
};
use crate::{
    change::{ChangeKind, Effect},
    clock::Timestamp,
    record::KeyRecord,
    store::CommitError,
    usage::KeyUsage,
};

/// A key that is no more.
#[derive(Debug)]
pub struct Revoked {
    /// The key as it was.
    pub key: KeyRecord,
    /// How it was used, and since when that is known; `None`: that could not be read.
    pub usage: Option<(KeyUsage, Timestamp)>,
}

impl Keyring {
    /// Deletes a key for good. Gives it as it was.
    ///
    /// # Errors
    /// [`KeyringError`]; the key is as it was.
    pub async fn revoke(
        &self,
        caller: Caller,
        id: &str,
        etag: String,
        dry_run: bool,
    ) -> Result<Revoked, KeyringError> {
        let id = key_id(id)?;
        let attempt = Attempt { caller, right: "api_keys.revoke", kind: ChangeKind::Revoke, id };
        // With the key goes what is known of its use.
        let usage = self.usage_before(&attempt);
        let edit = move |change: &Edit<'_>| {
            change.target(&etag)?;
            Ok(Effect::Remove)
        };
        let before = if dry_run {
            self.preview(attempt, edit)?.before
        } else {
            self.commit(attempt, edit).await?.before
        };
        let key = before.ok_or(CommitError::InDoubt)?;
        let usage = usage.map(|usage| (usage, self.usage.known_since(&key)));
        Ok(Revoked { key, usage })
    }
}
