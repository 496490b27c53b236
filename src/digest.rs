//! What proves a key: a digest of its text, never the text.
//!
//! INVARIANT: a digest is compared in constant time, and only with one that was
//! made in the same way, with the same pepper. The authorizer and the keyring
//! digest what callers present; records hold digests.
//!
//! New digests are BLAKE3, keyed with the pepper where there is one. Others may be
//! stored still: of the pepper before, of a time without one, of imported keys.
//! How many there are is counted ([`Digester::count`]), so that nobody pays for
//! schemes that no key has any more.

mod census;
mod pepper;
mod presented;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use sha2::Digest as _;
use tokio::sync::Notify;

pub use self::{
    census::Census,
    pepper::{NotPepperId, Pepper, PepperError, PepperId},
    presented::{Digests, Presented},
};
use crate::{
    record::{KeyRecord, SecretRecord},
    token::{self, KeyId, Malformed},
};

/// A longer text is no key's.
pub const MAX_FOREIGN_TEXT: usize = 512;

/// The digest of a text.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Digest(blake3::Hash);

/// How a digest is made.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// BLAKE3.
    Blake3,
    /// BLAKE3, keyed with the pepper of this fingerprint.
    Keyed(PepperId),
    /// SHA-256: imported keys have it until their first use.
    Sha256,
}

/// Makes digests, and knows which schemes are in use.
#[derive(Clone, Debug)]
pub struct Digester(Arc<Schemes>);

#[derive(Debug)]
struct Schemes {
    /// The one in force first.
    known: Vec<Known>,
    /// Secrets whose text is not one of ours.
    foreign: AtomicU64,
    /// Digests to be made anew, by key and secret.
    renewals: Mutex<HashMap<(KeyId, u32), Renewal>>,
    renewal: Notify,
}

/// A secret that was used, and whose digest is to be made anew in the scheme in
/// force.
#[derive(Copy, Clone, Debug)]
pub struct Renewal {
    /// Its key.
    pub id: KeyId,
    /// The digest that proved the secret, and how it was made.
    pub old: (Scheme, Digest),
    /// The new digest, and how it was made.
    pub new: (Scheme, Digest),
}

/// Renewals that wait; those beyond are asked for again at the next use.
const MAX_RENEWALS: usize = 4096;

#[derive(Debug)]
struct Known {
    scheme: Scheme,
    pepper: Option<Pepper>,
    secrets: AtomicU64,
}

impl Digester {
    /// Digests with `current`; keys that were digested with `previous` are accepted
    /// too.
    pub fn new(current: Option<Pepper>, previous: Option<Pepper>) -> Self {
        let mut known: Vec<Known> = Vec::new();
        for pepper in [Some(current), previous.map(Some), Some(None)].into_iter().flatten() {
            let scheme =
                pepper.as_ref().map_or(Scheme::Blake3, |pepper| Scheme::Keyed(pepper.id()));
            if known.iter().all(|known| known.scheme != scheme) {
                known.push(Known { scheme, pepper, secrets: AtomicU64::new(0) });
            }
        }
        known.push(Known { scheme: Scheme::Sha256, pepper: None, secrets: AtomicU64::new(0) });
        Self(Arc::new(Schemes {
            known,
            foreign: AtomicU64::new(0),
            renewals: Mutex::default(),
            renewal: Notify::new(),
        }))
    }

    /// The scheme in force.
    pub fn scheme(&self) -> Scheme {
        self.0.known.first().map_or(Scheme::Blake3, |known| known.scheme)
    }

    /// The fingerprint of the pepper in force.
    pub fn pepper(&self) -> Option<PepperId> {
        match self.scheme() {
            Scheme::Keyed(id) => Some(id),
            Scheme::Blake3 | Scheme::Sha256 => None,
        }
    }

    /// Whether digests of `scheme` can be made.
    pub fn knows(&self, scheme: Scheme) -> bool {
        self.0.known.iter().any(|known| known.scheme == scheme)
    }

    /// What is stored of `text`.
    pub fn digest(&self, text: &[u8]) -> (Scheme, Digest) {
        self.0.known.first().map_or_else(
            || (Scheme::Blake3, Digest::of(text)),
            |known| (known.scheme, known.digest(text)),
        )
    }

