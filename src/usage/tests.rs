//! Usage as its readers see it: exact under threads, monotonic, and after a
//! restart no more than what was true.

mod ahead;
mod days;

use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::Instant,
};

use tempfile::TempDir;

use super::*;
use crate::{change::Actor, digest::Digester, record::SecretRecord, token::Token};

const START: Timestamp = Timestamp(1_700_000_000_000);

fn after(millis: i64) -> Timestamp {
    Timestamp(START.0 + millis)
}

fn key(numbers: &[u32]) -> KeyRecord {
    let id = KeyId::generate().unwrap();
    let token = Token::generate(id).unwrap();
    let secret = |number| SecretRecord::new(&token, number, &Digester::new(None, None), START);
    KeyRecord {
        id,
        name: "a key".to_owned(),
        team: "default".to_owned(),
        service: "ai-cms".to_owned(),
        role: "writer".to_owned(),
        grants: Vec::new(),
        active: true,
        expires: None,
        created: START,
        updated: START,
        subject: String::new(),
        description: String::new(),
        labels: BTreeMap::new(),
        created_by: Actor::Operator,
        revision: 1,
        secrets: numbers.iter().map(|number| secret(*number)).collect(),
        imported: None,
    }
}

fn with_secrets(key: &KeyRecord, numbers: &[u32]) -> KeyRecord {
    KeyRecord { id: key.id, ..self::key(numbers) }
}

/// A directory of usage, its clock at `START`.
struct Data {
    dir: TempDir,
    clock: Clock,
}

impl Data {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), clock: Clock::test(START) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("usage")
    }

    fn open(&self) -> Usage {
        Usage::open(&self.path(), self.clock.clone()).unwrap()
    }

    /// The file itself. Threads of sled may hold its lock for a moment after a usage is dropped.
    fn open_raw(&self) -> sled::Db {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match sled::open(self.path()) {
                Ok(db) => return db,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            thread::yield_now();
        }
    }
}

#[test]
fn a_record_is_seen_at_once() {
    let data = Data::new();
    let usage = data.open();
    let (one, other) = (key(&[2, 1]), key(&[1]));
    assert_eq!(usage.of(one.id).unwrap(), KeyUsage::default());
    let cell = usage.cell(&one);
    cell.record(2, after(5), true);
    assert_eq!(usage.last_used(one.id), Some(after(5)));
    cell.record(1, after(3), false);
    cell.touch(2, after(9));
    let secrets = vec![(2, after(9)), (1, after(3))];
    let days = vec![DayUsage { start: Timestamp(1_699_920_000_000), allowed: 1, denied: 1 }];
    let expected = KeyUsage { last_used: Some(after(9)), allowed: 1, denied: 1, secrets, days };
    assert_eq!(usage.of(one.id).unwrap(), expected);
    assert_eq!(usage.last_used(other.id), None);
    assert_eq!(usage.last_uses().of(one.id), Some(after(9)));
}

#[test]
fn what_many_threads_record_adds_up_exactly() {
    const THREADS: u32 = 4;
    const EACH: u32 = 200_000;
    let data = Data::new();
    let usage = data.open();
    let key = key(&[2, 1]);
    let cells = [usage.cell(&key), usage.cell(&key)];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let cells = &cells;
                scope.spawn(move || {
                    for n in 0..EACH {
                        let cell = &cells[(n % 2) as usize];
                        let now = after(i64::from(n * THREADS + thread));
                        cell.record(1 + n % 2, now, n % 4 != 0);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let (mut last, mut sum) = (None, 0);
            while !done.load(SeqCst) {
                let now = usage.of(key.id).unwrap();
                assert!(now.last_used >= last && now.allowed + now.denied >= sum);
                (last, sum) = (now.last_used, now.allowed + now.denied);
            }
        });
        scope.spawn(|| {
            while !done.load(SeqCst) {
                usage.flush().unwrap();
            }
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        done.store(true, SeqCst);
    });
    let expect = |shown: KeyUsage| {
        assert_eq!(shown.denied, u64::from(THREADS * EACH / 4));
        assert_eq!(shown.allowed, u64::from(THREADS * EACH * 3 / 4));
        assert_eq!(shown.last_used, Some(after(i64::from(THREADS * EACH - 1))));
    };
    expect(usage.of(key.id).unwrap());
    usage.flush().unwrap();
    drop((usage, cells));
    expect(data.open().of(key.id).unwrap());
}

#[test]
fn each_record_is_seen_by_its_own_thread_at_once() {
    let data = Data::new();
    let usage = data.open();
    let key = key(&[1]);
    let cell = usage.cell(&key);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 1..=20_000 {
                    cell.record(1, START, true);
                    assert!(n % 16 != 0 || usage.of(key.id).unwrap().allowed >= n);
                }
            });
        }
    });
    assert_eq!(usage.of(key.id).unwrap().allowed, 80_000);
}

