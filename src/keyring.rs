//! The rules of change: create, update, rotate, revoke; and reading keys as a
//! caller may see them.
//!
//! INVARIANT: every rule that must hold is checked inside the commit, on the
//! state that the change is made to: who the caller is, what it may do now, and
//! that it gives no more than it holds. Called by `grpc`; never calls the
//! authorizer.

mod catalog;
mod edit;
mod fields;
mod import;
mod list;
mod powers;
mod refusals;
mod renew;

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use self::{catalog::Catalog, edit::Attempt, list::Uses, refusals::Refusals};
pub use self::{
    import::{Imported, ImportedKey},
    list::{By, Filter, MAX_PAGE, Order, Page, PageRequest},
    powers::{Caller, Identity, Powers},
};
use crate::{
    change::{ChangeKind, Effect, Refusal},
    clock::{Clock, Timestamp},
    digest::Digester,
    expiration::Expiration,
    policy::{Policy, service_or_default},
    record::{KeyRecord, MAX_SECRETS, SecretRecord},
    store::{CommitError, Committed, Reader, Store, StoreError, Summary},
    token::{KeyId, NoRandomness, Token},
    usage::{KeyUsage, Usage, UsageError},
};

/// The team of a key that the operator creates without naming one.
pub const DEFAULT_TEAM: &str = "default";

/// The longest time for which a rotated key's secret before is still accepted.
const MAX_OVERLAP: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Reads and changes keys on behalf of callers.
#[derive(Clone)]
pub struct Keyring {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    policy: Arc<Policy>,
    digester: Digester,
    usage: Usage,
    clock: Clock,
    refusals: Arc<Refusals>,
}

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

/// A key that is no more.
#[derive(Debug)]
pub struct Revoked {
    /// The key as it was.
    pub key: KeyRecord,
    /// How it was used, and since when that is known; `None`: that could not be read.
    pub usage: Option<(KeyUsage, Timestamp)>,
}

/// A key that was changed, or would be.
#[derive(Debug)]
pub struct Updated {
    /// The key before.
    pub before: KeyRecord,
    /// The key after.
    pub after: KeyRecord,
}

/// What a new key shall be.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// Required.
    pub name: String,
    /// Empty: the default service.
    pub service: String,
    /// Required.
    pub role: String,
    /// Lifetime by default.
    pub expires: Expiration,
    /// Switched off from the beginning.
    pub inactive: bool,
    /// Empty: the caller's team.
    pub team: String,
    /// Single actions beside the role's.
    pub grants: Vec<String>,
    /// Empty: the key's id.
    pub subject: String,
    /// Free text.
    pub description: String,
    /// Free names and values.
    pub labels: BTreeMap<String, String>,
}

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

/// A call on the keyring did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The change was not made.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// No secret could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
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

impl NewKey {
    /// The record of this key, as the caller of `change` asks for it.
    fn record(&self, change: &edit::Edit<'_>, secret: SecretRecord) -> Result<KeyRecord, Refusal> {
        let or = |text: &String, other: &str| {
            if text.is_empty() { other.to_owned() } else { text.clone() }
        };
        Ok(KeyRecord {
            id: change.id,
            name: self.name.clone(),
            team: or(&self.team, change.powers.team().unwrap_or(DEFAULT_TEAM)),
            service: service_or_default(&self.service).to_owned(),
            role: self.role.clone(),
            grants: fields::sorted(&self.grants),
            active: !self.inactive,
            expires: fields::resolved(self.expires, change.now)?,
            created: change.now,
            updated: change.now,
            subject: or(&self.subject, change.id.as_str()),
            description: self.description.clone(),
            labels: self.labels.clone(),
            created_by: change.powers.actor(),
            revision: 0,
            secrets: vec![secret],
            imported: None,
        })
    }
}

impl Keyring {
    /// A keyring on `store`. It begins to read all its keys, on a thread of their own,
    /// and lists none until they are read.
    pub fn new(
        store: Arc<dyn Store>,
        policy: Arc<Policy>,
        digester: Digester,
        usage: Usage,
        clock: Clock,
    ) -> Self {
        let catalog = Catalog::follow(&*store);
        let told = usage.clone();
        store.subscribe(Box::new(move |changed| match (changed.before, changed.after) {
            (_, None) => told.forget(changed.key_id),
            (None, Some(_)) => told.revive(changed.key_id),
            (Some(_), Some(_)) => {}
        }));
        let keyring =
            Self { store, catalog, policy, digester, usage, clock, refusals: Arc::default() };
        keyring.load();
        keyring
    }

    fn load(&self) {
        let (catalog, usage) = (Arc::clone(&self.catalog), self.usage.clone());
        // Who has given up the store does not want it read.
        let store = Arc::downgrade(&self.store);
        let load = move || {
            let Some(store) = store.upgrade() else { return };
            catalog.load(&*store);
            drop(store);
            if catalog.ready().is_ok() {
                usage.prune(|id| catalog.holds(id));
            }
        };
        if let Err(error) = thread::Builder::new().name("catalog".to_owned()).spawn(load) {
            tracing::error!(%error, "no thread to read the keys: they cannot be listed");
        }
    }

