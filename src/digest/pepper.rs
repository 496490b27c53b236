//! Peppers, and their fingerprints.
//!
//! INVARIANT: a pepper has no `Display`, a blank `Debug`, and is wiped when dropped.

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A shorter pepper could be guessed.
const MIN_PEPPER: usize = 32;
const MAX_PEPPER: usize = 4096;

/// The public fingerprint of a pepper: the first 8 bytes of a digest of it.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PepperId([u8; 8]);

/// A key for digests, kept outside of the data directory: who has only that can
/// try no guess.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Pepper {
    pub(super) key: [u8; 32],
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
        // The group may read it: in a pod that is how a Secret gets to its user.
        if mode & 0o037 != 0 {
            tracing::warn!(file = %path.display(), mode = format!("{:o}", mode & 0o777),
                "others can read or change the pepper; make its file 0600, or 0640 for a group");
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
