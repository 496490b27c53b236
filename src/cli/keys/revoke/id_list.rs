//! Ids of keys, one a line, of a file or of standard input.
//!
//! INVARIANT: a line that is no id is not shown: it may be the whole text of a
//! key. Used by `revoke`.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    path::Path,
};

use anyhow::Context as _;

use super::super::super::bad_usage;
use crate::token::KeyId;

/// The ids in a file, `-` for standard input. Empty lines count for nothing.
///
/// # Errors
/// It cannot be read, or a line is no id.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<String>> {
    if path == Path::new("-") {
        return from_reader(io::stdin().lock(), "standard input");
    }
    let name = format!("`{}`", path.display());
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    from_reader(file, &name)
}

/// The ids that a reader gives; `name` is for the errors.
pub(in super::super) fn from_reader(reader: impl Read, name: &str) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    for (at, line) in BufReader::new(reader).split(b'\n').enumerate() {
        let line = line.with_context(|| format!("cannot read {name}"))?;
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        match str::from_utf8(line).map(|id| (id, id.parse::<KeyId>())) {
            Ok((id, Ok(_))) => ids.push(id.to_owned()),
            _ => {
                return Err(bad_usage!(
                    "line {} of {name} is not a key's id: write one a line, the 10 letters and \
                     digits after `octv_` in a key's text",
                    at + 1
                ));
            }
        }
    }
    Ok(ids)
}

/// Each id once, in the order of their first.
pub(in super::super) fn distinct(ids: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}
