//! An API key as it is kept, and its stored form.
//!
//! The stored form is deterministic (equal records have equal bytes) and
//! evolves by protobuf's rules. A form that cannot be read is an error, never a
//! record with something missing.

use std::collections::BTreeMap;

use prost::Message as _;

use crate::{
    change::Actor,
    clock::Timestamp,
    digest::{Digest, Digester, Digests, PepperId, Scheme},
    pb::storage::{DigestScheme, Label, StoredKey, StoredSecret},
    token::{KeyId, Token},
};

/// A key has at most so many secrets: the newest, and the one before.
pub const MAX_SECRETS: usize = 2;

/// An API key, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Public, never changes.
    pub id: KeyId,
    /// What people call it.
    pub name: String,
    /// The team that it belongs to.
    pub team: String,
    /// The service that it is good for.
    pub service: String,
    /// The role's name in that service.
    pub role: String,
    /// Actions granted beside the role's, sorted.
    pub grants: Vec<String>,
    /// Switched on.
    pub active: bool,
    /// The instant from which it is no longer accepted; `None` is lifetime.
    pub expires: Option<Timestamp>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// The principal that `own` conditions compare with a resource's owner.
    pub subject: String,
    /// Free text.
    pub description: String,
    /// Free names and values.
    pub labels: BTreeMap<String, String>,
    /// Who created it.
    pub created_by: Actor,
    /// The sequence number of the change that made this version. The store sets
    /// it; the etag shows it.
    pub revision: u64,
    /// The secrets that are accepted, newest first; at most [`MAX_SECRETS`].
    pub secrets: Vec<SecretRecord>,
    /// When it was imported; `None`: it was created here.
    pub imported: Option<Timestamp>,
}

/// One secret of a key: what proves it, not the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRecord {
    /// 1 for the key's first secret, one more for each rotation.
    pub number: u32,
    /// How `digest` is made.
    pub scheme: Scheme,
    /// Digest of the key's text.
    pub digest: Digest,
    /// The text is not one of ours: the key is found by the digest.
    pub foreign: bool,
    /// The last characters of the text; of an imported key what the import said.
    pub hint: String,
    /// When it was made.
    pub created: Timestamp,
    /// The instant from which it is no longer accepted; `None` is with the key.
    pub expires: Option<Timestamp>,
    /// The digest that an import brought, once `digest` is another.
    pub imported_as: Option<(Scheme, Digest)>,
}

/// A stored form that is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not the protobuf message.
    #[error("stored key cannot be decoded")]
    Decode(#[from] prost::DecodeError),
    /// A field holds what this program never writes.
    #[error("stored key has an invalid {0}")]
    Field(&'static str),
}

impl SecretRecord {
    /// What is kept of a new `token`, the secret `number` of its key.
    pub fn new(token: &Token, number: u32, digester: &Digester, now: Timestamp) -> Self {
        let (scheme, digest) = digester.digest(token.reveal().as_bytes());
        let hint = token.hint().to_owned();
        let (created, expires, imported_as) = (now, None, None);
        Self { number, scheme, digest, foreign: false, hint, created, expires, imported_as }
    }

    /// Whether it is accepted at `now`, as long as its key is.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl KeyRecord {
    /// Which of its secrets, accepted at `now`, one of `digests` proves. Every
    /// secret is compared, in constant time.
    pub fn proven_by(&self, digests: &Digests, now: Timestamp) -> Option<&SecretRecord> {
        let mut proven = None;
        for secret in &self.secrets {
            if digests.prove(secret.scheme, &secret.digest) & secret.is_live(now) {
                proven = Some(secret);
            }
        }
        proven
    }

    /// The digests that find it, because the texts do not name it: those of the
    /// texts, and those that it was imported by.
    pub fn foreign_digests(&self) -> impl Iterator<Item = &Digest> {
        let foreign = self.secrets.iter().filter(|secret| secret.foreign);
        foreign.flat_map(|secret| {
            let imported_as = secret.imported_as.as_ref().map(|(_, digest)| digest);
            std::iter::once(&secret.digest).chain(imported_as)
        })
    }

    /// From when on its use is known, if use is tracked since then.
    pub fn came(&self) -> Timestamp {
        self.imported.unwrap_or(self.created)
    }

    /// Whether it has expired at `now`. The instant itself is too late.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    /// Names this version: it changes with every change.
    pub fn etag(&self) -> String {
        self.revision.to_string()
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        self.to_stored().encode_to_vec()
    }

    /// Reads a stored form.
    ///
    /// # Errors
    /// [`RecordError`] for bytes that no version of this program wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        Self::from_stored(StoredKey::decode(bytes)?)
    }

    /// The message that is stored.
    pub fn to_stored(&self) -> StoredKey {
        StoredKey {
            id: self.id.to_string(),
            name: self.name.clone(),
            team: self.team.clone(),
            service: self.service.clone(),
            role: self.role.clone(),
            grants: self.grants.clone(),
            active: self.active,
            expire_ms: self.expires.map(|at| at.0),
            create_ms: self.created.0,
            update_ms: self.updated.0,
            subject: self.subject.clone(),
            description: self.description.clone(),
            labels: self
                .labels
                .iter()
                .map(|(name, value)| Label { name: name.clone(), value: value.clone() })
                .collect(),
            created_by: self.created_by.to_string(),
            revision: self.revision,
            secrets: self.secrets.iter().map(SecretRecord::to_stored).collect(),
            import_ms: self.imported.map(|at| at.0),
        }
    }

    /// Reads a stored message.
    ///
    /// # Errors
    /// [`RecordError::Field`]
    pub fn from_stored(stored: StoredKey) -> Result<Self, RecordError> {
        Ok(Self {
            id: stored.id.parse().map_err(|_| RecordError::Field("id"))?,
            name: stored.name,
            team: stored.team,
            service: stored.service,
            role: stored.role,
            grants: stored.grants,
            active: stored.active,
            expires: stored.expire_ms.map(Timestamp),
            created: Timestamp(stored.create_ms),
            updated: Timestamp(stored.update_ms),
            subject: stored.subject,
            description: stored.description,
            labels: stored.labels.into_iter().map(|label| (label.name, label.value)).collect(),
            created_by: stored.created_by.parse().map_err(|_| RecordError::Field("created_by"))?,
            revision: stored.revision,
            secrets: stored
                .secrets
                .into_iter()
                .map(SecretRecord::from_stored)
                .collect::<Result<_, _>>()?,
            imported: stored.import_ms.map(Timestamp),
        })
    }

    /// Reads a stored message of the past, which has no digests or must not show
    /// them: they become zeros, which prove nothing.
    ///
    /// # Errors
    /// [`RecordError::Field`]
    pub fn from_history(mut stored: StoredKey) -> Result<Self, RecordError> {
        for secret in &mut stored.secrets {
            secret.digest = vec![0; 32];
        }
        Self::from_stored(stored)
    }
}

