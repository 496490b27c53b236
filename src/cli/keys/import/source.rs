//! The file that is imported, which is read more than once.
//!
//! INVARIANT: every reading gives the same lines; what cannot be read twice
//! (standard input, a pipe) is put into a temporary file first. Used by `import`.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _},
    path::Path,
};

use anyhow::{Context as _, bail};

/// Far more than a key with all its fields filled.
const LONGEST_LINE: u64 = 1 << 20;

/// A file that can be read from its start again.
#[derive(Debug)]
pub(in super::super) struct Source {
    name: String,
    file: File,
}

impl Source {
    /// Opens the file, `-` for standard input.
    ///
    /// # Errors
    /// It cannot be read, or there is no room to keep what can be read only once.
    pub(in super::super) fn open(path: &Path) -> anyhow::Result<Source> {
        if path == Path::new("-") {
            let name = "standard input".to_owned();
            let file = spooled(&mut io::stdin().lock(), &name)?;
            return Ok(Source { name, file });
        }
        let name = format!("`{}`", path.display());
        let mut file = File::open(path).with_context(|| format!("cannot read {name}"))?;
        let kind = file.metadata().with_context(|| format!("cannot read {name}"))?.file_type();
        if kind.is_dir() {
            bail!("{name} is a directory; name a file of keys");
        }
        if !kind.is_file() {
            file = spooled(&mut file, &name)?;
        }
        Ok(Source { name, file })
    }

    /// The lines from the start, without the empty ones.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(in super::super) fn again(&mut self) -> anyhow::Result<Lines> {
        let unreadable = || format!("cannot read {}", self.name);
        self.file.rewind().with_context(unreadable)?;
        let file = self.file.try_clone().with_context(unreadable)?;
        Ok(Lines { reader: BufReader::new(file), number: 0, name: self.name.clone() })
    }

    /// The numbers of the lines that hold these keys, both counted as their
    /// readers do: lines from 1, keys from 0.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(in super::super) fn lines_of(
        &mut self,
        keys: impl Iterator<Item = u64>,
    ) -> anyhow::Result<HashMap<u64, u64>> {
        let wanted: HashSet<u64> = keys.collect();
        let mut found = HashMap::new();
        if wanted.is_empty() {
            return Ok(found);
        }
        for (key, line) in (0..).zip(self.again()?) {
            if wanted.contains(&key) {
                found.insert(key, line?.0);
            }
            if found.len() == wanted.len() {
                break;
            }
        }
        Ok(found)
    }
}

fn spooled(reader: &mut impl io::Read, name: &str) -> anyhow::Result<File> {
    let mut file = tempfile::tempfile().context("cannot create a temporary file")?;
    io::copy(reader, &mut file)
        .with_context(|| format!("cannot keep {name} in a temporary file"))?;
    Ok(file)
}

/// The lines of a file that are not empty, with their numbers from 1.
#[derive(Debug)]
pub(in super::super) struct Lines {
    reader: BufReader<File>,
    number: u64,
    name: String,
}

impl Iterator for Lines {
    type Item = anyhow::Result<(u64, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut line = Vec::new();
            self.number += 1;
            let mut limited = self.reader.by_ref().take(LONGEST_LINE + 1);
            match limited.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(length) if length as u64 > LONGEST_LINE => {
                    return Some(Err(super::bad_usage!(
                        "line {} of {} is longer than any key; is it the right file?",
                        self.number,
                        self.name
                    )));
                }
                Ok(_) => return Some(Ok((self.number, line))),
                Err(error) => {
                    let unreadable = format!("cannot read {}", self.name);
                    return Some(Err(anyhow::Error::new(error).context(unreadable)));
                }
            }
        }
    }
}