    /// Digests what a caller presents. Nothing is looked up.
    ///
    /// # Errors
    /// [`Malformed`]: it is neither one of our texts nor can it be an imported
    /// key's.
    pub fn present(&self, text: &str) -> Result<Presented, Malformed> {
        let id = match token::id_in(text) {
            Ok(id) => Some(id),
            Err(_) if self.may_be_foreign(text) => None,
            Err(malformed) => return Err(malformed),
        };
        let text = text.as_bytes();
        let (scheme, digest) = self.digest(text);
        let others = self.0.known.iter().skip(1).filter(|known| known.is_in_use());
        let others = others.map(|known| (known.scheme, known.digest(text))).collect();
        Ok(Presented { id, digests: Digests { scheme, digest, others } })
    }

    fn may_be_foreign(&self, text: &str) -> bool {
        self.0.foreign.load(Ordering::Acquire) > 0 && (1..=MAX_FOREIGN_TEXT).contains(&text.len())
    }

    /// Takes note of the secrets that there are. To be told once, before anything is
    /// presented.
    pub fn begin(&self, census: &Census) {
        for (scheme, secrets) in census.schemes() {
            if let Some(known) = self.0.known.iter().find(|known| known.scheme == scheme) {
                known.secrets.fetch_add(secrets, Ordering::SeqCst);
            }
        }
        self.0.foreign.fetch_add(census.foreign, Ordering::SeqCst);
    }

    /// Takes note of the secrets of a key that is `before` no more, but `after`.
    /// To be told of every change before it is acknowledged.
    pub fn count(&self, before: Option<&KeyRecord>, after: Option<&KeyRecord>) {
        // Added first: a scheme that stays in use is so all the time.
        for (key, add) in [(after, true), (before, false)] {
            for secret in key.into_iter().flat_map(|key| &key.secrets) {
                let foreign = Some(&self.0.foreign).filter(|_| secret.foreign);
                let known = self.0.known.iter().find(|known| known.scheme == secret.scheme);
                for counter in known.map(|known| &known.secrets).into_iter().chain(foreign) {
                    if add {
                        counter.fetch_add(1, Ordering::SeqCst);
                    } else {
                        counter.fetch_sub(1, Ordering::SeqCst);
                    }
                }
            }
        }
    }

    /// Asks for a new digest of `secret`, the one of key `id` that `presented` has
    /// proven, if it is not in the scheme in force. Takes no time when it is.
    pub fn renew(&self, id: KeyId, secret: &SecretRecord, presented: &Presented) {
        let new = presented.digests.current();
        if secret.scheme == new.0 {
            return;
        }
        let mut renewals = self.0.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        if renewals.len() < MAX_RENEWALS {
            let old = (secret.scheme, secret.digest);
            renewals.insert((id, secret.number), Renewal { id, old, new });
            self.0.renewal.notify_one();
        }
    }

    /// What was asked for; waits until there is something.
    pub async fn renewals(&self) -> Vec<Renewal> {
        loop {
            self.0.renewal.notified().await;
            let asked = std::mem::take(
                &mut *self.0.renewals.lock().unwrap_or_else(PoisonError::into_inner),
            );
            if !asked.is_empty() {
                return asked.into_values().collect();
            }
        }
    }

    /// How many secrets are digested in another scheme than the one in force.
    pub fn outdated(&self) -> u64 {
        let others = self.0.known.iter().skip(1);
        others.map(|known| known.secrets.load(Ordering::SeqCst)).sum()
    }
}

impl Known {
    fn is_in_use(&self) -> bool {
        self.secrets.load(Ordering::Acquire) > 0
    }

    fn digest(&self, text: &[u8]) -> Digest {
        match (&self.pepper, self.scheme) {
            (Some(pepper), _) => Digest(blake3::keyed_hash(&pepper.key, text)),
            (None, Scheme::Sha256) => Digest::from_bytes(sha2::Sha256::digest(text).into()),
            (None, _) => Digest::of(text),
        }
    }
}

impl Digest {
    /// BLAKE3 of `text`, without a key.
    pub fn of(text: &[u8]) -> Self {
        Self(blake3::hash(text))
    }

    /// A digest that was stored.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(blake3::Hash::from_bytes(bytes))
    }

    /// What is stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blake3 => "blake3",
            Self::Keyed(_) => "blake3-keyed",
            Self::Sha256 => "sha256",
        })
    }
}

#[cfg(test)]
mod tests;