impl SecretRecord {
    fn to_stored(&self) -> StoredSecret {
        let (scheme, pepper) = match self.scheme {
            Scheme::Blake3 => (DigestScheme::Blake3, Vec::new()),
            Scheme::Keyed(pepper) => (DigestScheme::Blake3Keyed, pepper.as_bytes().to_vec()),
            Scheme::Sha256 => (DigestScheme::Sha256, Vec::new()),
        };
        StoredSecret {
            digest: self.digest.as_bytes().to_vec(),
            hint: self.hint.clone(),
            create_ms: self.created.0,
            expire_ms: self.expires.map(|at| at.0),
            scheme: scheme.into(),
            pepper,
            number: self.number,
            foreign: self.foreign,
            imported_scheme: match self.imported_as {
                None => DigestScheme::Unspecified,
                Some((Scheme::Sha256, _)) => DigestScheme::Sha256,
                Some((Scheme::Blake3 | Scheme::Keyed(_), _)) => DigestScheme::Blake3,
            }
            .into(),
            imported_digest: self.imported_as.iter().flat_map(|(_, d)| *d.as_bytes()).collect(),
        }
    }

    fn from_stored(stored: StoredSecret) -> Result<Self, RecordError> {
        let scheme = match (stored.scheme(), PepperId::from_bytes(&stored.pepper)) {
            (DigestScheme::Blake3, None) => Scheme::Blake3,
            (DigestScheme::Blake3Keyed, Some(pepper)) => Scheme::Keyed(pepper),
            (DigestScheme::Sha256, None) => Scheme::Sha256,
            _ => return Err(RecordError::Field("digest scheme")),
        };
        let imported_as = match (stored.imported_scheme(), stored.imported_digest.as_slice()) {
            (DigestScheme::Unspecified, []) => None,
            (DigestScheme::Blake3, digest) => Some((Scheme::Blake3, read(digest)?)),
            (DigestScheme::Sha256, digest) => Some((Scheme::Sha256, read(digest)?)),
            _ => return Err(RecordError::Field("imported digest")),
        };
        Ok(Self {
            number: stored.number,
            scheme,
            digest: read(&stored.digest)?,
            foreign: stored.foreign,
            hint: stored.hint,
            created: Timestamp(stored.create_ms),
            expires: stored.expire_ms.map(Timestamp),
            imported_as,
        })
    }
}

fn read(digest: &[u8]) -> Result<Digest, RecordError> {
    let bytes = digest.try_into().map_err(|_| RecordError::Field("digest"))?;
    Ok(Digest::from_bytes(bytes))
}

#[cfg(test)]
mod tests;
