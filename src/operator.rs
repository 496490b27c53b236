//! The operator token: the bearer token with every admin right in every team.
//!
//! INVARIANT: only its digest is kept in memory; it is compared in constant time
//! and never shown. Its file is generated (0600) only at the default place.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{
    digest::Digest,
    token::{NoRandomness, random_base62},
};

/// Tokens that we generate: `octo_` and 43 base62 characters, 256 bits.
const PREFIX: &str = "octo_";
const RANDOM_LEN: usize = 43;
/// What is shorter could be guessed.
const MIN_LEN: usize = 32;
const MAX_LEN: usize = 512;

/// The operator token, as its digest.
#[derive(Clone, Debug)]
pub struct OperatorToken(Digest);

/// There is no operator token to be had.
#[derive(Debug, thiserror::Error)]
pub enum OperatorTokenError {
    /// The file cannot be read.
    #[error("cannot read the operator token in `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What came back.
        #[source]
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("cannot write a new operator token to `{}`", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What came back.
        #[source]
        source: io::Error,
    },
    /// What stands in the file is no good token.
    #[error("the operator token in `{}` must be one line of {MIN_LEN} to {MAX_LEN} visible ASCII characters", .0.display())]
    Invalid(PathBuf),
    /// No token can be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl OperatorToken {
    /// Reads the token from `path`.
    ///
    /// # Errors
    /// [`OperatorTokenError`]
    pub fn read(path: &Path) -> Result<Self, OperatorTokenError> {
        let read = |source| OperatorTokenError::Read { path: path.to_owned(), source };
        let text = Zeroizing::new(fs::read_to_string(path).map_err(read)?);
        let token = text.trim_end_matches(['\r', '\n']);
        if !(MIN_LEN..=MAX_LEN).contains(&token.len())
            || !token.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(OperatorTokenError::Invalid(path.to_owned()));
        }
        let mode = fs::metadata(path).map_err(read)?.permissions().mode();
        // The group may read it: in a pod that is how a Secret gets to its user.
        if mode & 0o037 != 0 {
            tracing::warn!(file = %path.display(), mode = format!("{:o}", mode & 0o777),
                "others can read or change the operator token; make its file 0600, or 0640 for a group");
        }
        Ok(Self(Digest::of(token.as_bytes())))
    }

    /// Reads the token from `path`, and puts a new one there if there is none.
    ///
    /// # Errors
    /// [`OperatorTokenError`]
    pub fn read_or_generate(path: &Path) -> Result<Self, OperatorTokenError> {
        if !path.exists() {
            Self::generate(path)?;
        }
        Self::read(path)
    }

    /// Whether `text` is the token.
    pub fn is(&self, text: &str) -> bool {
        Digest::of(text.as_bytes()) == self.0
    }

    fn generate(path: &Path) -> Result<(), OperatorTokenError> {
        let mut random = Zeroizing::new([0; RANDOM_LEN]);
        random_base62(random.as_mut())?;
        let new = path.with_extension("new");
        let write = || {
            let mut options = File::options();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(PREFIX.as_bytes())?;
            file.write_all(random.as_ref())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            File::open(
                path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")),
            )?
            .sync_all()
        };
        write().map_err(|source| OperatorTokenError::Write { path: path.to_owned(), source })
    }
}