    /// What `caller` may do now, whatever it wants to do.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`], or the store cannot be read.
    pub fn authenticate(&self, caller: &Caller) -> Result<Powers, CommitError> {
        let now = self.clock.now();
        let powers = Powers::of(caller, &*self.store, &self.policy, now)?;
        if let (Powers::Of(key), Identity::Key(presented)) = (&powers, &caller.identity)
            && let Some(secret) = key.proven_by(&presented.digests, now)
        {
            self.digester.renew(key.id(), secret, presented);
            self.usage.cell(key.record()).touch(secret.number, now);
        }
        Ok(powers)
    }

    /// Makes the digests of what callers present.
    pub fn digester(&self) -> &Digester {
        &self.digester
    }

    /// The policy that is asked.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How `key` was used, and since when that is known without a gap. `None`: that
    /// cannot be read now.
    pub fn usage(&self, key: &KeyRecord) -> Option<(KeyUsage, Timestamp)> {
        let usage = self.usage.of(key.id);
        let usage = usage.inspect_err(|error| {
            tracing::warn!(error = error as &dyn std::error::Error, key_id = %key.id, "the usage of a key cannot be read");
        });
        Some((usage.ok()?, self.usage.known_since(key)))
    }

    /// What the store says of itself.
    pub fn summary(&self) -> Summary {
        self.store.summary()
    }

    /// Creates a key. The token is its text, which nobody can get again.
    ///
    /// # Errors
    /// [`KeyringError`]; nothing was created.
    pub async fn create(
        &self,
        caller: Caller,
        new: NewKey,
    ) -> Result<(KeyRecord, Token), KeyringError> {
        let id = KeyId::generate()?;
        let token = Token::generate(id)?;
        let secret = SecretRecord::new(&token, 1, &self.digester, self.clock.now());
        let attempt = Attempt { caller, right: "api_keys.create", kind: ChangeKind::Create, id };
        let committed = self
            .commit(attempt, move |change| {
                if change.before.is_some() {
                    // One in 10^12 even with a million keys; another id will do.
                    return Err(
                        StoreError::Unavailable("the new key's id is taken; try again").into()
                    );
                }
                let after = new.record(change, secret.clone())?;
                change.admit(&after)?;
                Ok(Effect::Put(Box::new(after)))
            })
            .await?;
        Ok((after(&committed)?, token))
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`KeyringError`]
    pub fn get(&self, caller: &Caller, id: &str) -> Result<KeyRecord, KeyringError> {
        let powers = self.authenticate(caller)?;
        powers.require("api_keys.read")?;
        Ok(find(&*self.store, &powers, id)?)
    }

    /// Lists the keys that `caller` may see. Looks at the cards of all keys, some
    /// milliseconds for 100,000: not for a thread that has others to serve.
    ///
    /// # Errors
    /// [`KeyringError`]
    pub fn list(&self, caller: &Caller, request: &PageRequest) -> Result<Page, KeyringError> {
        let powers = self.authenticate(caller)?;
        powers.require("api_keys.read")?;
        let now = self.clock.now();
        self.catalog.ready()?;
        // What cannot be taken in now is in a later list.
        let _ = self.usage.collect();
        let last_used = |id| self.usage.collected(id);
        let uses = Uses { last_used: &last_used, since: self.usage.since() };
        Ok(list::page(&*self.store, &self.catalog, &powers, &uses, now, request)?)
    }

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
        let edit = move |change: &edit::Edit<'_>| {
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
        let edit = move |change: &edit::Edit<'_>| {
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

    /// How the key of `attempt` was used until now. Not for a caller without the
    /// right: others wait while it is found out.
    fn usage_before(&self, attempt: &Attempt) -> Option<KeyUsage> {
        let now = self.clock.now();
        let powers = Powers::of(&attempt.caller, &*self.store, &self.policy, now).ok()?;
        powers.require(attempt.right).ok()?;
        self.usage.of(attempt.id).ok()
    }
}

/// The key `id`, if there is one that `powers` sees.
fn find(reader: &dyn Reader, powers: &Powers, id: &str) -> Result<KeyRecord, CommitError> {
    let record = reader.get(key_id(id)?)?.filter(|key| powers.sees(key));
    Ok(record.ok_or_else(|| Refusal::NotFound(id.to_owned()))?)
}

fn key_id(id: &str) -> Result<KeyId, CommitError> {
    if id.is_empty() {
        return Err(Refusal::field("id", "must be the id of a key").into());
    }
    if id.trim_start().starts_with("octv_") {
        // Not shown: it may be the whole text of a key.
        return Err(Refusal::field(
            "id",
            "must be the key's id alone, the 10 characters after `octv_`; never send a key's text as an id",
        )
        .into());
    }
    // What cannot be an id is the id of no key.
    Ok(id.parse().map_err(|_| Refusal::NotFound(fields::shown_in(id, 16)))?)
}

fn after(committed: &Committed) -> Result<KeyRecord, CommitError> {
    // INVARIANT: a commit that is no revocation leaves a record.
    committed.after().cloned().ok_or(CommitError::InDoubt)
}