#[test]
fn a_last_use_never_goes_back() {
    let data = Data::new();
    let usage = data.open();
    let key = key(&[1]);
    let cell = usage.cell(&key);
    cell.record(1, after(10), true);
    usage.flush().unwrap();
    cell.record(1, after(4), true);
    usage.cell(&key).record(1, after(5), true);
    usage.set_last_used(key.id, after(6)).unwrap();
    for usage in [&usage, &{
        usage.flush().unwrap();
        drop(cell);
        usage.clone()
    }] {
        let shown = usage.of(key.id).unwrap();
        assert_eq!((shown.last_used, shown.allowed), (Some(after(10)), 3));
        assert_eq!(shown.secrets, [(1, after(10))]);
    }
}

#[test]
fn a_clock_that_does_not_tell_the_time_is_no_last_use() {
    let data = Data::new();
    let usage = data.open();
    let key = key(&[1]);
    let cell = usage.cell(&key);
    for now in [i64::MAX, i64::MIN, 0, -1] {
        cell.record(1, Timestamp(now), true);
    }
    let shown = usage.of(key.id).unwrap();
    assert_eq!((shown.last_used, shown.allowed, shown.secrets), (None, 4, Vec::new()));
    usage.flush().unwrap();
    assert_eq!(usage.of(key.id).unwrap().allowed, 4);
}

#[test]
fn a_million_records_on_a_thousand_keys_write_a_row_each() {
    let data = Data::new();
    let usage = data.open();
    let keys: Vec<_> = (0..1000).map(|_| key(&[1])).collect();
    let cells: Vec<_> = keys.iter().map(|key| usage.cell(key)).collect();
    for n in 0..1_000_000 {
        cells[n % 1000].record(1, after(n as i64), true);
        if n % 100_000 == 0 {
            usage.collect().unwrap();
        }
    }
    usage.flush().unwrap();
    assert_eq!(usage.written(), 1000);
    usage.flush().unwrap();
    assert_eq!(usage.written(), 1000);
    assert!(keys.iter().all(|key| usage.of(key.id).unwrap().allowed == 1000));
}

#[test]
fn without_use_nothing_is_written() {
    let data = Data::new();
    let usage = data.open();
    let synced = || fs::read(data.path().join("synced")).unwrap();
    let db = || fs::read(data.path().join("db")).unwrap();
    let before = (synced(), db());
    usage.cell(&key(&[1]));
    usage.forget(key(&[1]).id);
    usage.flush().unwrap();
    assert!((synced(), db()) == before);
}

#[test]
fn a_process_that_dies_loses_only_what_was_not_flushed() {
    let data = Data::new();
    let usage = data.open();
    let key = key(&[1]);
    let cell = usage.cell(&key);
    cell.record(1, after(1), true);
    usage.flush().unwrap();
    cell.record(1, after(2), true);
    usage.collect().unwrap();
    // What is on the disk now, as a process would leave it that was killed.
    let copy = Data::new();
    fs::create_dir(copy.path()).unwrap();
    for entry in fs::read_dir(data.path()).unwrap() {
        let from = entry.unwrap().path();
        if from.is_file() {
            fs::copy(&from, copy.path().join(from.file_name().unwrap())).unwrap();
        }
    }
    copy.clock.set(after(100));
    let usage = copy.open();
    assert_eq!(usage.since(), START);
    let shown = usage.of(key.id).unwrap();
    assert_eq!((shown.last_used, shown.allowed), (Some(after(1)), 1));
}

