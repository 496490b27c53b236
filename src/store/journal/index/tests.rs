//! The index finds what the journal holds, and shows what is published only.

use tempfile::TempDir;

use super::*;
use crate::{
    pb::storage::Change,
    store::journal::{Journal, Start, Task, verify},
};

/// Change `sequence` to `key`, at that second.
fn commit(sequence: u64, key: &str) -> Commit {
    let change = Change {
        sequence,
        time_ms: i64::try_from(sequence).unwrap() * 1000,
        key_id: key.to_owned(),
        request_id: "r".repeat(200),
        ..Change::default()
    };
    Commit { changes: vec![change], state_digest: vec![7; 32] }
}

/// A journal in segments of about 100 KiB, and the index that its writer made.
fn written(dir: &TempDir, changes: u64) -> Index {
    let mut journal = Journal::create(dir.path(), 1, 100 << 10).unwrap();
    let index = Index::new(Blocks::default(), 0);
    for sequence in 1..=changes {
        let commit = commit(sequence, &format!("key{:07}", sequence % 500));
        journal.append(&commit).unwrap();
        index.extend(&journal.placed(), &commit);
    }
    index
}

fn blocks(index: &Index) -> Vec<(Block, Vec<u16>)> {
    let blocks = index.blocks.read().unwrap();
    blocks.0.iter().map(|entry| (entry.block.clone(), entry.tags.clone())).collect()
}

#[test]
fn the_writer_makes_the_index_that_a_start_makes() {
    let dir = TempDir::new().unwrap();
    let index = written(&dir, 2000);
    let pass = verify(&Task::whole(dir.path(), Start::Genesis), &mut |_, _| {}).unwrap();
    assert_eq!(blocks(&pass.index), blocks(&index));
    assert!(blocks(&index).len() > 8);
    assert_eq!((pass.index.newest(), pass.index.oldest()), (2000, Some(1)));
}

#[test]
fn the_history_of_a_key_is_in_the_blocks_that_may_hold_it() {
    let dir = TempDir::new().unwrap();
    let index = written(&dir, 2000);
    let key = "key0000007";
    let (mut found, mut from, mut read) = (Vec::new(), 1, 0);
    while let Some(block) = index.at_or_behind(from, Some(tag(key)), |_| true) {
        block
            .frames(|frame| {
                let changes = frame.outline.changes.iter().filter(|change| change.key_id == key);
                found.extend(changes.map(|change| change.sequence));
                Ok::<_, JournalError>(())
            })
            .unwrap();
        (from, read) = (block.last + 1, read + 1);
    }
    assert_eq!(found, [7, 507, 1007, 1507]);
    assert!(read < blocks(&index).len());
    let last = index.at_or_before(u64::MAX, Some(tag(key)), |_| true).unwrap();
    assert!(last.first <= 1507 && 1507 <= last.last);
    let early = index.at_or_before(u64::MAX, None, |block| block.earliest < 2000).unwrap();
    assert_eq!((early.first, early.earliest), (1, 1000));
    assert_eq!(index.at_or_behind(2001, None, |_| true), None);
    assert_eq!(index.at_or_before(0, None, |_| true), None);
}

#[test]
fn frames_are_shown_from_where_one_asks() {
    let dir = TempDir::new().unwrap();
    let index = written(&dir, 1000);
    for from in [0, 1, 500, 1000, 1001] {
        let mut shown = Vec::new();
        index
            .frames_from(from, |frame| {
                shown.push(frame.last);
                Ok::<_, JournalError>(())
            })
            .unwrap();
        assert_eq!(shown, (from.max(1)..=1000).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_deleted_is_forgotten_by_whole_segments() {
    let dir = TempDir::new().unwrap();
    let index = written(&dir, 2000);
    let before = blocks(&index);
    let second = before.iter().find(|(block, _)| block.path != before[0].0.path).unwrap();
    index.forget_before(second.0.first - 1);
    assert_eq!(index.oldest(), Some(1));
    index.forget_before(second.0.last + 1);
    assert_eq!(index.oldest(), Some(second.0.first));
}

#[test]
fn what_a_block_has_marks_of_is_looked_for_in_it_and_nothing_else() {
    let (create, rotate, unknown) = (1, 3, 40);
    let done = Marks::new(create, false);
    let block = Marks(done.0 | Marks::new(rotate, true).0);
    let holds = |kinds: &[i32], refused| block.may_match(kinds.iter().copied(), refused);
    for (kinds, refused, expected) in [
        (&[][..], None, true),
        (&[], Some(true), true),
        (&[], Some(false), true),
        (&[create], None, true),
        (&[2, rotate], None, true),
        (&[2, 4], None, false),
        (&[0], None, false),
    ] {
        assert_eq!(holds(kinds, refused), expected, "{kinds:?} {refused:?}");
    }
    assert!(!done.may_match([].into_iter(), Some(true)));
    assert!(!Marks::new(create, true).may_match([create].into_iter(), Some(false)));
    // One from another version may be anything.
    assert!(Marks::new(unknown, false).may_match([create].into_iter(), None));
    assert!(done.may_match([unknown].into_iter(), None));
}
