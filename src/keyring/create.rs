//! New keys.

use std::collections::BTreeMap;

use super::{
    Caller, Keyring, KeyringError, after,
    edit::{Attempt, Edit},
    fields,
};
use crate::{
    change::{ChangeKind, Effect, Refusal},
    expiration::Expiration,
    policy::service_or_default,
    record::{KeyRecord, SecretRecord},
    store::StoreError,
    token::{KeyId, Token},
};

/// The team of a key that the operator creates without naming one.
pub const DEFAULT_TEAM: &str = "default";

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

impl NewKey {
    /// The record of this key, as the caller of `change` asks for it.
    pub(super) fn record(
        &self,
        change: &Edit<'_>,
        secret: SecretRecord,
    ) -> Result<KeyRecord, Refusal> {
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
}
