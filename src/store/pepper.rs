//! Which pepper a data directory's keys are digested with: the file `pepper`, a
//! line with the pepper's fingerprint.
//!
//! INVARIANT: it is what it was set to last, whole; the pepper itself never lies in
//! the directory. Set and compared by the start; carried along by backup and
//! restore.

use std::{fs, io, path::Path};

use super::data_dir::{OpenError, io_error, write_durably};
use crate::digest::PepperId;

/// The fingerprint of the pepper that the keys in the data directory `dir` are
/// digested with; `None`: they are digested without one.
///
/// # Errors
/// [`OpenError::Io`], or [`OpenError::Format`] when the file holds none.
pub fn pepper_of(dir: &Path) -> Result<Option<PepperId>, OpenError> {
    let path = dir.join("pepper");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(OpenError::Format(path));
        }
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    fingerprint(&text).map(Some).ok_or(OpenError::Format(path))
}

/// Says that the keys in the data directory `dir` are digested with the pepper of
/// this fingerprint from now on; `None`: without one. Durable when it returns. To be
/// called by the one who has the directory.
///
/// # Errors
/// [`OpenError::Io`]
pub fn set_pepper(dir: &Path, pepper: Option<PepperId>) -> Result<(), OpenError> {
    let path = dir.join("pepper");
    if let Some(pepper) = pepper {
        return write_durably(&path, format!("{pepper}\n").as_bytes());
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed
            .and_then(|()| fs::File::open(dir)?.sync_all())
            .map_err(io_error("remove", &path)),
    }
}

/// 16 hexadecimal digits and a newline.
fn fingerprint(text: &str) -> Option<PepperId> {
    let digits = text.strip_suffix('\n').unwrap_or(text);
    let lower = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    if digits.len() != 16 || !digits.as_bytes().iter().all(lower) {
        return None;
    }
    let value = u64::from_str_radix(digits, 16).ok()?;
    PepperId::from_bytes(&value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::digest::Pepper;

    #[test]
    fn a_fingerprint_is_kept_until_it_is_taken_away() {
        let dir = TempDir::new().unwrap();
        assert_eq!(pepper_of(dir.path()).unwrap(), None);
        let id = Pepper::new(&[7; 32]).id();
        set_pepper(dir.path(), Some(id)).unwrap();
        assert_eq!(pepper_of(dir.path()).unwrap(), Some(id));
        set_pepper(dir.path(), None).unwrap();
        set_pepper(dir.path(), None).unwrap();
        assert_eq!(pepper_of(dir.path()).unwrap(), None);
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        let dir = TempDir::new().unwrap();
        for text in ["", "12", "00112233445566778899\n", "+011223344556677\n", "\u{e9}"] {
            fs::write(dir.path().join("pepper"), text).unwrap();
            assert!(matches!(pepper_of(dir.path()), Err(OpenError::Format(_))), "{text:?}");
        }
    }
}
