//! The rules of change: create, update, rotate, revoke; and reading keys as a
//! caller may see them.
//!
//! INVARIANT: every rule that must hold is checked inside the commit, on the
//! state that the change is made to: who the caller is, what it may do now, and
//! that it gives no more than it holds. Called by `grpc`; never calls the
//! authorizer.

mod fields;
mod list;
mod powers;

use std::{collections::BTreeMap, sync::Arc};

pub use self::{
    list::{Filter, MAX_PAGE, Page, PageRequest},
    powers::{Caller, Identity, Powers},
};
use crate::{
    change::{Actor, Change, ChangeKind, Refusal},
    clock::{Clock, Timestamp},
    policy::{Policy, service_or_default},
    record::{KeyRecord, SecretRecord},
    store::{CommitError, Committed, Reader, Rule, Store, StoreError, Summary},
    token::{KeyId, NoRandomness, Token},
};

/// The team of a key that the operator creates without naming one.
pub const DEFAULT_TEAM: &str = "default";

/// Reads and changes keys on behalf of callers.
#[derive(Clone)]
pub struct Keyring {
    store: Arc<dyn Store>,
    policy: Arc<Policy>,
    clock: Clock,
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
    /// `None`: lifetime.
    pub expires: Option<Timestamp>,
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
    /// The expiration; `Some(None)` is lifetime.
    pub expires: Option<Option<Timestamp>>,
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

impl Keyring {
    /// A keyring on `store`.
    pub fn new(store: Arc<dyn Store>, policy: Arc<Policy>, clock: Clock) -> Self {
        Self { store, policy, clock }
    }

    /// What `caller` may do now, whatever it wants to do.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`], or the store cannot be read.
    pub fn authenticate(&self, caller: &Caller) -> Result<Powers, KeyringError> {
        Ok(Powers::of(caller, &*self.store, &self.policy, self.clock.now())?)
    }

