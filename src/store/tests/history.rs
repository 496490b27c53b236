//! Old history is deleted: no key changes by it, at no point of a crash, and what is
//! kept in its place is refused when it is not as it was.

use super::{
    super::{
        data_dir::snapshot_dir,
        snapshot::{self, Snapshot},
    },
    *,
};

/// Everything is older than this.
const LATER: Timestamp = Timestamp(NOW + 1);

/// A directory with many segments.
fn long() -> Data {
    Data::with_new_history(SHORT_SEGMENT)
}

/// The same without its old history.
fn forgotten() -> Data {
    let data = long();
    let store = data.open(SHORT_SEGMENT).unwrap();
    assert!(store.forget(LATER, LATER).unwrap().segments > 5);
    drop(store);
    data
}

fn snapshots(data: &Data) -> Vec<PathBuf> {
    let listed = snapshot::list(&snapshot_dir(data.path())).unwrap();
    listed.into_iter().map(|(_, path)| path).collect()
}

fn read(path: &Path) -> Result<Snapshot, SealedError> {
    snapshot::read(path, |_| {})
}

fn without_state(data: &Data) -> Data {
    let copy = data.copy();
    copy.remove("state");
    copy
}

#[test]
fn old_history_is_deleted_and_every_key_stays() {
    let mut data = long();
    let store = data.open(SHORT_SEGMENT).unwrap();
    for _ in 0..3 {
        let segments = data.files("journal").len();
        let forgotten = store.forget(LATER, LATER).unwrap();
        assert_eq!((forgotten.segments, forgotten.postponed), (segments - 1, false));
        assert_eq!(data.files("journal").len(), 1);
        let [kept] = snapshots(&data).try_into().unwrap();
        assert_eq!(read(&kept).unwrap().applied.sequence, forgotten.last);
        assert_eq!(store.forget(LATER, LATER).unwrap(), Forgotten::default());
        data.check(&store);
        data.change(&store, 60);
    }
    drop(store);
    let mut rebuilt = without_state(&data);
    let recovery = rebuilt.check_whole();
    assert!(recovery.replayed > 0 && recovery.replayed < 100, "{recovery:?}");
    assert_eq!(data.check_whole(), Recovery::default());
}

#[test]
fn only_segments_without_a_younger_change_are_deleted() {
    let mut data = Data::empty();
    let store = data.open(SHORT_SEGMENT).unwrap();
    let mut numbers = Vec::new();
    for day in 0..4 {
        CLOCK.set(NOW + day * 1000);
        data.change(&store, 40);
        numbers.push(store.revision());
    }
    CLOCK.set(NOW);
    assert_eq!(store.forget(Timestamp(NOW), LATER).unwrap(), Forgotten::default());
    assert!(!snapshot_dir(data.path()).exists());
    let forgotten = store.forget(Timestamp(NOW + 2000), LATER).unwrap();
    assert!(forgotten.segments > 0 && forgotten.last <= numbers[1], "{forgotten:?} {numbers:?}");
    assert!(forgotten.last > numbers[0]);
    let first = data.files("journal")[0].file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(first, format!("{:020}.journal", forgotten.last + 1));
    drop(store);
    without_state(&data).check_whole();
    data.check_whole();
}

#[test]
fn a_crash_at_any_point_leaves_a_directory_that_is_served() {
    let mut before = forgotten();
    let store = before.open(SHORT_SEGMENT).unwrap();
    before.change(&store, 60);
    drop(store);
    let after = before.copy();
    let store = after.open(SHORT_SEGMENT).unwrap();
    store.forget(LATER, LATER).unwrap();
    drop(store);
    let (old, new) = (snapshots(&before), snapshots(&after));
    let name = |path: &PathBuf| path.file_name().unwrap().to_owned();

    let crashed = before.copy();
    let check = |crashed: &Data| {
        without_state(crashed).check_whole();
        let mut data = crashed.copy();
        let store = data.open(SHORT_SEGMENT).unwrap();
        data.check(&store);
        store.forget(LATER, LATER).unwrap();
        data.check(&store);
        drop(store);
        let kept: Vec<_> = snapshots(&data).iter().map(name).collect();
        assert_eq!(kept, [name(&new[0])]);
        without_state(&data).check_whole();
        data.check_whole();
    };
    // The snapshot is half written.
    let dir = snapshot_dir(crashed.path());
    let written = fs::read(&new[0]).unwrap();
    let unfinished = dir.join(name(&new[0])).with_extension("new");
    fs::write(&unfinished, &written[..written.len() / 2]).unwrap();
    check(&crashed);
    // It is there, and no segment is gone yet.
    fs::remove_file(unfinished).unwrap();
    fs::write(dir.join(name(&new[0])), &written).unwrap();
    check(&crashed);
    // One segment after the other goes.
    let mut segments = crashed.files("journal");
    segments.pop();
    for segment in segments {
        fs::remove_file(segment).unwrap();
        check(&crashed);
    }
    fs::remove_file(dir.join(name(&old[0]))).unwrap();
    check(&crashed);
}

