//! Changes of the fields of a key.

use std::collections::BTreeMap;

use super::{
    Caller, Keyring, KeyringError,
    edit::{Attempt, Edit},
    fields, key_id,
};
use crate::{
    change::{ChangeKind, Effect},
    expiration::Expiration,
    record::KeyRecord,
    store::CommitError,
};

/// Which fields of a key to change; `None` leaves one as it is.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// The name.
    pub name: Option<String>,
    /// The role.
    pub role: Option<String>,
    /// All grants.
    pub grants: Option<Vec<String>>,
    /// The expiration.
    pub expires: Option<Expiration>,
    /// Switched on or off.
    pub active: Option<bool>,
    /// The subject; empty is the key's id.
    pub subject: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// All labels.
    pub labels: Option<BTreeMap<String, String>>,
}

/// A key that was changed, or would be.
#[derive(Debug)]
pub struct Updated {
    /// The key before.
    pub before: KeyRecord,
    /// The key after.
    pub after: KeyRecord,
}

impl Keyring {
    /// Changes fields of a key. `etag` is what the change is based on; empty is
    /// whatever the key is now. With `dry_run` nothing is changed.
    ///
    /// # Errors
    /// [`KeyringError`]; nothing was changed.
    pub async fn update(
        &self,
        caller: Caller,
        id: &str,
        patch: Patch,
        etag: String,
        dry_run: bool,
    ) -> Result<Updated, KeyringError> {
        let id = key_id(id)?;
        let attempt = Attempt { caller, right: "api_keys.update", kind: ChangeKind::Update, id };
        let edit = move |change: &Edit<'_>| {
            let mut after = change.target(&etag)?.clone();
            fields::apply(&mut after, &patch, change.now)?;
            after.secrets.retain(|secret| secret.is_live(change.now));
            after.updated = change.now;
            change.admit(&after)?;
            Ok(Effect::Put(Box::new(after)))
        };
        let (before, effect) = if dry_run {
            let preview = self.preview(attempt, edit)?;
            (preview.before, preview.effect)
        } else {
            let committed = self.commit(attempt, edit).await?;
            (committed.before, committed.effect)
        };
        match (before, effect) {
            (Some(before), Effect::Put(after)) => Ok(Updated { before, after: *after }),
            _ => Err(CommitError::InDoubt.into()),
        }
    }
}
