//! How long the files in a directory are, for metrics.
//!
//! INVARIANT: what cannot be read is `None`, never a part of it. A file that goes meanwhile is none.

use std::{fs, io, path::Path};

/// The lengths of all files in `dir` and below, in bytes; `None` if they cannot be read.
pub(crate) fn size_of(dir: &Path) -> Option<u64> {
    sum(dir).ok()
}

fn sum(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0_u64;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let size = match entry.metadata() {
            Ok(found) if found.is_dir() => sum(&entry.path()),
            Ok(found) => Ok(found.len()),
            Err(error) => Err(error),
        };
        match size {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            size => bytes = bytes.saturating_add(size?),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn files_in_folders_below_count_and_what_is_missing_is_none() {
        let dir = TempDir::new().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("one"), [0; 10]).unwrap();
        fs::write(dir.path().join("a/b/two"), [0; 5]).unwrap();
        assert_eq!(size_of(dir.path()), Some(15));
        assert_eq!(size_of(&dir.path().join("none")), None);
    }
}
