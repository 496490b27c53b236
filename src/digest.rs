//! What proves a key: a digest of its text, never the text.
//!
//! INVARIANT: a digest is compared in constant time, and only with one that was
//! made in the same way, with the same pepper. A pepper has no `Display`, a blank
//! `Debug`, and is wiped when dropped. The authorizer and the keyring digest what
//! callers present; records hold digests.
//!
//! New digests are BLAKE3, keyed with the pepper where there is one. Others may be
//! stored still: of the pepper before, of a time without one, of imported keys.
//! How many there are is counted ([`Digester::count`]), so that nobody pays for
//! schemes that no key has any more.

use std::{
    collections::HashMap,
    fmt, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use sha2::Digest as _;
use tokio::sync::Notify;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    record::{KeyRecord, SecretRecord},
    token::{self, KeyId, Malformed},
};

/// A longer text is no key's.
pub const MAX_FOREIGN_TEXT: usize = 512;
/// A shorter pepper could be guessed.
const MIN_PEPPER: usize = 32;
const MAX_PEPPER: usize = 4096;

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

/// The public fingerprint of a pepper: the first 8 bytes of a digest of it.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PepperId([u8; 8]);

/// A key for digests, kept outside of the data directory: who has only that can
/// try no guess.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Pepper {
    key: [u8; 32],
    #[zeroize(skip)]
    id: PepperId,
}

/// A pepper file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PepperError {
    /// It cannot be read.
    #[error("cannot read the pepper in `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What came back.
        #[source]
        source: io::Error,
    },
    /// It is too short or too long.
    #[error(
        "the pepper in `{}` must be {MIN_PEPPER} to {MAX_PEPPER} bytes; make one with `head -c 32 /dev/urandom | base64`",
        .0.display()
    )]
    Length(PathBuf),
}

/// What a caller presents: which key it says it has, and the proof.
#[derive(Clone, Debug)]
pub struct Presented {
    /// Finds the record. `None`: the text is not one of ours; the digests find it.
    pub id: Option<KeyId>,
    /// To be compared with the record's.
    pub digests: Digests,
}

/// The digests of one text, in every scheme that some key has.
#[derive(Clone, Debug)]
pub struct Digests {
    scheme: Scheme,
    digest: Digest,
    /// Empty, and so without allocation, where every key is up to date.
    others: Vec<(Scheme, Digest)>,
}

/// How many secrets there are of each scheme, and how many that are not of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    schemes: Vec<(Scheme, u64)>,
    foreign: u64,
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
            let scheme = pepper.as_ref().map_or(Scheme::Blake3, |pepper| Scheme::Keyed(pepper.id));
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

impl Census {
    /// Counts the secrets of `key`.
    pub fn add(&mut self, key: &KeyRecord) {
        for secret in &key.secrets {
            self.add_some(secret.scheme, 1);
            self.foreign += u64::from(secret.foreign);
        }
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (scheme, secrets) in &other.schemes {
            self.add_some(*scheme, *secrets);
        }
        self.foreign += other.foreign;
    }

    /// The schemes that there are, each with its number of secrets.
    pub fn schemes(&self) -> impl Iterator<Item = (Scheme, u64)> + '_ {
        self.schemes.iter().copied()
    }

    fn add_some(&mut self, scheme: Scheme, secrets: u64) {
        match self.schemes.iter_mut().find(|(known, _)| *known == scheme) {
            Some((_, count)) => *count += secrets,
            None => self.schemes.push((scheme, secrets)),
        }
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

impl Digests {
    /// Whether one of them is `digest`, which was made by `scheme`. Which schemes
    /// there are is no secret; the comparison takes the same time for every
    /// digest.
    pub fn prove(&self, scheme: Scheme, digest: &Digest) -> bool {
        if self.scheme == scheme {
            return self.digest == *digest;
        }
        self.others.iter().any(|(other, made)| *other == scheme && made == digest)
    }

    /// The one in the scheme in force.
    pub fn current(&self) -> (Scheme, Digest) {
        (self.scheme, self.digest)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.digest).chain(self.others.iter().map(|(_, digest)| digest))
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

impl Pepper {
    /// Reads a pepper. One newline at the end is not part of it.
    ///
    /// # Errors
    /// [`PepperError`]
    pub fn read(path: &Path) -> Result<Self, PepperError> {
        let read = |source| PepperError::Read { path: path.to_owned(), source };
        let bytes = Zeroizing::new(fs::read(path).map_err(read)?);
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if !(MIN_PEPPER..=MAX_PEPPER).contains(&text.len()) {
            return Err(PepperError::Length(path.to_owned()));
        }
        let mode = fs::metadata(path).map_err(read)?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(file = %path.display(), mode = format!("{:o}", mode & 0o777),
                "others can read the pepper; make its file 0600");
        }
        Ok(Self::new(text))
    }

    /// The pepper that is made of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let id = blake3::derive_key("octavia-authz 2026-11 fingerprint of a pepper", bytes);
        let id = PepperId(id.first_chunk().copied().unwrap_or_default());
        Self { key: blake3::derive_key("octavia-authz 2026-11 key of digests", bytes), id }
    }

    /// Its fingerprint.
    pub fn id(&self) -> PepperId {
        self.id
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(…)")
    }
}

impl PepperId {
    /// A fingerprint that was stored; `None` when it is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// What is stored.
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// The text is not that of a fingerprint.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the fingerprint of a pepper, 16 hexadecimal digits")]
pub struct NotPepperId;

impl FromStr for PepperId {
    type Err = NotPepperId;

    fn from_str(text: &str) -> Result<Self, NotPepperId> {
        let number = u64::from_str_radix(text, 16).map_err(|_| NotPepperId)?;
        let id = Self(number.to_be_bytes());
        if id.to_string() == text { Ok(id) } else { Err(NotPepperId) }
    }
}

/// As 16 hexadecimal digits.
impl fmt::Display for PepperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PepperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
