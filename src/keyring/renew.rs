//! New digests for secrets that were used and whose digest is outdated: of
//! another pepper, or as an import brought it.
//!
//! INVARIANT: a digest is replaced only for a secret that was proven by the one it
//! replaces; nothing else of its key changes. Called by the server's task.

use std::collections::HashSet;

use super::Keyring;
use crate::{
    change::{Actor, Change, ChangeKind, Effect, Origin},
    digest::{Renewal, Scheme},
    record::KeyRecord,
    store::CommitError,
};

impl Keyring {
    /// Makes the digests of `renewals` those of their secrets.
    ///
    /// # Errors
    /// [`CommitError`]: nothing was changed, and will be asked for at the next use.
    pub async fn renew(&self, renewals: Vec<Renewal>) -> Result<(), CommitError> {
        let clock = self.clock.clone();
        let rule = move |reader: &dyn crate::store::Reader| {
            let time = clock.now();
            let mut changes: Vec<Change> = Vec::new();
            // The reader does not show what this rule has made.
            let (mut ids, mut digests) = (HashSet::new(), HashSet::new());
            for renewal in &renewals {
                let digest = renewal.new.1;
                // A rule changes a key once; the other secret waits for its next use. So
                // does a text that was imported as two keys.
                if ids.contains(&renewal.id) || digests.contains(digest.as_bytes()) {
                    continue;
                }
                let Some(before) = reader.get(renewal.id)? else { continue };
                let Some(after) = renewed(before, renewal) else { continue };
                // The same text was imported as another key, too: it keeps the digest.
                if reader.find(&digest)?.is_some_and(|other| other != after.id) {
                    continue;
                }
                ids.insert(after.id);
                digests.insert(*digest.as_bytes());
                changes.push(Change {
                    kind: ChangeKind::Redigest,
                    time,
                    origin: Origin {
                        actor: Actor::System,
                        peer: String::new(),
                        request_id: String::new(),
                    },
                    key_id: Some(after.id),
                    team: after.team.clone(),
                    service: after.service.clone(),
                    effect: Effect::Put(Box::new(after)),
                });
            }
            Ok(changes)
        };
        self.store.commit(Box::new(rule)).await.map(drop)
    }
}

/// `key` with the new digest; `None` when no secret of it has the old one.
fn renewed(mut key: KeyRecord, renewal: &Renewal) -> Option<KeyRecord> {
    // By what proved it, not by its number: the key may have been revoked and
    // imported again meanwhile, with another secret.
    let mut secrets = key.secrets.iter_mut();
    let secret = secrets.find(|secret| (secret.scheme, secret.digest) == renewal.old)?;
    let was_imported = key.imported.is_some() && !matches!(secret.scheme, Scheme::Keyed(_));
    if was_imported && secret.imported_as.is_none() {
        secret.imported_as = Some(renewal.old);
    }
    (secret.scheme, secret.digest) = renewal.new;
    Some(key)
}
