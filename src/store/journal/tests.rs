//! The journal's bytes: what a crash leaves is cut off, all else that is not as
//! it was written is damage, and nothing is ever read that was not written.

use std::fs;

use proptest::{collection, prelude::*, sample::Index};
use tempfile::TempDir;

use super::{
    segment::{FRAME_LEN, HEADER_LEN, VERSION},
    *,
};
use crate::pb::storage::{Change, StoredKey, change::Effect};

/// Changes `sequences` to keys whose names are `name`.
fn commit(sequences: std::ops::RangeInclusive<u64>, name: &str) -> Commit {
    let change = |sequence| Change {
        sequence,
        key_id: format!("key{sequence:07}"),
        effect: Some(Effect::Put(StoredKey { name: name.to_owned(), ..StoredKey::default() })),
        ..Change::default()
    };
    // Ends like a digest of which the end is zeros.
    let state_digest = [[7; 16], [0; 16]].concat();
    Commit { changes: sequences.map(change).collect(), state_digest }
}

/// A limit that lets one frame into each segment.
const ONE_FRAME: u64 = HEADER_LEN + 1;

/// A journal in a directory of its own, and how long it was after each frame.
struct Written {
    dir: TempDir,
    commits: Vec<Commit>,
    ends: Vec<u64>,
}

/// What can be read of a journal, and how that ends.
type Read = (Vec<Commit>, Result<Option<Tail>, JournalError>);

impl Written {
    /// Frames of as many changes as `groups` says, in one segment.
    fn new(groups: &[usize]) -> Self {
        let dir = TempDir::new().unwrap();
        let mut journal = Journal::create(dir.path(), 1, SEGMENT_LIMIT).unwrap();
        let (mut commits, mut ends) = (Vec::new(), vec![HEADER_LEN]);
        for changes in groups {
            let first = journal.last() + 1;
            let commit =
                commit(first..=journal.last() + *changes as u64, &"n".repeat(first as usize % 50));
            journal.append(&commit).unwrap();
            commits.push(commit);
            ends.push(journal.len);
        }
        Self { dir, commits, ends }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("00000000000000000001.journal")
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// What is read when the file has `bytes`.
    fn read(&self, bytes: &[u8]) -> Read {
        fs::write(self.path(), bytes).unwrap();
        read_all(self.dir.path())
    }

    /// Where the last frame begins.
    fn last_frame(&self) -> usize {
        self.ends[self.ends.len() - 2] as usize
    }
}

fn read_all(dir: &Path) -> Read {
    let mut commits = Vec::new();
    let end = read::<JournalError>(dir, Start::Genesis, |frame| {
        let commit = frame.commit()?;
        assert_eq!(commit.changes.last().unwrap().sequence, frame.last);
        commits.push(commit);
        Ok(())
    });
    // Whatever is wrong, verification finds the same.
    for threads in [1, 3] {
        let pass = verify(&Task { threads, ..Task::whole(dir, Start::Genesis) }, &mut |_, _| {});
        let pass = pass.unwrap();
        let verified = pass.problem.map_or(Ok(pass.tail), Err);
        assert_eq!(format!("{verified:?}"), format!("{end:?}"));
    }
    (commits, end)
}

fn damage(result: Result<Option<Tail>, JournalError>) -> (Damage, u64, u64) {
    match result {
        Err(JournalError::Damaged { problem, offset, after, .. }) => (problem, offset, after),
        other => panic!("not damaged: {other:?}"),
    }
}

#[test]
fn what_was_appended_is_read_again_group_by_group() {
    let written = Written::new(&[1, 3, 256, 1]);
    let (commits, end) = read_all(written.dir.path());
    assert_eq!(commits, written.commits);
    let tail = end.unwrap().unwrap();
    assert_eq!((tail.last, tail.torn, tail.len), (261, 0, written.bytes().len() as u64));
}

#[test]
fn no_journal_is_not_an_empty_one() {
    let dir = TempDir::new().unwrap();
    assert_eq!(read_all(&dir.path().join("none")).1.unwrap(), None);
    assert_eq!(read_all(dir.path()).1.unwrap(), None);
    Journal::create(dir.path(), 7, SEGMENT_LIMIT).unwrap();
    assert_eq!(read_all(dir.path()).1.unwrap().unwrap().last, 6);
}

#[test]
fn a_last_frame_that_ends_early_is_torn_wherever_it_ends() {
    let written = Written::new(&[2, 1, 5]);
    let (bytes, start) = (written.bytes(), written.last_frame());
    for len in start + 1..bytes.len() {
        let (commits, end) = written.read(&bytes[..len]);
        let tail = end.unwrap().unwrap();
        assert_eq!(commits, written.commits[..2], "cut at {len}");
        assert_eq!((tail.len, tail.torn, tail.last), (start as u64, (len - start) as u64, 3));
    }
}

#[test]
fn a_last_frame_whose_last_sectors_are_zeros_is_torn() {
    let written = Written::new(&[2, 90]);
    let (bytes, start) = (written.bytes(), written.last_frame());
    let sectors = (start.next_multiple_of(512)..bytes.len()).step_by(512);
    assert!(sectors.clone().count() > 3);
    for sector in sectors.chain([start]) {
        // The file may have been made longer than the frame, too.
        for more in [0, 1, 4096] {
            let mut torn = bytes.clone();
            torn[sector..].fill(0);
            torn.resize(bytes.len() + more, 0);
            let (commits, end) = written.read(&torn);
            assert_eq!(end.unwrap().unwrap().torn, (torn.len() - start) as u64);
            assert_eq!(commits, written.commits[..1]);
        }
    }
}

#[test]
fn zeros_behind_the_last_frame_are_cut_off_and_the_frame_stays() {
    let written = Written::new(&[2, 60]);
    let mut bytes = written.bytes();
    for zeros in [1, FRAME_LEN, 5000] {
        bytes.resize(written.ends[2] as usize + zeros, 0);
        let (commits, end) = written.read(&bytes);
        assert_eq!(end.unwrap().unwrap().torn, zeros as u64);
        assert_eq!(commits, written.commits);
    }
}

#[test]
fn a_byte_of_the_last_frame_that_is_other_is_damage_and_never_torn() {
    let written = Written::new(&[3, 1]);
    let (bytes, start) = (written.bytes(), written.last_frame());
    for at in start..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            let (commits, end) = written.read(&bytes);
            assert_eq!(damage(end), (Damage::Frame, start as u64, 3), "byte {at}");
            assert_eq!(commits, written.commits[..1]);
        }
    }
}

