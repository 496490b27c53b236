//! The rules of change: create, update, rotate, revoke; and reading keys as a
//! caller may see them.
//!
//! INVARIANT: every rule that must hold is checked inside the commit, on the
//! state that the change is made to: who the caller is, what it may do now, and
//! that it gives no more than it holds. Called by `grpc`; never calls the
//! authorizer.

mod catalog;
mod create;
mod edit;
mod error;
mod fields;
mod figures;
mod import;
mod list;
mod look;
mod powers;
mod refusals;
mod renew;
mod revoke;
mod rotate;
mod update;

use std::{sync::Arc, thread};

use self::{catalog::Catalog, edit::Attempt, look::Look, refusals::Refusals};
pub use self::{
    catalog::{KeyCounts, Tally},
    create::{DEFAULT_TEAM, NewKey},
    error::KeyringError,
    figures::{EXPIRING_WITHIN, Figures, IDLE_FOR},
    import::{Imported, ImportedKey},
    list::{By, Filter, MAX_PAGE, Order, Page, PageRequest},
    powers::{Caller, Identity, Powers},
    revoke::Revoked,
    rotate::Rotated,
    update::{Patch, Updated},
};
use crate::{
    change::{Actor, Refusal},
    clock::{Clock, Timestamp},
    digest::Digester,
    policy::{CurrentPolicy, Policy},
    record::KeyRecord,
    store::{CommitError, Committed, Reader, Store, Summary},
    token::KeyId,
    turns::Turns,
    usage::{KeyUsage, Usage},
};

/// Reads and changes keys on behalf of callers.
#[derive(Clone)]
pub struct Keyring {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    policy: CurrentPolicy,
    digester: Digester,
    usage: Usage,
    clock: Clock,
    refusals: Arc<Refusals>,
    looks: Arc<Turns<Actor>>,
}

impl Keyring {
    /// A keyring on `store`. It begins to read all its keys, on a thread of their own,
    /// and lists none until they are read.
    pub fn new(
        store: Arc<dyn Store>,
        policy: CurrentPolicy,
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
        let (refusals, looks) = (Arc::default(), Arc::new(Turns::new(look::MAX_WAITING)));
        let keyring = Self { store, catalog, policy, digester, usage, clock, refusals, looks };
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
        let powers = Powers::of(caller, &*self.store, &self.policy.get(), now)?;
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
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.get()
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

    /// Counts the keys, for metrics.
    pub fn tally(&self) -> Tally {
        Tally::new(&self.catalog, self.clock.clone())
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
    /// milliseconds for 100,000, when those that came before have looked.
    ///
    /// # Errors
    /// [`KeyringError`]
    pub async fn list(&self, caller: Caller, request: PageRequest) -> Result<Page, KeyringError> {
        let page = move |look: &Look<'_>| {
            let Look { keyring, powers, uses, now } = *look;
            Ok(list::page(&*keyring.store, &keyring.catalog, powers, uses, now, &request)?)
        };
        self.look(caller, page).await
    }

    /// How the key of `attempt` was used until now. Not for a caller without the
    /// right: others wait while it is found out.
    fn usage_before(&self, attempt: &Attempt) -> Option<KeyUsage> {
        let now = self.clock.now();
        let powers = Powers::of(&attempt.caller, &*self.store, &self.policy.get(), now).ok()?;
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
