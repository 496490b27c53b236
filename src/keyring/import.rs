//! Taking over keys that were issued elsewhere, by the digests of their texts.
//!
//! INVARIANT: a digest finds one key: what was imported before, even if its
//! digest was made anew since, is not imported again. Every key passes the rules
//! of creation. Called by `grpc`, some keys at a time.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Keyring, KeyringError, NewKey, Powers,
    edit::{self, Edit},
    fields,
    powers::Caller,
};
use crate::{
    change::{Change, ChangeKind, Effect, Refusal},
    clock::Timestamp,
    digest::{Digest, Scheme},
    record::{KeyRecord, SecretRecord},
    store::{CommitError, Reader, Rule, StoreError},
    token::KeyId,
    usage::UsageError,
};

/// Keys that are taken over in one change: others wait no longer than for these.
const KEYS_PER_COMMIT: usize = 256;

/// A key to take over.
#[derive(Clone, Debug)]
pub struct ImportedKey {
    /// What it shall be.
    pub new: NewKey,
    /// How its digest is made: BLAKE3 or SHA-256.
    pub scheme: Scheme,
    /// The digest of its text.
    pub digest: Digest,
    /// Its id, if its text names one.
    pub id: Option<KeyId>,
    /// What people recognise its text by.
    pub hint: String,
    /// When it was created; `None` is now.
    pub created: Option<Timestamp>,
    /// When it was last used; `None` is not known.
    pub last_used: Option<Timestamp>,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    /// It was taken over, as this one. In a dry run it would be.
    Done(KeyId),
    /// It is there already, as this one.
    Existing(KeyId),
    /// It was not taken over.
    Refused(Refusal),
}

impl Keyring {
    /// Takes over `keys`. One that is refused does not keep the others. With
    /// `dry_run` nothing is changed. Gives what became of each, in order.
    ///
    /// # Errors
    /// [`KeyringError`]: the caller may not import at all, or the store cannot be
    /// changed. Some keys may have been taken over.
    pub async fn import(
        &self,
        caller: Caller,
        keys: Vec<ImportedKey>,
        dry_run: bool,
    ) -> Result<Vec<Imported>, KeyringError> {
        self.authenticate(&caller)?;
        let mut outcomes = Vec::with_capacity(keys.len());
        let mut keys = keys.into_iter().peekable();
        while keys.peek().is_some() {
            let some = keys.by_ref().take(KEYS_PER_COMMIT);
            let some = some.map(|key| Ok((key.id.map_or_else(KeyId::generate, Ok)?, key)));
            let some = some.collect::<Result<Vec<_>, KeyringError>>()?;
            let used: Vec<_> = some.iter().map(|(_, key)| key.last_used).collect();
            let (mut rule, told) = self.import_rule(caller.clone(), some, !dry_run);
            let first = if dry_run {
                rule(&*self.store)?.into_iter().next().map(|change| change.effect)
            } else {
                self.store.commit(rule).await?.into_iter().next().map(|done| done.effect)
            };
            let told = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
            match first {
                // The only change, when the caller may not import at all.
                Some(Effect::Refuse { refusal, .. }) if told.is_empty() => {
                    return Err(refusal.into());
                }
                _ if dry_run => {}
                _ => {
                    let noted = self.take_over_usage(&told, &used).await;
                    noted.map_err(KeyringError::ImportedWithoutUsage)?;
                }
            }
            outcomes.extend(told);
        }
        Ok(outcomes)
    }

    /// Notes down, durably, when the keys that were taken over were last used.
    async fn take_over_usage(
        &self,
        told: &[Imported],
        used: &[Option<Timestamp>],
    ) -> Result<(), UsageError> {
        let mut noted = false;
        for (outcome, used) in told.iter().zip(used) {
            if let (Imported::Done(id), Some(used)) = (outcome, used) {
                self.usage.set_last_used(*id, *used)?;
                noted = true;
            }
        }
        if noted {
            let usage = self.usage.clone();
            let flushed = tokio::task::spawn_blocking(move || usage.flush()).await;
            flushed.map_err(|_| UsageError::Panicked)??;
        }
        Ok(())
    }