#[test]
fn a_torn_frame_before_another_one_is_damage() {
    let written = Written::new(&[1, 1, 1]);
    let mut bytes = written.bytes();
    bytes[written.ends[1] as usize..written.ends[2] as usize].fill(0);
    let (commits, end) = written.read(&bytes);
    assert_eq!(damage(end), (Damage::Frame, written.ends[1], 1));
    assert_eq!(commits, written.commits[..1]);
}

#[test]
fn a_journal_goes_on_behind_what_was_torn() {
    let written = Written::new(&[1, 1, 9]);
    let bytes = written.bytes();
    let (_, end) = written.read(&bytes[..bytes.len() - 3]);
    let mut journal =
        Journal::resume(written.dir.path(), end.unwrap().unwrap(), SEGMENT_LIMIT).unwrap();
    assert_eq!(written.bytes().len() as u64, written.ends[2]);
    // Shorter than what was torn: nothing of that may stick out behind it.
    journal.append(&commit(3..=3, "")).unwrap();
    let (commits, end) = read_all(written.dir.path());
    assert_eq!(commits.last(), Some(&commit(3..=3, "")));
    assert_eq!((commits.len(), end.unwrap().unwrap().torn), (3, 0));
}

#[test]
fn after_an_append_that_failed_the_journal_is_as_it_was_and_goes_on() {
    let written = Written::new(&[1]);
    let (_, end) = read_all(written.dir.path());
    let mut journal =
        Journal::resume(written.dir.path(), end.unwrap().unwrap(), SEGMENT_LIMIT).unwrap();
    let before = written.bytes();
    let too_long = commit(2..=2, &"n".repeat(MAX_COMMIT));
    assert!(matches!(journal.append(&too_long), Err(AppendError::NotWritten(_))));
    assert_eq!((written.bytes(), journal.last()), (before, 1));
    journal.append(&commit(2..=2, "")).unwrap();
    assert_eq!(read_all(written.dir.path()).1.unwrap().unwrap().last, 2);
}

#[test]
fn a_segment_that_cannot_be_made_is_made_by_the_next_append() {
    let dir = TempDir::new().unwrap();
    let mut journal = Journal::create(dir.path(), 1, ONE_FRAME).unwrap();
    journal.append(&commit(1..=1, "")).unwrap();
    let head = journal.head();
    // In the way of the new segment.
    let obstacle = dir.path().join("00000000000000000002.new");
    fs::create_dir(&obstacle).unwrap();
    assert!(matches!(journal.append(&commit(2..=2, "")), Err(AppendError::NotWritten(_))));
    assert_eq!((journal.last(), journal.head()), (1, head));
    fs::remove_dir(&obstacle).unwrap();
    for sequence in 2..=4 {
        journal.append(&commit(sequence..=sequence, "")).unwrap();
    }
    assert_eq!(read_all(dir.path()).1.unwrap().unwrap().last, 4);
}

