//! Tokens and key texts on their way through the command line.
//!
//! INVARIANT: a secret has no `Display`, shows nothing in `Debug`, stands in no
//! error, and is wiped from memory when dropped. Used by `client`, `check` and
//! `keys`.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use zeroize::Zeroizing;

use super::{BadUsage, bad_usage};

/// Far more than any token or key; what is longer is some other file.
const LONGEST: usize = 4096;

/// A plain token or key text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text itself, for the wire or the one time that it is printed.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How an environment variable is looked up; tests have their own.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Looks a variable up in the program's environment; empty counts as unset.
#[must_use]
pub fn environment(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Where the key to be checked comes from.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// Read the API key from FILE, `-` for standard input [default: take it from
    /// the environment variable OCTAVIA_API_KEY]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

impl KeyArgs {
    /// The key: of the file, else of the environment.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn read(&self, variable: Lookup<'_>) -> anyhow::Result<Secret> {
        if let Some(file) = &self.key_file {
            return from_file(file);
        }
        match variable("OCTAVIA_API_KEY") {
            Some(value) => from_variable("OCTAVIA_API_KEY", value),
            None => Err(bad_usage!(
                "no key: pass `--key-file FILE` (`-` reads standard input) or set OCTAVIA_API_KEY"
            )),
        }
    }
}

/// Reads a secret from a file, `-` for standard input, without the newline at
/// its end.
///
/// # Errors
/// [`BadUsage`]: it cannot be read, or is empty, no text, or far too long.
pub fn from_file(path: &Path) -> anyhow::Result<Secret> {
    let read = match path == Path::new("-") {
        true => from_reader(io::stdin().lock()).context("cannot read standard input"),
        false => File::open(path)
            .map_err(anyhow::Error::new)
            .and_then(from_reader)
            .with_context(|| format!("cannot read `{}`", path.display())),
    };
    read.map_err(|error| BadUsage(error).into())
}

fn from_reader(reader: impl Read) -> anyhow::Result<Secret> {
    // Room for all of it at once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    reader.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST {
        anyhow::bail!("it is too long to be a token or a key");
    }
    let Ok(text) = std::str::from_utf8(&bytes) else {
        anyhow::bail!("it is not text");
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        anyhow::bail!("it is empty");
    }
    Ok(Secret::from(text.to_owned()))
}

/// A secret from the value of the environment variable `name`.
///
/// # Errors
/// It is not text.
pub fn from_variable(name: &str, value: impl AsRef<OsStr>) -> anyhow::Result<Secret> {
    match value.as_ref().to_str() {
        Some(text) => Ok(Secret::from(text.trim_end_matches(['\r', '\n']).to_owned())),
        None => Err(bad_usage!("the environment variable {name} is not text")),
    }
}
