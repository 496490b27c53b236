//! A backup holds one revision, whole; what is not as it was written is refused, and a
//! restored directory is the same in everything.

use super::*;
use crate::digest::Pepper;

const LATER: Timestamp = Timestamp(NOW + 1);

fn backup(store: &Embedded) -> Vec<u8> {
    let chunks = store.backup(UsageCopy::default(), LATER).unwrap();
    let chunks: Vec<_> = chunks.map(|chunk| chunk.unwrap()).collect();
    assert!(chunks.iter().all(|chunk| chunk.len() <= BACKUP_CHUNK));
    chunks.concat()
}

fn check(bytes: &[u8]) -> Result<BackupInfo, BackupError> {
    check_backup(bytes, Path::new("backup"), &mut |_| {})
}

/// Restores `bytes` into a new directory below `dir`.
fn restored(
    dir: &Path,
    bytes: &[u8],
    pepper: Option<crate::digest::PepperId>,
) -> Result<PathBuf, RestoreError> {
    let (file, to) = (dir.join("backup"), dir.join("restored"));
    fs::write(&file, bytes).unwrap();
    let wanted = Restore { file: &file, dir: &to, pepper };
    restore(&wanted, &mut |_, _| Ok(()), &mut |_| {}).map(|_| to)
}

/// A restored directory that has to be as `data`.
fn check_restored(data: &Data, bytes: &[u8]) {
    let info = check(bytes).unwrap();
    let dir = TempDir::new().unwrap();
    let to = restored(dir.path(), bytes, None).unwrap();
    let names = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(names, 2, "nothing is left over");
    for _ in 0..2 {
        let store = Embedded::open_with(&to, SHORT_SEGMENT, StoreMetrics::default()).unwrap();
        data.check(&store);
        let summary = store.summary();
        assert_eq!(
            (summary.revision, summary.journal_head, summary.state_digest, summary.key_count),
            (info.revision, info.journal_head, info.state_digest, info.key_count)
        );
        drop(store);
        fs::remove_dir_all(to.join("state")).unwrap();
    }
}

#[test]
fn a_restored_directory_is_the_same_in_everything() {
    for segment_limit in [ONE_SEGMENT, SHORT_SEGMENT] {
        let mut data = Data::empty();
        let store = data.open(segment_limit).unwrap();
        data.digest = store.summary().state_digest;
        check_restored(&data, &backup(&store));
        for changes in [1, 100] {
            data.change(&store, changes);
            check_restored(&data, &backup(&store));
        }
        store.forget(LATER, LATER).unwrap();
        check_restored(&data, &backup(&store));
        data.change(&store, 60);
        check_restored(&data, &backup(&store));
    }
}

#[test]
fn a_backup_holds_what_was_there_when_it_began() {
    let mut data = Data::with_new_history(SHORT_SEGMENT);
    let store = data.open(SHORT_SEGMENT).unwrap();
    let before = data.copy();
    let begun = store.backup(UsageCopy::default(), LATER).unwrap();
    data.change(&store, 50);
    assert!(store.forget(LATER, LATER).unwrap().postponed);
    let bytes: Vec<_> = begun.map(|chunk| chunk.unwrap()).collect();
    assert!(store.forget(LATER, LATER).unwrap().segments > 0);
    data.check(&store);
    check_restored(&before, &bytes.concat());
}

#[test]
fn a_backup_is_refused_wherever_it_is_damaged_or_cut() {
    let mut data = Data::empty();
    let store = data.open(SHORT_SEGMENT).unwrap();
    data.change(&store, 30);
    store.forget(LATER, LATER).unwrap();
    data.change(&store, 10);
    let bytes = backup(&store);
    check(&bytes).unwrap();
    for at in (0..300).chain((300..bytes.len()).step_by(5)).chain(bytes.len() - 60..bytes.len()) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(check(&damaged).is_err(), "byte {at}");
    }
    for len in (0..bytes.len()).step_by(41).chain([bytes.len() - 1]) {
        let error = check(&bytes[..len]).unwrap_err().to_string();
        assert!(error.contains("cut short") || len < 16, "{len} bytes: {error}");
    }
    let behind = check(&[&bytes[..], &[0]].concat()).unwrap_err().to_string();
    assert!(behind.contains("more behind its end"), "{behind}");

    let dir = TempDir::new().unwrap();
    restored(dir.path(), &bytes[..bytes.len() / 2], None).unwrap_err();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
}