    /// The policy that is asked.
    pub fn policy(&self) -> &Policy {
        &self.policy
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
        let secret = SecretRecord::new(&token, self.clock.now());
        let committed = self
            .commit(caller, "api_keys.create", ChangeKind::Create, id, move |change| {
                if change.before.is_some() {
                    // One in 10^12 even with a million keys; another id will do.
                    return Err(
                        StoreError::Unavailable("the new key's id is taken; try again").into()
                    );
                }
                let or = |text: &String, other: &str| {
                    if text.is_empty() { other.to_owned() } else { text.clone() }
                };
                let after = KeyRecord {
                    id,
                    name: new.name.clone(),
                    team: or(&new.team, change.powers.team().unwrap_or(DEFAULT_TEAM)),
                    service: service_or_default(&new.service).to_owned(),
                    role: new.role.clone(),
                    grants: fields::sorted(&new.grants),
                    active: !new.inactive,
                    expires: new.expires,
                    created: change.now,
                    updated: change.now,
                    subject: or(&new.subject, id.as_str()),
                    description: new.description.clone(),
                    labels: new.labels.clone(),
                    created_by: change.powers.actor(),
                    revision: 0,
                    secrets: vec![secret.clone()],
                };
                change.admit(&after)?;
                Ok(Some(after))
            })
            .await?;
        Ok((changed(committed)?, token))
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

    /// Lists the keys that `caller` may see, in the order of their ids. Reads all
    /// keys: not for a thread that has others to serve.
    ///
    /// # Errors
    /// [`KeyringError`]
    pub fn list(&self, caller: &Caller, request: &PageRequest) -> Result<Page, KeyringError> {
        let powers = self.authenticate(caller)?;
        powers.require("api_keys.read")?;
        Ok(list::page(&*self.store, &powers, request)?)
    }

    /// Changes fields of a key. `etag` is what the change is based on; empty is
    /// whatever the key is now.
    ///
    /// # Errors
    /// [`KeyringError`]; nothing was changed.
    pub async fn update(
        &self,
        caller: Caller,
        id: &str,
        patch: Patch,
        etag: String,
    ) -> Result<KeyRecord, KeyringError> {
        let committed = self
            .commit(caller, "api_keys.update", ChangeKind::Update, key_id(id)?, move |change| {
                let before = change.target(&etag)?;
                let mut after = before.clone();
                fields::apply(&mut after, &patch);
                after.updated = change.now;
                change.admit(&after)?;
                Ok(Some(after))
            })
            .await?;
        Ok(changed(committed)?)
    }

    /// Replaces a key's secret. The old one is refused from now on.
    ///
    /// # Errors
    /// [`KeyringError`]; the old secret is still the key's.
    pub async fn rotate(
        &self,
        caller: Caller,
        id: &str,
        etag: String,
    ) -> Result<(KeyRecord, Token), KeyringError> {
        let id = key_id(id)?;
        let token = Token::generate(id)?;
        let secret = SecretRecord::new(&token, self.clock.now());
        let committed = self
            .commit(caller, "api_keys.rotate", ChangeKind::Rotate, id, move |change| {
                let mut after = change.target(&etag)?.clone();
                change.powers.require_within_life(after.expires)?;
                after.secrets = vec![secret.clone()];
                after.updated = change.now;
                Ok(Some(after))
            })
            .await?;
        Ok((changed(committed)?, token))
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
    ) -> Result<KeyRecord, KeyringError> {
        let committed = self
            .commit(caller, "api_keys.revoke", ChangeKind::Revoke, key_id(id)?, move |change| {
                change.target(&etag)?;
                Ok(None)
            })
            .await?;
        Ok(committed.before.ok_or(CommitError::InDoubt)?)
    }

    /// Commits what `edit` makes of the key `id`, if `caller` has `right`.
    async fn commit(
        &self,
        caller: Caller,
        right: &'static str,
        kind: ChangeKind,
        id: KeyId,
        mut edit: impl FnMut(&Edit<'_>) -> Result<Option<KeyRecord>, CommitError> + Send + 'static,
    ) -> Result<Committed, CommitError> {
        let (policy, clock) = (Arc::clone(&self.policy), self.clock.clone());
        let rule: Rule = Box::new(move |reader| {
            let now = clock.now();
            let powers = Powers::of(&caller, reader, &policy, now)?;
            powers.require(right)?;
            let before = reader.get(id)?;
            let edit_of =
                Edit { id, before: before.as_ref(), powers: &powers, policy: &policy, now };
            let after = edit(&edit_of)?;
            Ok(Change { kind, time: now, origin: caller.origin(), key_id: id, after })
        });
        self.store.commit(rule).await
    }
}

/// A key inside a commit, and who wants to change it.
struct Edit<'a> {
    id: KeyId,
    before: Option<&'a KeyRecord>,
    powers: &'a Powers,
    policy: &'a Policy,
    now: Timestamp,
}

impl Edit<'_> {
    /// The key to be changed, if the caller may change it.
    fn target(&self, etag: &str) -> Result<&KeyRecord, Refusal> {
        let visible = self.before.filter(|key| self.powers.sees(key));
        let key = visible.ok_or_else(|| Refusal::NotFound(self.id.to_string()))?;
        self.powers.require_over(key, self.policy)?;
        if !etag.is_empty() && etag != key.etag() {
            return Err(Refusal::StaleEtag { given: fields::shown(etag), current: key.etag() });
        }
        Ok(key)
    }

    /// Lets `after` be, if its fields are valid and the caller may make it so.
    fn admit(&self, after: &KeyRecord) -> Result<(), Refusal> {
        fields::validate(self.before, after, self.policy, self.now)?;
        if self.before.is_none_or(|before| before.expires != after.expires) {
            self.powers.require_within_life(after.expires)?;
        }
        self.powers.require_over(after, self.policy)
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

fn changed(committed: Committed) -> Result<KeyRecord, CommitError> {
    // INVARIANT: a commit that is no revocation leaves a record.
    committed.after.ok_or(CommitError::InDoubt)
}

impl From<&Identity> for Actor {
    fn from(identity: &Identity) -> Self {
        match identity {
            Identity::Operator => Self::Operator,
            Identity::Key(presented) => Self::Key(presented.id),
        }
    }
}
