//! Verification names the record that is broken, over many segments too.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::{
    pb::storage::{Change, Commit},
    store::journal::Journal,
};

/// A data directory of ten records of two changes each, one record a segment; and
/// the heads.
fn written() -> (TempDir, Vec<[u8; 32]>) {
    let dir = TempDir::new().unwrap();
    let mut journal = Journal::create(&journal_dir(dir.path()), 1, 65).unwrap();
    let mut heads = vec![[0; 32]];
    for record in 0..10 {
        let change = |sequence| Change { sequence, ..Change::default() };
        let changes = vec![change(record * 2 + 1), change(record * 2 + 2)];
        journal.append(&Commit { changes, state_digest: vec![7; 32] }).unwrap();
        heads.push(journal.head());
    }
    (dir, heads)
}

fn segment(dir: &TempDir, first: u64) -> PathBuf {
    journal_dir(dir.path()).join(format!("{first:020}.journal"))
}

fn check(dir: &TempDir, expected: Option<(u64, [u8; 32])>) -> Verification {
    let mut told = Vec::new();
    let found = verify(dir.path(), expected, &mut |read, total| told.push((read, total))).unwrap();
    assert!(told.iter().all(|(read, total)| read <= total));
    found
}

#[track_caller]
fn broken(dir: &TempDir) -> (u64, Option<u64>, String) {
    let broken = check(dir, None).broken.unwrap();
    (broken.first, broken.last, broken.problem)
}

#[test]
fn a_whole_log_is_valid_and_goes_through_its_heads() {
    let (dir, heads) = written();
    let found = check(&dir, None);
    assert_eq!((found.first, found.last, found.head), (1, 20, heads[10]));
    assert_eq!((found.torn, found.broken), (0, None));
    for (record, head) in (0u64..).zip(&heads) {
        assert!(check(&dir, Some((record * 2, *head))).valid());
        let other = check(&dir, Some((record * 2, [1; 32])));
        assert_eq!((other.broken.as_ref(), other.valid()), (None, false));
        let words =
            format!("whole in itself, but its head at record {} is not the one", record * 2);
        assert!(other.other.as_ref().unwrap().contains(&words), "{other:?}");
        assert_eq!((other.last, other.head), (20, heads[10]));
    }
    let other = check(&dir, Some((3, heads[1]))).other.unwrap();
    assert!(other.contains("together with later ones"), "{other}");
    for at in [21, u64::MAX] {
        let found = check(&dir, Some((at, heads[1])));
        assert_eq!(found.other, None);
        let broken = found.broken.unwrap();
        assert_eq!((broken.first, broken.last), (21, Some(at)));
        assert!(broken.problem.contains("not there: the log ends with record 20"), "{broken:?}");
    }
}

#[test]
fn a_missing_changed_or_moved_segment_is_named() {
    let (dir, _) = written();
    let bytes = fs::read(segment(&dir, 7)).unwrap();
    fs::remove_file(segment(&dir, 7)).unwrap();
    let (first, last, problem) = broken(&dir);
    assert_eq!((first, last), (7, Some(8)));
    assert!(problem.starts_with("records 7 to 8 were removed"), "{problem}");

    fs::write(segment(&dir, 7), fs::read(segment(&dir, 3)).unwrap()).unwrap();
    let (first, _, problem) = broken(&dir);
    assert_eq!(first, 7);
    assert!(problem.contains("begins with record 3, which stands before"), "{problem}");

    fs::write(segment(&dir, 7), &bytes[..bytes.len() - 1]).unwrap();
    let (first, last, problem) = broken(&dir);
    assert_eq!((first, last), (7, Some(8)));
    assert!(problem.contains("the checksum is wrong"), "{problem}");

    fs::write(segment(&dir, 7), &bytes[..20]).unwrap();
    assert_eq!(broken(&dir), (7, None, "the file's header was changed or cut".to_owned()));

    fs::write(segment(&dir, 7), &bytes).unwrap();
    assert_eq!(check(&dir, None).broken, None);
    fs::remove_file(segment(&dir, 1)).unwrap();
    let (first, last, problem) = broken(&dir);
    assert_eq!((first, last), (1, Some(2)));
    assert!(problem.contains("removed"), "{problem}");
}

#[test]
fn up_to_what_is_published_what_is_behind_is_not_looked_at() {
    let (dir, heads) = written();
    let path = segment(&dir, 19);
    let mut bytes = fs::read(&path).unwrap();
    let len = bytes.len();
    bytes[len - 3] ^= 1;
    fs::write(&path, bytes).unwrap();
    let to = |until| verify_to(dir.path(), None, Some(until), 2, &mut |_, _| {}).unwrap();
    for record in 0..=9u64 {
        let found = to(record * 2);
        assert_eq!(found.broken, None);
        assert_eq!(found.head, heads[record as usize]);
    }
    assert_eq!(to(20).broken.unwrap().first, 19);
    fs::remove_file(&path).unwrap();
    let cut = to(20).broken.unwrap();
    assert_eq!((cut.first, cut.last), (19, Some(20)));
    assert!(cut.problem.contains("cut off: the log ends with record 18"), "{}", cut.problem);
}

#[test]
fn what_has_no_log_is_not_valid() {
    let dir = TempDir::new().unwrap();
    let error = verify(dir.path(), None, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, VerifyError::Missing(_)), "{error}");
}