#[test]
fn a_backup_of_a_newer_version_is_refused_with_words() {
    let data = Data::with_history();
    let mut bytes = backup(&data.open(ONE_SEGMENT).unwrap());
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..12]).to_le_bytes();
    bytes[12..16].copy_from_slice(&crc);
    let error = check(&bytes).unwrap_err().to_string();
    assert!(error.contains("format 2, of a newer version"), "{error}");
    let error = check(b"something else, long enough").unwrap_err().to_string();
    assert!(error.contains("is no backup of octavia-authz"), "{error}");
}

#[test]
fn a_backup_needs_the_pepper_of_its_keys() {
    let data = Data::with_history();
    let (right, wrong) = (Pepper::new(&[1; 32]).id(), Pepper::new(&[2; 32]).id());
    set_pepper(data.path(), Some(right)).unwrap();
    let bytes = backup(&data.open(ONE_SEGMENT).unwrap());
    for given in [None, Some(wrong)] {
        let dir = TempDir::new().unwrap();
        let error = restored(dir.path(), &bytes, given).unwrap_err().to_string();
        assert!(error.contains(&right.to_string()), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
    }
    let dir = TempDir::new().unwrap();
    let to = restored(dir.path(), &bytes, Some(right)).unwrap();
    assert_eq!(pepper_of(&to).unwrap(), Some(right));
}

#[test]
fn use_comes_out_as_it_went_in() {
    let data = Data::with_history();
    let store = data.open(ONE_SEGMENT).unwrap();
    let used: Vec<_> = (1..2000)
        .map(|n| {
            let usage = crate::pb::storage::StoredUsage { allowed: n, ..Default::default() };
            (KeyId::generate().unwrap(), usage)
        })
        .collect();
    let copy = UsageCopy { since: Some(Timestamp(7)), keys: Box::new(used.clone().into_iter()) };
    let bytes: Vec<_> = store.backup(copy, LATER).unwrap().map(|chunk| chunk.unwrap()).collect();
    let dir = TempDir::new().unwrap();
    let (file, to) = (dir.path().join("backup"), dir.path().join("restored"));
    fs::write(&file, bytes.concat()).unwrap();
    let mut found = None;
    let mut take = |made: &Path, usage: UsageCopy| {
        assert!(made.join("journal").is_dir() && !to.exists());
        found = Some((usage.since, usage.keys.collect::<Vec<_>>()));
        Ok(())
    };
    let wanted = Restore { file: &file, dir: &to, pepper: None };
    restore(&wanted, &mut take, &mut |_| {}).unwrap();
    assert!(found == Some((Some(Timestamp(7)), used)));
}

#[test]
fn a_restore_takes_only_a_free_place_and_clears_up_after_an_interrupted_one() {
    let data = Data::with_history();
    let bytes = backup(&data.open(ONE_SEGMENT).unwrap());
    let dir = TempDir::new().unwrap();
    let to = dir.path().join("restored");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("something"), "").unwrap();
    let error = restored(dir.path(), &bytes, None).unwrap_err();
    assert!(matches!(error, RestoreError::NotEmpty(_)), "{error}");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 1);

    fs::remove_file(to.join("something")).unwrap();
    let left_over = dir.path().join(".restored.restoring");
    fs::create_dir_all(left_over.join("journal")).unwrap();
    fs::write(left_over.join("journal/00000000000000000001.journal"), "half").unwrap();
    restored(dir.path(), &bytes, None).unwrap();
    assert!(!left_over.exists());
    data.check(&Embedded::open(&to).unwrap());
}