#[test]
fn a_journal_that_cannot_be_written_or_taken_back_is_in_doubt() {
    let written = Written::new(&[1]);
    let (_, end) = read_all(written.dir.path());
    let mut journal =
        Journal::resume(written.dir.path(), end.unwrap().unwrap(), SEGMENT_LIMIT).unwrap();
    journal.segment = File::open(written.path()).unwrap();
    assert!(matches!(journal.append(&commit(2..=2, "")), Err(AppendError::InDoubt(_))));
    assert_eq!(journal.last(), 1);
}

#[test]
fn the_journal_of_a_newer_program_is_refused() {
    let written = Written::new(&[1]);
    let mut bytes = written.bytes();
    bytes[8..12].copy_from_slice(&(VERSION + 1).to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..60]).to_le_bytes();
    bytes[60..64].copy_from_slice(&crc);
    let (commits, end) = written.read(&bytes);
    let error = end.unwrap_err();
    assert!(matches!(error, JournalError::Version { version, .. } if version == VERSION + 1));
    assert!(error.to_string().contains("has journal format 2; this program reads format 1"));
    assert_eq!(commits, []);
}

/// The journal's bytes with frames around `commits`, each after the head that
/// `previous` gives of the head before it.
fn forged(written: &Written, commits: &[Commit], previous: impl Fn(Head) -> Head) -> Vec<u8> {
    let mut bytes = written.bytes();
    bytes.truncate(HEADER_LEN as usize);
    let mut head = [0; 32];
    for commit in commits {
        let (frame, next) = encode_frame(&previous(head), &commit.encode_to_vec());
        bytes.extend(frame);
        head = next;
    }
    bytes
}

#[test]
fn a_frame_that_does_not_continue_the_chain_is_damage() {
    let written = Written::new(&[1, 1, 1]);
    let other =
        forged(&written, &written.commits, |head| if head == [0; 32] { head } else { [1; 32] });
    assert_eq!(damage(written.read(&other).1), (Damage::Chain, written.ends[1], 1));

    // Whole frames, one removed, two swapped.
    let bytes = forged(&written, &written.commits, |head| head);
    let frame =
        |number: usize| &bytes[written.ends[number] as usize..written.ends[number + 1] as usize];
    let removed = [&bytes[..HEADER_LEN as usize], frame(0), frame(2)].concat();
    assert_eq!(damage(written.read(&removed).1).0, Damage::Chain);
    let swapped = [&bytes[..HEADER_LEN as usize], frame(0), frame(2), frame(1)].concat();
    assert_eq!(damage(written.read(&swapped).1).0, Damage::Chain);
    let twice = [&bytes[..], frame(2)].concat();
    assert_eq!(damage(written.read(&twice).1), (Damage::Chain, written.ends[3], 3));
}

#[test]
fn sequence_numbers_that_are_not_consecutive_are_damage() {
    let written = Written::new(&[2]);
    let wrong = [
        vec![commit(1..=1, ""), commit(3..=3, "")],
        vec![commit(1..=2, ""), commit(2..=2, "")],
        vec![commit(1..=1, ""), commit(1..=1, "")],
        vec![commit(0..=1, "")],
        vec![commit(2..=2, "")],
        // A frame without a change.
        vec![Commit::default()],
    ];
    for commits in wrong {
        let bytes = forged(&written, &commits, |head| head);
        assert_eq!(damage(written.read(&bytes).1).0, Damage::Sequence, "{commits:?}");
    }
}

#[test]
fn a_frame_that_holds_no_commit_is_damage() {
    let written = Written::new(&[1]);
    let mut bytes = written.bytes();
    bytes.truncate(HEADER_LEN as usize);
    bytes.extend(encode_frame(&[0; 32], &[0xff; 9]).0);
    assert_eq!(damage(written.read(&bytes).1), (Damage::Content, HEADER_LEN, 0));
}

#[test]
fn a_segment_that_is_missing_is_damage() {
    let dir = TempDir::new().unwrap();
    let mut journal = Journal::create(dir.path(), 1, ONE_FRAME).unwrap();
    for sequence in 1..=9 {
        journal.append(&commit(sequence..=sequence, "")).unwrap();
    }
    let segments = || fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(segments().count(), 9);
    assert_eq!(read_all(dir.path()).1.unwrap().unwrap().last, 9);
    for path in segments() {
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let (commits, end) = read_all(dir.path());
        let first: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        match first {
            1 => assert_eq!(damage(end).0, Damage::Beginning),
            // Only the state can know of it.
            9 => assert_eq!(end.unwrap().unwrap().last, 8),
            _ => assert_eq!(damage(end), (Damage::Gap, 0, first - 1)),
        }
        assert_eq!(commits.len() as u64, if first == 1 { 0 } else { first - 1 });
        // That of another journal in its place.
        let foreign = Header { first, previous: [1; 32], genesis: false };
        fs::write(&path, foreign.encode()).unwrap();
        damage(read_all(dir.path()).1);
        fs::write(&path, &bytes).unwrap();
    }
}