    fn import_rule(
        &self,
        caller: Caller,
        keys: Vec<(KeyId, ImportedKey)>,
        records: bool,
    ) -> (Rule, Arc<Mutex<Vec<Imported>>>) {
        let (current, clock) = (self.policy.clone(), self.clock.clone());
        let refusals = Arc::clone(&self.refusals);
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        // Asked once for each key, however often the rule runs.
        let mut asked: HashMap<KeyId, Option<u64>> = HashMap::new();
        let mut admit = move |id, actor, now| match records {
            true => *asked.entry(id).or_insert_with(|| refusals.admit(actor, now)),
            false => None,
        };
        let rule = move |reader: &dyn Reader| -> Result<Vec<Change>, CommitError> {
            let (now, policy) = (clock.now(), current.get());
            let powers = Powers::of(&caller, reader, &policy, now)?;
            let change = |id, effect| {
                let origin = caller.origin(powers.actor());
                edit::change(ChangeKind::Import, now, origin, id, None, &powers, effect)
            };
            let mut changes = Vec::with_capacity(keys.len());
            let mut outcomes = Vec::with_capacity(keys.len());
            if let Err(refusal) = powers.require("api_keys.create") {
                let unrecorded = admit(KeyId::MIN, powers.actor(), now);
                let unrecorded = unrecorded.ok_or_else(|| refusal.clone())?;
                return Ok(vec![change(KeyId::MIN, Effect::Refuse { refusal, unrecorded })]);
            }
            // The reader does not show what this rule has made.
            let mut seen: HashMap<[u8; 32], KeyId> = HashMap::new();
            let mut ids = HashSet::new();
            for (id, key) in &keys {
                let (id, powers) = (*id, &powers);
                let edit = Edit { id, before: None, reader, powers, policy: &policy, now };
                let outcome = match seen.get(key.digest.as_bytes()) {
                    Some(first) if key.id.is_none() => Err(Imported::Existing(*first)),
                    _ if !ids.insert(id) => Err(refused("id", "stands there twice")),
                    _ => edit.import(key)?,
                };
                outcomes.push(match outcome {
                    Ok(record) => {
                        seen.insert(*key.digest.as_bytes(), id);
                        changes.push(change(id, Effect::Put(Box::new(record))));
                        Imported::Done(id)
                    }
                    Err(other) => other,
                });
                if let Some(Imported::Refused(refusal)) = outcomes.last()
                    && let Some(unrecorded) = admit(id, powers.actor(), now)
                {
                    let refusal = refusal.clone();
                    changes.push(change(id, Effect::Refuse { refusal, unrecorded }));
                }
            }
            *tell.lock().unwrap_or_else(PoisonError::into_inner) = outcomes;
            Ok(changes)
        };
        (Box::new(rule), told)
    }
}

impl Edit<'_> {
    /// The record of `key`, or why there is none to be made.
    fn import(&self, key: &ImportedKey) -> Result<Result<KeyRecord, Imported>, StoreError> {
        let known = match key.id {
            Some(id) => self.reader.get(id)?,
            None => match self.reader.find(&key.digest)? {
                Some(id) => self.reader.get(id)?,
                None => None,
            },
        };
        if let Some(known) = known {
            let digest = (key.scheme, key.digest);
            let is_same = known.secrets.iter().any(|secret| {
                (secret.scheme, secret.digest) == digest || secret.imported_as == Some(digest)
            });
            return Ok(Err(if is_same && self.powers.sees(&known) {
                Imported::Existing(known.id)
            } else {
                let field = if key.id.is_some() { "id" } else { "digest" };
                refused(field, "is that of another key already")
            }));
        }
        Ok(self.imported(key).map_err(Imported::Refused))
    }

    fn imported(&self, key: &ImportedKey) -> Result<KeyRecord, Refusal> {
        let secret = SecretRecord {
            number: 1,
            scheme: key.scheme,
            digest: key.digest,
            foreign: key.id.is_none(),
            hint: key.hint.clone(),
            created: key.created.unwrap_or(self.now),
            expires: None,
            imported_as: None,
        };
        fields::validate_import(key, self.now)?;
        let mut record = key.new.record(self, secret)?;
        record.created = key.created.unwrap_or(self.now);
        record.imported = Some(self.now);
        self.admit(&record)?;
        Ok(record)
    }
}

fn refused(field: &'static str, problem: &str) -> Imported {
    Imported::Refused(Refusal::field(field, problem))
}
