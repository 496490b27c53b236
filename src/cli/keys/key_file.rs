//! The file that a new key's text is written to instead of the terminal.
//!
//! INVARIANT: it is new, readable by its owner only, and gone again unless the
//! text was written in full. Used by `create` and `rotate`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::super::secret::Secret;

/// A new file, removed when dropped before its text was written.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
    file: File,
    written: bool,
}

impl KeyFile {
    /// Creates the file, empty.
    ///
    /// # Errors
    /// It exists, or cannot be created.
    pub(super) fn create(path: PathBuf) -> anyhow::Result<KeyFile> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                anyhow::bail!("`{}` exists; give --key-out a new file", path.display())
            }
            opened => opened.with_context(|| format!("cannot create `{}`", path.display()))?,
        };
        Ok(KeyFile { path, file, written: false })
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the text and a newline, down to the disk, and keeps the file.
    ///
    /// # Errors
    /// It could not be written; the file is removed.
    pub(super) fn write(&mut self, text: &Secret) -> io::Result<()> {
        self.file.write_all(text.reveal().as_bytes())?;
        self.file.write_all(b"\n")?;
        self.file.sync_all()?;
        self.written = true;
        Ok(())
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        if !self.written {
            // Created empty by this process: nothing of anybody's is lost.
            let _ = fs::remove_file(&self.path);
        }
    }
}