#[test]
fn only_the_last_segment_can_be_torn() {
    let dir = TempDir::new().unwrap();
    let mut journal = Journal::create(dir.path(), 1, 300).unwrap();
    let first = journal.path.clone();
    while journal.path == first {
        let next = journal.last() + 1;
        journal.append(&commit(next..=next, "")).unwrap();
    }
    let bytes = fs::read(&first).unwrap();
    for cut in 1..bytes.len() {
        fs::write(&first, &bytes[..cut]).unwrap();
        damage(read_all(dir.path()).1);
    }
}

#[test]
fn a_journal_without_its_beginning_is_read_if_it_goes_through_the_point() {
    let dir = TempDir::new().unwrap();
    let mut journal = Journal::create(dir.path(), 1, ONE_FRAME).unwrap();
    let mut heads = vec![[0; 32]];
    for number in 0..5u64 {
        let first = number * 2 + 1;
        journal.append(&commit(first..=first + 1, "")).unwrap();
        heads.push(journal.head());
    }
    let after = |sequence: u64, head| {
        let start = Start::After { sequence, head };
        let end = read::<JournalError>(dir.path(), start, |_| Ok(()));
        let pass = verify(&Task::whole(dir.path(), start), &mut |_, _| {}).unwrap();
        let verified = pass.problem.map_or(Ok(pass.tail), Err);
        assert_eq!(format!("{verified:?}"), format!("{end:?}"));
        end
    };
    let last = |end: Result<Option<Tail>, JournalError>| end.unwrap().unwrap().last;
    // It is all there still, and may be.
    assert_eq!(last(after(4, heads[2])), 10);
    fs::remove_file(dir.path().join("00000000000000000001.journal")).unwrap();
    fs::remove_file(dir.path().join("00000000000000000003.journal")).unwrap();
    assert_eq!(damage(read_all(dir.path()).1).0, Damage::Beginning);
    // Right behind the point, before it, and with it at the end.
    for (sequence, frames) in [(4, 2), (6, 3), (10, 5)] {
        assert_eq!(last(after(sequence, heads[frames])), 10);
        assert_eq!(damage(after(sequence, [1; 32])).0, Damage::Snapshot);
    }
    assert_eq!(damage(after(2, heads[1])).0, Damage::Beginning);
    assert_eq!(damage(after(5, heads[2])).0, Damage::Snapshot);
    assert_eq!(damage(after(12, heads[5])).0, Damage::Snapshot);
}

fn groups() -> impl Strategy<Value = Vec<usize>> {
    collection::vec(1..6usize, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_is_damage_wherever_it_is(
        groups in groups(),
        flips in collection::vec((any::<Index>(), 0..8u32), 1..40),
    ) {
        let written = Written::new(&groups);
        let bytes = written.bytes();
        for (at, bit) in flips {
            let mut flipped = bytes.clone();
            let at = at.index(bytes.len());
            flipped[at] ^= 1 << bit;
            let (commits, end) = written.read(&flipped);
            let (_, offset, _) = damage(end);
            prop_assert!(offset <= at as u64);
            let whole = written.ends.iter().filter(|end| **end <= at as u64).count();
            prop_assert_eq!(&commits, &written.commits[..whole.saturating_sub(1)]);
        }
    }

    #[test]
    fn a_cut_journal_is_a_shorter_one(groups in groups(), cut in any::<Index>()) {
        let written = Written::new(&groups);
        let bytes = written.bytes();
        let len = cut.index(bytes.len());
        let (commits, end) = written.read(&bytes[..len]);
        if len < HEADER_LEN as usize {
            prop_assert_eq!(damage(end).0, Damage::Header);
            prop_assert_eq!(commits, []);
        } else {
            let whole = written.ends.iter().filter(|end| **end <= len as u64).count() - 1;
            prop_assert_eq!(&commits, &written.commits[..whole]);
            let tail = end.unwrap().unwrap();
            prop_assert_eq!((tail.len, tail.len + tail.torn), (written.ends[whole], len as u64));
        }
    }

    #[test]
    fn what_is_overwritten_never_reads_as_a_change(
        groups in groups(),
        at in any::<Index>(),
        noise in collection::vec(any::<u8>(), 1..200),
    ) {
        let written = Written::new(&groups);
        let mut bytes = written.bytes();
        let at = at.index(bytes.len());
        let end = bytes.len().min(at + noise.len());
        bytes[at..end].copy_from_slice(&noise[..end - at]);
        let (commits, _) = written.read(&bytes);
        prop_assert_eq!(&commits[..], &written.commits[..commits.len()]);
    }
}
