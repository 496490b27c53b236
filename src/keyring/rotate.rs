//! New secrets for keys that there are.

use std::time::Duration;

use super::{Caller, Keyring, KeyringError, after, edit::Attempt, key_id};
use crate::{
    change::{ChangeKind, Effect, Refusal},
    clock::Timestamp,
    record::{KeyRecord, MAX_SECRETS, SecretRecord},
    token::Token,
};

/// The longest time for which a rotated key's secret before is still accepted.
const MAX_OVERLAP: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A key that has a new secret.
#[derive(Debug)]
pub struct Rotated {
    /// The key.
    pub key: KeyRecord,
    /// The text of its new secret, which nobody can get again.
    pub token: Token,
    /// Secrets that were accepted before and are not any more, and when each was last
    /// used.
    pub dropped: Vec<(SecretRecord, Option<Timestamp>)>,
}

impl Keyring {
    /// Gives a key a new secret. The one before is accepted for `overlap` still;
    /// any other is refused from now on.
    ///
    /// # Errors
    /// [`KeyringError`]; the key's secrets are as they were.
    pub async fn rotate(
        &self,
        caller: Caller,
        id: &str,
        overlap: Duration,
        etag: String,
    ) -> Result<Rotated, KeyringError> {
        let id = key_id(id)?;
        let token = Token::generate(id)?;
        let secret = SecretRecord::new(&token, 0, &self.digester, self.clock.now());
        let attempt = Attempt { caller, right: "api_keys.rotate", kind: ChangeKind::Rotate, id };
        let usage = self.usage_before(&attempt).unwrap_or_default();
        let committed = self
            .commit(attempt, move |change| {
                let mut after = change.target(&etag)?.clone();
                change.powers.require_within_life(after.expires)?;
                if overlap > MAX_OVERLAP {
                    return Err(Refusal::field("overlap", "must be at most 90 days").into());
                }
                let number = after.secrets.iter().map(|secret| secret.number).max().unwrap_or(0);
                let until = i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX);
                let until = Timestamp(change.now.0.saturating_add(until));
                for secret in &mut after.secrets {
                    secret.expires = Some(secret.expires.map_or(until, |at| at.min(until)));
                }
                after.secrets.insert(0, SecretRecord { number: number + 1, ..secret.clone() });
                after.secrets.retain(|secret| secret.is_live(change.now));
                after.secrets.truncate(MAX_SECRETS);
                after.updated = change.now;
                Ok(Effect::Put(Box::new(after)))
            })
            .await?;
        let key = after(&committed)?;
        let was_live = |secret: &SecretRecord| secret.is_live(key.updated);
        let is_there =
            |secret: &SecretRecord| key.secrets.iter().any(|kept| kept.number == secret.number);
        let before = committed.before.map(|before| before.secrets).unwrap_or_default();
        let dropped = before.into_iter().filter(|secret| was_live(secret) && !is_there(secret));
        let dropped = dropped.map(|secret| {
            let used = usage.secrets.iter().find(|(number, _)| *number == secret.number);
            (secret, used.map(|(_, at)| *at))
        });
        let dropped = dropped.collect();
        Ok(Rotated { key, token, dropped })
    }
}