#[test]
fn closing_the_flusher_makes_everything_durable() {
    let data = Data::new();
    let usage = data.open();
    let key = key(&[1]);
    let flusher = usage.start_flusher(Duration::from_secs(3600)).unwrap();
    usage.cell(&key).record(1, after(1), false);
    flusher.close().unwrap();
    drop(usage);
    assert_eq!(data.open().of(key.id).unwrap().denied, 1);
}

#[test]
fn the_flusher_flushes_at_its_interval() {
    let data = Data::new();
    let usage = data.open();
    let flusher = usage.start_flusher(Duration::from_millis(1)).unwrap();
    let cell = usage.cell(&key(&[1]));
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    cell.record(1, after(1), true);
    while usage.written() == 0 {
        assert!(std::time::Instant::now() < deadline, "nothing was flushed");
        thread::yield_now();
    }
    flusher.close().unwrap();
}

#[test]
fn since_is_the_first_start_and_survives_others() {
    let data = Data::new();
    drop(data.open());
    data.clock.set(after(1000));
    let usage = data.open();
    assert_eq!(usage.since(), START);
    let old = KeyRecord { created: after(-5), ..key(&[1]) };
    let imported = KeyRecord { imported: Some(after(7)), ..old.clone() };
    assert_eq!(usage.known_since(&old), START);
    assert_eq!(usage.known_since(&imported), after(7));
}

#[test]
fn a_lost_directory_is_known_since_now() {
    let data = Data::new();
    drop(data.open());
    fs::remove_dir_all(data.path()).unwrap();
    data.clock.set(after(1000));
    assert_eq!(data.open().since(), after(1000));
}

#[test]
fn a_row_that_is_not_what_was_written_moves_since_and_keeps_the_rest() {
    let (changed, kept) = (key(&[1]), key(&[1]));
    for damage in [None, Some(vec![0xff; 3]), Some(vec![8, 1])] {
        let data = Data::new();
        let usage = data.open();
        usage.cell(&changed).record(1, after(1), true);
        usage.cell(&kept).record(1, after(2), true);
        usage.flush().unwrap();
        drop(usage);
        let db = data.open_raw();
        let tree = db.open_tree("usage").unwrap();
        match damage {
            None => tree.remove(changed.id.as_bytes()).unwrap(),
            Some(bytes) => tree.insert(changed.id.as_bytes(), bytes).unwrap(),
        };
        db.flush().unwrap();
        drop((tree, db));
        data.clock.set(after(1000));
        for now in [1000, 2000] {
            data.clock.set(after(now));
            let usage = data.open();
            assert_eq!(usage.since(), after(1000));
            assert_eq!(usage.last_used(kept.id), Some(after(2)));
            assert_eq!(usage.of(kept.id).unwrap().allowed, 1);
        }
    }
}

