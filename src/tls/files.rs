//! The files of a set, and whether they have changed.
//!
//! INVARIANT: what is read as new was read twice with the same result, a moment apart:
//! neither a file that is being written nor half of a change is taken for a set.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use zeroize::Zeroizing;

use super::TlsError;

/// A chain, a key or the CAs of a whole company are far smaller.
const MAX_FILE: u64 = 4 << 20;
/// From one reading of something new to the next.
const SETTLE: Duration = Duration::from_millis(100);

/// Where certificate, key and client CA lie, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and those between it and its CA.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The CAs of clients; `None`: clients need no certificate.
    pub client_ca: Option<PathBuf>,
}

/// What stands in the files.
pub(super) struct Contents {
    pub(super) cert: Vec<u8>,
    pub(super) key: Zeroizing<Vec<u8>>,
    pub(super) client_ca: Option<Vec<u8>>,
}

/// A digest of all that stands in the files.
pub(super) type Seen = blake3::Hash;

/// What a look at the files finds.
pub(super) enum Look {
    /// What was seen before.
    Same,
    /// They are being changed just now.
    Unsettled,
    /// Something new.
    New(Contents, Seen),
    /// They cannot be read.
    Unreadable(TlsError),
}

impl Files {
    /// Reads them once.
    ///
    /// # Errors
    /// [`TlsError::Read`]
    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            cert: self.read_one("certificate", &self.cert)?,
            key: Zeroizing::new(self.read_one("key", &self.key)?),
            client_ca: self
                .client_ca
                .as_deref()
                .map(|path| self.read_one("client CA", path))
                .transpose()?,
        })
    }

    /// Looks for something that is not `known`. Blocks for a moment if there is.
    pub(super) fn look(&self, known: Seen) -> Look {
        let first = self.read();
        if first.as_ref().is_ok_and(|contents| contents.seen() == known) {
            return Look::Same;
        }
        thread::sleep(SETTLE);
        match (first, self.read()) {
            (Ok(first), Ok(second)) if first.seen() == second.seen() => {
                let seen = second.seen();
                Look::New(second, seen)
            }
            (Err(first), Err(second)) if first == second => Look::Unreadable(second),
            _ => Look::Unsettled,
        }
    }

    fn read_one(&self, what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
        let failed = |error: io::Error| TlsError::Read {
            what,
            path: path.to_owned(),
            why: match error.kind() {
                // Without the number that the system's text ends in.
                kind @ (io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
                    kind.to_string()
                }
                _ => error.to_string(),
            },
        };
        let file = File::open(path).map_err(failed)?;
        // At once: growing would leave pieces of a key in memory.
        let len = file.metadata().map_err(failed)?.len().min(MAX_FILE);
        let mut contents = Vec::with_capacity(usize::try_from(len).unwrap_or_default() + 1);
        file.take(MAX_FILE).read_to_end(&mut contents).map_err(failed)?;
        Ok(contents)
    }
}

impl Contents {
    pub(super) fn seen(&self) -> Seen {
        let mut hasher = blake3::Hasher::new();
        for part in [&self.cert, &*self.key, self.client_ca.as_deref().unwrap_or_default()] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.finalize()
    }
}