#[test]
fn a_snapshot_is_refused_wherever_it_is_damaged_or_cut() {
    let data = forgotten();
    let [path] = snapshots(&data).try_into().unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(read(&path).unwrap().path, path);
    let read_bytes = |bytes: &[u8]| snapshot::read_from(bytes, &path, |_| {});
    // Every byte of what is around the keys, and some of theirs.
    for at in (0..200).chain((200..bytes.len()).step_by(7)).chain(bytes.len() - 60..bytes.len()) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(read_bytes(&damaged).is_err(), "byte {at}");
    }
    for len in (0..bytes.len()).step_by(37).chain(bytes.len() - 60..bytes.len()) {
        assert!(read_bytes(&bytes[..len]).is_err(), "{len} bytes");
    }
    fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
    let error = read(&path).unwrap_err();
    assert!(matches!(error, SealedError::Damaged { flaw: Flaw::Behind, .. }), "{error}");
}

#[test]
fn without_its_snapshot_a_journal_is_refused_and_repaired_from_the_state() {
    for damage in [true, false] {
        let mut data = forgotten();
        let [path] = snapshots(&data).try_into().unwrap();
        if damage {
            flip(&path, 100, 1);
        } else {
            fs::remove_file(path).unwrap();
        }
        let said = data.check_refused();
        assert!(said.contains("the snapshot of the state before it"), "{said}");
        assert!(without_state(&data).check_refused().contains("the snapshot of the state"));
        assert_eq!(data.check_repaired().source, Source::State);
    }
}

#[test]
fn a_journal_that_does_not_continue_its_snapshot_is_refused() {
    let (data, other) = (forgotten(), forgotten());
    let ([path], [foreign]) =
        (snapshots(&data).try_into().unwrap(), snapshots(&other).try_into().unwrap());
    fs::remove_file(path).unwrap();
    let place = snapshot_dir(data.path()).join(foreign.file_name().unwrap());
    fs::copy(foreign, place).unwrap();
    let said = data.check_refused();
    assert!(said.contains("snapshot"), "{said}");

    // A segment behind it is missing.
    let mut data = forgotten();
    let store = data.open(SHORT_SEGMENT).unwrap();
    data.change(&store, 60);
    drop(store);
    fs::remove_file(&data.files("journal")[0]).unwrap();
    data.check_refused();
}

#[test]
fn a_repair_without_a_state_takes_the_keys_from_the_snapshot() {
    let mut data = forgotten();
    let store = data.open(SHORT_SEGMENT).unwrap();
    data.change(&store, 60);
    drop(store);
    data.remove("state");
    // A header: every change can still be read.
    flip(&data.files("journal")[1], 20, 1);
    data.check_refused();
    let repaired = data.check_repaired();
    assert_eq!((repaired.source, repaired.unreadable), (Source::Snapshot, vec![]));
    // Its new journal is a beginning, on which retention goes on.
    let store = data.open(SHORT_SEGMENT).unwrap();
    data.change(&store, 60);
    store.forget(LATER, LATER).unwrap();
    data.check(&store);
    drop(store);
    without_state(&data).check_whole();
}

#[test]
fn a_repair_takes_the_newer_of_state_and_snapshot() {
    let old = long();
    let mut data = old.copy();
    let store = data.open(SHORT_SEGMENT).unwrap();
    data.change(&store, 100);
    store.forget(LATER, LATER).unwrap();
    data.change(&store, 20);
    drop(store);
    data.take_state_of(&old);
    let mut rebuilt = data.copy();
    assert!(rebuilt.check_whole().set_aside.is_some(), "a state before the snapshot is no use");
    flip(data.files("journal").last().unwrap(), 20, 1);
    assert_eq!(data.check_repaired().source, Source::Snapshot);
}

#[test]
fn a_damaged_newest_snapshot_is_no_obstacle_while_the_one_before_is_enough() {
    let mut data = forgotten();
    let store = data.open(SHORT_SEGMENT).unwrap();
    data.change(&store, 60);
    let before = data.copy();
    store.forget(LATER, LATER).unwrap();
    drop(store);
    let [new] = snapshots(&data).try_into().unwrap();
    let place = snapshot_dir(before.path()).join(new.file_name().unwrap());
    fs::copy(new, &place).unwrap();
    flip(&place, 200, 1);
    without_state(&before).check_whole();
    // Retention writes it anew before it deletes anything.
    let store = before.open(SHORT_SEGMENT).unwrap();
    assert!(store.forget(LATER, LATER).unwrap().segments > 0);
    drop(store);
    read(&place).unwrap();
    without_state(&before).check_whole();
}