#[test]
fn a_flipped_byte_is_found_or_harmless() {
    let data = Data::new();
    let usage = data.open();
    let keys: Vec<_> = (0..300).map(|_| key(&[1])).collect();
    for (n, key) in keys.iter().enumerate() {
        usage.cell(key).record(1, after(1), true);
        if n % 50 == 49 {
            usage.flush().unwrap();
        }
    }
    usage.flush().unwrap();
    drop(usage);
    drop(data.open());
    let files: Vec<_> = fs::read_dir(data.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    let db = files.iter().position(|(name, _)| name == "db").unwrap();
    let written = files[db].1.iter().rposition(|byte| *byte != 0).unwrap();
    let mut found = 0;
    for place in (0..40).map(|n| written * n / 39) {
        let copy = Data::new();
        fs::create_dir(copy.path()).unwrap();
        for (name, bytes) in &files {
            let mut bytes = bytes.clone();
            if name == "db" {
                bytes[place] ^= 0x40;
            }
            fs::write(copy.path().join(name), bytes).unwrap();
        }
        copy.clock.set(after(1000));
        let usage = copy.open();
        let whole = keys.iter().all(|key| usage.of(key.id).is_ok_and(|usage| usage.allowed == 1));
        assert!(whole || usage.since() == after(1000), "byte {place} of {written}");
        found += usize::from(!whole);
    }
    assert!(found > 0);
}

#[test]
fn files_that_sled_cannot_open_are_set_aside() {
    let data = Data::new();
    drop(data.open());
    fs::write(data.path().join("conf"), "not what sled writes").unwrap();
    data.clock.set(after(1000));
    assert_eq!(data.open().since(), after(1000));
    assert!(data.dir.path().join("usage.damaged-1/conf").exists());
}

#[test]
fn a_forgotten_key_stays_forgotten_whatever_reports_late() {
    let data = Data::new();
    let usage = data.open();
    let key = key(&[1]);
    let cell = usage.cell(&key);
    cell.record(1, after(1), true);
    usage.flush().unwrap();
    cell.record(1, after(2), true);
    usage.forget(key.id);
    assert_eq!(usage.of(key.id).unwrap(), KeyUsage::default());
    cell.record(1, after(3), true);
    usage.flush().unwrap();
    assert_eq!(usage.last_used(key.id), None);
    drop(usage);
    assert_eq!(data.open().rows().unwrap().count(), 0);
}

#[test]
fn a_key_that_is_imported_again_begins_anew() {
    let data = Data::new();
    let usage = data.open();
    let key = key(&[1]);
    let cell = usage.cell(&key);
    cell.record(1, after(1), true);
    usage.flush().unwrap();
    usage.forget(key.id);
    usage.revive(key.id);
    cell.record(1, after(3), false);
    let shown = usage.of(key.id).unwrap();
    assert_eq!((shown.allowed, shown.denied), (0, 1));
    usage.flush().unwrap();
    assert_eq!(usage.of(key.id).unwrap(), shown);
}

#[test]
fn pruning_drops_the_keys_that_are_no_more() {
    let data = Data::new();
    let (kept, gone) = (key(&[1]), key(&[1]));
    let usage = data.open();
    for key in [&kept, &gone] {
        usage.cell(key).record(1, after(1), true);
    }
    usage.flush().unwrap();
    drop(usage);
    let usage = data.open();
    assert_eq!(usage.prune(|id| id == kept.id), 1);
    assert_eq!(usage.last_used(gone.id), None);
    usage.flush().unwrap();
    let rows: Vec<_> = usage.rows().unwrap().map(|row| row.unwrap().0).collect();
    assert_eq!(rows, [kept.id]);
    drop(usage);
    assert_eq!(data.open().since(), START);
}

#[test]
fn a_rotation_drops_the_secret_that_is_gone() {
    let data = Data::new();
    let usage = data.open();
    let old = key(&[2, 1]);
    let new = with_secrets(&old, &[3, 2]);
    let (old_cell, new_cell) = (usage.cell(&old), usage.cell(&new));
    old_cell.record(1, after(1), true);
    old_cell.record(2, after(2), true);
    new_cell.record(3, after(3), true);
    assert_eq!(usage.of(old.id).unwrap().secrets, [(3, after(3)), (2, after(2))]);
    // A late report of the old record does not drop what it does not know of.
    old_cell.record(2, after(4), true);
    assert!(usage.of(old.id).unwrap().secrets.contains(&(3, after(3))));
    // The next report of a newer record drops what is none of its secrets.
    usage.cell(&with_secrets(&old, &[3])).record(3, after(5), true);
    usage.flush().unwrap();
    let shown = usage.of(old.id).unwrap();
    assert_eq!(shown.secrets, [(3, after(5))]);
    assert_eq!((shown.allowed, shown.last_used), (5, Some(after(5))));
}

#[test]
fn an_import_brings_a_last_use_but_none_from_the_future() {
    let data = Data::new();
    let usage = data.open();
    let (past, future, never) = (key(&[1]), key(&[1]), key(&[1]));
    usage.set_last_used(past.id, after(-500)).unwrap();
    usage.set_last_used(future.id, after(500)).unwrap();
    usage.set_last_used(never.id, Timestamp(0)).unwrap();
    usage.flush().unwrap();
    drop(usage);
    let usage = data.open();
    let past = usage.of(past.id).unwrap();
    assert_eq!(past, KeyUsage { last_used: Some(after(-500)), ..KeyUsage::default() });
    assert_eq!(usage.last_used(future.id), Some(START));
    assert_eq!(usage.last_used(never.id), None);
    assert_eq!(usage.written(), 0);
}

#[test]
fn a_backup_restores_into_a_fresh_directory_only() {
    let data = Data::new();
    let usage = data.open();
    let keys: Vec<_> = (0..250).map(|_| key(&[2, 1])).collect();
    for now in [START, after(86_400_000)] {
        data.clock.set(now);
        for key in &keys {
            usage.cell(key).record(2, after(1), true);
        }
        usage.flush().unwrap();
    }
    assert_eq!(usage.of(keys[0].id).unwrap().days.len(), 2);
    let rows: Vec<_> = usage.rows().unwrap().map(Result::unwrap).collect();
    assert!(rows.is_sorted_by_key(|(id, _)| *id));
    let copy = Data::new();
    copy.clock.set(after(1000));
    assert_eq!(Usage::restore(&copy.path(), after(-9), rows.clone()).unwrap(), 250);
    let restored = copy.open();
    assert_eq!(restored.since(), after(-9));
    for key in &keys {
        assert_eq!(restored.of(key.id).unwrap(), usage.of(key.id).unwrap());
    }
    drop(restored);
    let again = Usage::restore(&copy.path(), after(-9), rows);
    assert!(matches!(again, Err(UsageError::NotEmpty(_))));
}

#[test]
fn a_failed_write_keeps_the_totals_and_the_next_flush_writes_them() {
    let data = Data::new();
    let usage = data.open();
    let key = key(&[1]);
    let cell = usage.cell(&key);
    cell.record(1, after(1), true);
    usage.flush().unwrap();
    cell.record(1, after(2), true);
    // The note of the sync cannot be written.
    let synced = data.path().join("synced");
    fs::remove_file(&synced).unwrap();
    fs::create_dir(&synced).unwrap();
    assert!(usage.flush().is_err());
    assert_eq!(usage.of(key.id).unwrap().allowed, 2);
    // Nor can it be opened again: what was recorded waits in its cell.
    assert!(usage.flush().is_err());
    cell.record(1, after(3), true);
    let other = self::key(&[1]);
    usage.cell(&other).record(1, after(3), true);
    assert_eq!(usage.of(other.id).unwrap().allowed, 1);
    fs::remove_dir(&synced).unwrap();
    usage.flush().unwrap();
    assert_eq!(usage.of(key.id).unwrap().allowed, 3);
    drop((usage, cell));
    let usage = data.open();
    assert_eq!((usage.of(key.id).unwrap().allowed, usage.since()), (3, START));
    assert_eq!(usage.of(other.id).unwrap().allowed, 1);
}

#[test]
fn what_is_recorded_while_rows_cannot_be_read_is_kept() {
    let data = Data::new();
    let usage = data.open();
    let key = key(&[1]);
    let cell = usage.cell(&key);
    cell.record(1, after(1), true);
    usage.flush().unwrap();
    let rows = usage.0.base.write().unwrap().take();
    cell.record(1, after(2), true);
    assert!(matches!(usage.of(key.id), Err(UsageError::Unavailable)));
    assert_eq!(usage.last_used(key.id), Some(after(1)));
    *usage.0.base.write().unwrap() = rows;
    let shown = usage.of(key.id).unwrap();
    assert_eq!((shown.allowed, shown.last_used), (2, Some(after(2))));
}

#[test]
fn what_was_opened_is_on_the_disk_before_the_first_flush() {
    let data = Data::new();
    let usage = data.open();
    assert_eq!(usage.flushed(), Some(START));
    data.clock.set(after(7));
    assert_eq!(usage.flushed(), Some(START));
    usage.flush().unwrap();
    assert_eq!(usage.flushed(), Some(after(7)));
}
