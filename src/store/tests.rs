//! A store on damaged copies of a real directory: the state is mended from the
//! journal, a journal that may have lost something is refused and left alone, and
//! repair saves what can be saved.

mod backup;
mod history;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::{
    change::{Actor, ChangeKind, Origin},
    clock::Timestamp,
    digest::Digester,
    metrics::StoreMetrics,
    record::SecretRecord,
    token::Token,
};

/// Changes in the directory that is damaged.
const CHANGES: u64 = 300;
/// One segment holds them all.
const ONE_SEGMENT: u64 = 64 << 20;
/// About ten changes to a segment.
const SHORT_SEGMENT: u64 = 4 << 10;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().unwrap());

/// When the changes in these tests are made, unless one says otherwise.
const NOW: i64 = 1_700_000_000_000;

std::thread_local! {
    /// When the next change is made.
    static CLOCK: Cell<i64> = const { Cell::new(NOW) };
}

type Keys = BTreeMap<KeyId, KeyRecord>;

/// A directory with a history, made once: its files, and what must be in it.
static HISTORY: LazyLock<History> = LazyLock::new(|| {
    let data = Data::with_new_history(ONE_SEGMENT);
    let name = |path: &PathBuf| path.strip_prefix(data.path()).unwrap().to_owned();
    let files = data.files("");
    let files = files.iter().map(|path| (name(path), fs::read(path).unwrap())).collect();
    let (keys, revoked) = (data.keys.clone(), data.revoked.clone());
    History { files, keys, revoked, digest: data.digest }
});

struct History {
    files: Vec<(PathBuf, Vec<u8>)>,
    keys: Keys,
    revoked: BTreeSet<KeyId>,
    digest: [u8; 32],
}

/// A data directory, and what must be in it.
struct Data {
    dir: TempDir,
    keys: Keys,
    revoked: BTreeSet<KeyId>,
    digest: [u8; 32],
    random: Random,
}

/// SplitMix64: the same choices in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}

fn new_key() -> KeyRecord {
    let id = KeyId::generate().unwrap();
    let now = Timestamp(1_700_000_000_000);
    KeyRecord {
        id,
        name: format!("the key {id}"),
        team: "default".to_owned(),
        service: "ai-cms".to_owned(),
        role: "writer".to_owned(),
        grants: Vec::new(),
        active: true,
        expires: None,
        created: now,
        updated: now,
        subject: id.to_string(),
        description: String::new(),
        labels: BTreeMap::new(),
        created_by: Actor::Operator,
        revision: 0,
        secrets: vec![SecretRecord::new(
            &Token::generate(id).unwrap(),
            1,
            &Digester::new(None, None),
            now,
        )],
        imported: None,
    }
}

fn commit(
    store: &Embedded,
    kind: ChangeKind,
    key_id: KeyId,
    after: Option<KeyRecord>,
) -> Result<Committed, CommitError> {
    let origin = Origin { actor: Actor::Operator, peer: String::new(), request_id: String::new() };
    let change = Change {
        kind,
        time: Timestamp(CLOCK.get()),
        origin,
        key_id: Some(key_id),
        team: "default".to_owned(),
        service: "ai-cms".to_owned(),
        effect: after.map_or(Effect::Remove, |after| Effect::Put(Box::new(after))),
    };
    let committed = RUNTIME.block_on(store.commit(Box::new(move |_| Ok(vec![change.clone()]))));
    committed.map(|mut committed| committed.pop().unwrap())
}

impl Data {
    /// A directory without a change.
    fn empty() -> Self {
        let dir = TempDir::new().unwrap();
        let (keys, revoked, random) = (Keys::new(), BTreeSet::new(), Random(1));
        Self { dir, keys, revoked, digest: [0; 32], random }
    }

    /// A directory that saw `CHANGES` changes and an orderly stop: always the same.
    fn with_history() -> Self {
        let History { files, keys, revoked, digest } = &*HISTORY;
        let dir = TempDir::new().unwrap();
        fs::create_dir_all(dir.path().join("state/blobs")).unwrap();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let (keys, revoked) = (keys.clone(), revoked.clone());
        Self { dir, keys, revoked, digest: *digest, random: Random(3) }
    }

    /// Another one.
    fn with_new_history(segment_limit: u64) -> Self {
        let mut data = Self::empty();
        let store = data.open(segment_limit).unwrap();
        data.change(&store, CHANGES);
        store.close();
        data
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn open(&self, segment_limit: u64) -> Result<Embedded, OpenError> {
        Embedded::open_with(self.path(), segment_limit, StoreMetrics::default())
    }

    /// Creates, changes and revokes keys.
    fn change(&mut self, store: &Embedded, changes: u64) {
        for _ in 0..changes {
            let live: Vec<_> = self.keys.keys().copied().collect();
            let choice = if live.len() < 3 { 0 } else { self.random.below(10) };
            let (kind, id, after) = match choice {
                0..=3 => {
                    let key = new_key();
                    (ChangeKind::Create, key.id, Some(key))
                }
                4..=7 => {
                    let mut key = self.keys[&live[self.random.below(live.len())]].clone();
                    key.active = !key.active;
                    (ChangeKind::Update, key.id, Some(key))
                }
                _ => (ChangeKind::Revoke, live[self.random.below(live.len())], None),
            };
            match commit(store, kind, id, after).unwrap().after().cloned() {
                Some(after) => drop(self.keys.insert(id, after)),
                None => {
                    self.keys.remove(&id);
                    self.revoked.insert(id);
                }
            }
        }
        self.digest = store.summary().state_digest;
    }

    /// The same in another directory.
    fn copy(&self) -> Self {
        let dir = TempDir::new().unwrap();
        copy(self.path(), dir.path());
        let (keys, revoked) = (self.keys.clone(), self.revoked.clone());
        Self { dir, keys, revoked, digest: self.digest, random: Random(2) }
    }

    /// Puts the state of `other` in place of the state.
    fn take_state_of(&self, other: &Self) {
        self.remove("state");
        copy(&other.path().join("state"), &self.path().join("state"));
    }

    fn remove(&self, name: &str) {
        fs::remove_dir_all(self.path().join(name)).unwrap();
    }

    /// The files in `name`, in order.
    fn files(&self, name: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        list(&self.path().join(name), &mut files);
        files.sort();
        files
    }

    /// Every file but the lock, and its content.
    fn contents(&self) -> BTreeMap<PathBuf, blake3::Hash> {
        let files = self.files("").into_iter().filter(|path| !path.ends_with("lock"));
        files.map(|path| (path.clone(), blake3::hash(&fs::read(path).unwrap()))).collect()
    }

    /// Asserts that `store` holds these keys, all of them, and nothing else.
    fn check(&self, store: &Embedded) {
        let keys: Keys =
            store.scan(None).map(|key| key.unwrap()).map(|key| (key.id, key)).collect();
        assert!(keys == self.keys, "other keys");
        assert_eq!(store.summary().state_digest, self.digest);
        assert_eq!(store.summary().key_count, self.keys.len() as u64);
        for id in &self.revoked {
            assert_eq!(store.get(*id).unwrap(), None);
        }
    }

    /// Asserts that it opens with all keys, can be written, and opens again.
    fn check_whole(&mut self) -> Recovery {
        let store = self.open(ONE_SEGMENT).unwrap();
        let recovery = store.recovery().clone();
        self.check(&store);
        self.change(&store, 1);
        drop(store);
        let store = self.open(ONE_SEGMENT).unwrap();
        assert_eq!((store.recovery().replayed, store.recovery().torn), (0, 0));
        self.check(&store);
        recovery
    }

    /// Asserts that it is refused because acknowledged changes may be missing, and
    /// that nothing was touched. Gives what is said.
    fn check_refused(&self) -> String {
        let before = self.contents();
        let error = self.open(ONE_SEGMENT).err().expect("refused");
        assert!(matches!(error, OpenError::Lost { .. }), "{error}");
        assert!(self.contents() == before, "touched: {error}");
        let text = error.to_string();
        for part in ["nothing is served", "put back a copy", "octavia-authz repair --data-dir"] {
            assert!(text.contains(part), "{text}");
        }
        text
    }

    fn repair(&self, apply: bool) -> Result<Option<Repair>, RepairError> {
        repair(self.path(), Timestamp(1_700_000_000_000), apply)
    }

    /// Asserts what a repair makes of it: these keys, but for their revision. Dry
    /// first, and a second one that finds nothing.
    fn check_repaired(&mut self) -> Repair {
        let before = self.contents();
        let dry = self.repair(false).unwrap().expect("something to repair");
        assert!(self.contents() == before, "a dry run changes nothing");
        let done = self.repair(true).unwrap().expect("something to repair");
        assert_eq!(Repair { applied: false, set_aside: None, ..done.clone() }, dry);
        assert_eq!(done.keys, self.keys.len());
        assert_eq!(self.repair(false).unwrap(), None);
        assert_eq!(self.repair(true).unwrap(), None);

        let store = self.open(ONE_SEGMENT).unwrap();
        for key in store.scan(None).map(|key| key.unwrap()) {
            let known = self.keys.get_mut(&key.id).expect("a key that was there");
            assert!(key.revision > done.last || done.source == Source::Interrupted);
            known.revision = key.revision;
            assert_eq!(key, *known);
        }
        self.digest = store.summary().state_digest;
        drop(store);
        self.check_whole();
        done
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) {
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { list(&path, files) } else { files.push(path) }
    }
}

/// A number that the environment may set.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn flip(path: &Path, at: usize, bits: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= bits;
    fs::write(path, bytes).unwrap();
}

/// Where each change's frame begins in a segment, and its end.
fn frames(segment: &Path) -> Vec<usize> {
    let bytes = fs::read(segment).unwrap();
    let starts = bytes.windows(4).enumerate().filter(|(_, window)| *window == b"JFR1");
    starts.map(|(at, _)| at).chain([bytes.len()]).collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "the seed, should it fail")]
fn a_state_with_a_flipped_byte_comes_back_from_the_journal() {
    let mut data = Data::with_history();
    // A record that sled keeps in a file of its own.
    let store = data.open(ONE_SEGMENT).unwrap();
    let long = KeyRecord { description: "long ".repeat(400_000), ..new_key() };
    let created =
        commit(&store, ChangeKind::Create, long.id, Some(long)).unwrap().after().cloned().unwrap();
    data.keys.insert(created.id, created);
    data.change(&store, 5);
    drop(store);

    let flips = setting("OCTAVIA_TEST_FLIPS", 30) as usize;
    let seed = setting("OCTAVIA_TEST_SEED", getrandom::u64().unwrap());
    println!("OCTAVIA_TEST_SEED={seed} OCTAVIA_TEST_FLIPS={flips} in each file");
    data.random = Random(seed);

    let files = data.files("state");
    let named = |part: &str| files.iter().any(|path| path.to_string_lossy().contains(part));
    assert!(named("/conf") && named("/db") && named("/snap.") && named("/blobs/"), "{files:?}");
    let mut mended = 0;
    for file in files {
        let len = fs::metadata(&file).unwrap().len() as usize;
        for part in 0..flips {
            let copy = data.copy();
            let at = (len * part / flips + data.random.below(len.div_ceil(flips))).min(len - 1);
            let bits = 1 + data.random.below(255) as u8;
            flip(&copy.path().join(file.strip_prefix(data.path()).unwrap()), at, bits);
            let store = copy
                .open(ONE_SEGMENT)
                .unwrap_or_else(|error| panic!("{} byte {at} ^ {bits}: {error:?}", file.display()));
            copy.check(&store);
            mended += usize::from(*store.recovery() != Recovery::default());
        }
    }
    println!("{mended} of them did matter");
    assert!(mended > flips / 3);
}

#[test]
fn a_state_that_was_cut_off_or_lost_a_file_comes_back_from_the_journal() {
    let data = Data::with_history();
    for file in data.files("state") {
        let len = fs::metadata(&file).unwrap().len();
        let name = file.strip_prefix(data.path()).unwrap();
        for part in 0..8 {
            let copy = data.copy();
            let file = fs::File::options().write(true).open(copy.path().join(name)).unwrap();
            file.set_len(len * part / 8).unwrap();
            copy.check(&copy.open(ONE_SEGMENT).unwrap());
        }
        let copy = data.copy();
        fs::remove_file(copy.path().join(name)).unwrap();
        copy.check(&copy.open(ONE_SEGMENT).unwrap());
    }
}

#[test]
fn a_state_that_is_gone_comes_back_from_the_journal() {
    let mut data = Data::with_history();
    data.remove("state");
    let recovery = data.check_whole();
    assert_eq!((recovery.replayed, recovery.set_aside), (CHANGES, None));
    data.remove("state");
    fs::create_dir(data.path().join("state")).unwrap();
    assert_eq!(data.check_whole().replayed, CHANGES + 1);
}

#[test]
fn a_snapshot_that_was_never_finished_is_no_obstacle() {
    let mut data = Data::with_history();
    let left_over = data.path().join("state/snap.0000000000000ABC.generating");
    fs::write(&left_over, [0; 100]).unwrap();
    assert_eq!(data.check_whole(), Recovery::default());
    assert!(!left_over.exists());
}

#[test]
fn a_state_of_another_directory_is_replaced() {
    let mut data = Data::with_history();
    data.take_state_of(&Data::with_new_history(ONE_SEGMENT));
    assert!(data.check_whole().set_aside.is_some());
}

#[test]
fn a_state_that_is_behind_is_given_what_it_does_not_have() {
    let old = Data::with_history();
    let mut data = old.copy();
    let store = data.open(ONE_SEGMENT).unwrap();
    data.change(&store, 20);
    drop(store);
    data.take_state_of(&old);
    let recovery = data.check_whole();
    assert_eq!((recovery.replayed, recovery.set_aside), (20, None));
}

#[test]
fn a_last_change_that_is_torn_is_cut_off_and_the_sidecar_writes_on() {
    let old = Data::with_history();
    let data = old.copy();
    let store = data.open(ONE_SEGMENT).unwrap();
    let key = new_key();
    commit(&store, ChangeKind::Create, key.id, Some(key)).unwrap();
    drop(store);
    let [segment] = data.files("journal").try_into().unwrap();
    let bytes = fs::read(&segment).unwrap();
    let start = fs::metadata(&old.files("journal")[0]).unwrap().len() as usize;

    let cuts = (start + 1..bytes.len()).map(|cut| bytes[..cut].to_vec());
    let zeros = (start.next_multiple_of(512)..bytes.len()).step_by(512).chain([start]).map(|at| {
        let mut bytes = bytes.clone();
        bytes[at..].fill(0);
        bytes
    });
    let mut torn = old.copy();
    for bytes in cuts.chain(zeros) {
        fs::write(torn.path().join("journal").join(segment.file_name().unwrap()), &bytes).unwrap();
        let store = torn.open(ONE_SEGMENT).unwrap();
        assert_eq!(store.recovery().torn, (bytes.len() - start) as u64);
        torn.check(&store);
        // Sled is slow to open and close; each tenth is tried to the end.
        if bytes.len() % 10 == 0 {
            torn.change(&store, 2);
            drop(store);
            torn.check(&torn.open(ONE_SEGMENT).unwrap());
            torn = old.copy();
        }
    }
}

#[test]
fn a_last_change_that_was_acknowledged_is_not_cut_off() {
    let data = Data::with_history();
    let [segment] = data.files("journal").try_into().unwrap();
    let bytes = fs::read(&segment).unwrap();
    let frames = frames(&segment);
    let start = frames[frames.len() - 2];
    assert_eq!(frames.len() as u64, CHANGES + 1);
    for at in start..bytes.len() {
        flip(&segment, at, 1 + at as u8 % 255);
        let text = data.check_refused();
        for part in [
            format!("damaged in `{}` at byte {start}", segment.display()),
            format!("after change {}: ", CHANGES - 1),
        ] {
            assert!(text.contains(&part), "{text}");
        }
        fs::write(&segment, &bytes).unwrap();
    }
    // The state knows of it.
    for cut in [start, start + 1, bytes.len() - 1] {
        fs::write(&segment, &bytes[..cut]).unwrap();
        let error = data.open(ONE_SEGMENT).err().unwrap().to_string();
        assert!(error.contains("ends with change 299, but the state has change 300"), "{error}");
        assert_eq!(fs::read(&segment).unwrap().len(), cut);
    }
}

#[test]
fn a_journal_that_is_damaged_in_its_middle_is_refused_and_left_alone() {
    let mut data = Data::with_history();
    let [segment] = data.files("journal").try_into().unwrap();
    let bytes = fs::read(&segment).unwrap();
    let frames = frames(&segment);
    let header = 0..frames[0];
    let frame = frames[100]..frames[101];
    let anywhere: Vec<_> = (0..200).map(|_| data.random.below(bytes.len())).collect();
    for (number, at) in header.chain(frame).chain(anywhere).enumerate() {
        flip(&segment, at, 1 << (number % 8));
        let whole = frames.iter().filter(|start| **start <= at).count();
        let offset = if whole == 0 { 0 } else { frames[whole - 1] };
        let after = whole.saturating_sub(1);
        let text = data.check_refused();
        let wanted =
            format!("damaged in `{}` at byte {offset}, after change {after}: ", segment.display());
        assert!(text.contains(&wanted), "{text}");
        fs::write(&segment, &bytes).unwrap();
    }
    data.check_whole();
}

#[test]
fn damage_to_the_journal_is_found_before_a_damaged_state_is_set_aside() {
    let data = Data::with_history();
    flip(&data.files("journal")[0], 2000, 1);
    flip(&data.path().join("state/db"), 300, 1);
    data.check_refused();
    data.remove("state");
    data.check_refused();
}

#[test]
fn a_journal_that_is_missing_or_older_than_the_state_is_refused() {
    let old = Data::with_history();
    let data = old.copy();
    let store = data.open(ONE_SEGMENT).unwrap();
    data.copy().change(&store, 7);
    drop(store);

    let rolled_back = data.copy();
    rolled_back.remove("journal");
    copy(&old.path().join("journal"), &rolled_back.path().join("journal"));
    let journal = rolled_back.contents();
    let error = rolled_back.open(ONE_SEGMENT).err().unwrap().to_string();
    assert!(error.contains("the journal ends with change 300, but the state has change 307"));
    let is_journal =
        |(path, _): &(PathBuf, blake3::Hash)| path.parent().unwrap().ends_with("journal");
    assert!(
        journal
            .into_iter()
            .filter(is_journal)
            .eq(rolled_back.contents().into_iter().filter(is_journal))
    );

    data.remove("journal");
    assert!(data.check_refused().contains("the journal is missing"));
    fs::create_dir(data.path().join("journal")).unwrap();
    assert!(data.check_refused().contains("the journal is missing"));
    // What is left says that there was one, each alone.
    let format = data.path().join("format");
    fs::remove_file(&format).unwrap();
    data.check_refused();
    data.remove("state");
    fs::write(&format, "octavia-authz data directory, format 1\n").unwrap();
    data.check_refused();
    fs::write(&format, "octavia-authz data directory, format 2\n").unwrap();
    assert!(matches!(data.open(ONE_SEGMENT).err(), Some(OpenError::Format(_))));
}

#[test]
fn a_start_that_was_killed_before_the_first_change_is_begun_again() {
    // In the order in which they are made.
    for (dir, file) in [("journal", "00000000000000000001.new"), ("state", "conf")] {
        let mut data = Data::empty();
        if dir == "state" {
            drop(data.open(ONE_SEGMENT).unwrap());
            fs::remove_file(data.path().join("format")).unwrap();
            data.remove("state");
        }
        fs::create_dir_all(data.path().join(dir)).unwrap();
        fs::write(data.path().join(dir).join(file), "").unwrap();
        data.check_whole();
    }
}

#[test]
fn a_journal_of_many_segments_is_read_and_rebuilt_from_like_one() {
    let mut data = Data::with_new_history(SHORT_SEGMENT);
    let segments = data.files("journal");
    assert!(segments.len() > 10, "{} segments", segments.len());
    for path in &segments[..segments.len() - 1] {
        let len = fs::metadata(path).unwrap().len();
        assert!((SHORT_SEGMENT..SHORT_SEGMENT + 1024).contains(&len), "{len} bytes");
    }
    for round in 0..3 {
        let store = data.open(SHORT_SEGMENT).unwrap();
        data.check(&store);
        data.change(&store, 25);
        drop(store);
        if round == 1 {
            data.remove("state");
        }
    }
    data.remove("state");
    let store = data.open(SHORT_SEGMENT).unwrap();
    assert_eq!(store.recovery().replayed, CHANGES + 75);
    data.check(&store);
}

#[test]
fn a_segment_that_is_missing_is_refused_and_left_alone() {
    let data = Data::with_new_history(SHORT_SEGMENT);
    let segments = data.files("journal");
    let (first, last) = (&segments[0], segments.last().unwrap());
    for path in [first, &segments[1], &segments[segments.len() / 2], &segments[segments.len() - 2]]
    {
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        let text = data.check_refused();
        let wanted =
            if path == first { "the segments before it are missing" } else { "does not continue" };
        assert!(text.contains(wanted), "{text}");
        fs::write(path, bytes).unwrap();
    }
    let bytes = fs::read(last).unwrap();
    fs::remove_file(last).unwrap();
    let text = data.open(SHORT_SEGMENT).err().unwrap().to_string();
    assert!(text.contains("but the state has change 300"), "{text}");
    // Torn, but not at the journal's end.
    fs::write(last, bytes).unwrap();
    let middle = &segments[segments.len() / 2];
    let bytes = fs::read(middle).unwrap();
    fs::write(middle, &bytes[..bytes.len() - 1]).unwrap();
    data.check_refused();
    fs::write(middle, bytes).unwrap();
    data.check(&data.open(SHORT_SEGMENT).unwrap());
}

#[test]
fn repair_keeps_every_key_when_the_state_is_whole() {
    let data = Data::with_history();
    let damages: [fn(&Data); 4] = [
        |data| flip(&data.files("journal")[0], 5000, 4),
        |data| flip(&data.files("journal")[0], 9, 4),
        |data| data.remove("journal"),
        |data| fs::write(&data.files("journal")[0], "").unwrap(),
    ];
    for damage in damages {
        let mut data = data.copy();
        damage(&data);
        data.check_refused();
        let repair = data.check_repaired();
        assert_eq!((repair.source, repair.last), (Source::State, CHANGES));
        assert_eq!(repair.unreadable, []);
    }
}

#[test]
fn repair_gives_a_state_that_is_behind_the_changes_that_can_be_read() {
    let old = Data::with_history();
    let mut data = old.copy();
    let store = data.open(ONE_SEGMENT).unwrap();
    data.change(&store, 20);
    drop(store);
    data.take_state_of(&old);
    // Long in the state.
    flip(&data.files("journal")[0], 5000, 4);
    data.check_refused();
    let repair = data.check_repaired();
    assert_eq!((repair.source, repair.last), (Source::State, CHANGES + 20));
    assert_eq!(repair.unreadable, []);
}

#[test]
fn repair_without_a_state_names_the_changes_that_it_gives_up() {
    let mut data = Data::empty();
    let store = data.open(ONE_SEGMENT).unwrap();
    let (kept, lost, back) = (new_key(), new_key(), new_key());
    for key in [&kept, &lost, &back] {
        let created = commit(&store, ChangeKind::Create, key.id, Some(key.clone())).unwrap();
        data.keys.insert(key.id, created.after().cloned().unwrap());
    }
    commit(&store, ChangeKind::Revoke, back.id, None).unwrap();
    let last = new_key();
    let created = commit(&store, ChangeKind::Create, last.id, Some(last.clone())).unwrap();
    data.keys.insert(last.id, created.after().cloned().unwrap());
    drop(store);
    data.remove("state");

    let [segment] = data.files("journal").try_into().unwrap();
    let frames = frames(&segment);
    // The creation of `lost`, and the revocation of `back`.
    flip(&segment, frames[1] + 60, 1);
    flip(&segment, frames[3] + 60, 1);
    data.keys.remove(&lost.id);
    let text = data.check_refused();
    assert!(text.contains("after change 1: "), "{text}");
    let repair = data.check_repaired();
    assert_eq!((repair.source, repair.last), (Source::Journal, 5));
    assert_eq!(repair.unreadable, [2..=2, 4..=4]);
    assert!(repair.problem.contains("after change 1: "), "{}", repair.problem);
}

#[test]
fn repair_of_a_missing_segment_gives_up_its_changes() {
    let data = Data::with_new_history(SHORT_SEGMENT);
    let segments = data.files("journal");
    let first = |path: &Path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    let (gone, next) = (&segments[5], &segments[6]);
    fs::remove_file(gone).unwrap();
    let whole = data.copy();
    data.remove("state");
    let repair = data.repair(true).unwrap().unwrap();
    assert_eq!(repair.unreadable, [first(gone)..=first(next) - 1]);
    assert_eq!((repair.source, repair.last), (Source::Journal, CHANGES));
    // No damage, no loss.
    let mut whole = whole;
    assert_eq!(whole.check_repaired().source, Source::State);
}

#[test]
fn repair_of_a_journal_without_a_key_leaves_one_that_can_be_written() {
    let mut data = Data::empty();
    let store = data.open(ONE_SEGMENT).unwrap();
    let key = new_key();
    commit(&store, ChangeKind::Create, key.id, Some(key.clone())).unwrap();
    commit(&store, ChangeKind::Revoke, key.id, None).unwrap();
    drop(store);
    data.revoked.insert(key.id);
    flip(&data.files("journal")[0], 100, 1);
    data.check_refused();
    assert_eq!(data.check_repaired().keys, 0);
    let store = data.open(ONE_SEGMENT).unwrap();
    data.check(&store);
    assert!(store.revision() > 1024, "numbers that may have been used are not used again");
}

#[test]
fn repair_that_was_killed_between_two_renames_can_be_done_again() {
    let mut data = Data::with_history();
    let older = data.copy();
    let store = data.open(ONE_SEGMENT).unwrap();
    data.change(&store, 50);
    drop(store);
    flip(&data.files("journal")[0], 5000, 4);
    let repaired = data.copy();
    repaired.repair(true).unwrap().unwrap();
    // The old journal is set aside, the new one not yet in its place. The state
    // has keys that the journal has revoked since: they must not come back.
    for state in [None, Some(older.path().join("state"))] {
        let mut data = data.copy();
        data.remove("journal");
        data.remove("state");
        if let Some(state) = state {
            copy(&state, &data.path().join("state"));
        }
        copy(&repaired.path().join("journal"), &data.path().join("journal.repaired"));
        assert!(data.check_refused().contains("the journal is missing"));
        assert_eq!(data.check_repaired().source, Source::Interrupted);
    }
}

#[test]
fn repair_names_a_beginning_that_cannot_be_read() {
    let data = Data::with_history();
    data.remove("state");
    let [segment] = data.files("journal").try_into().unwrap();
    flip(&segment, 100, 1);
    let repair = data.repair(false).unwrap().unwrap();
    assert_eq!(repair.unreadable.first().map(|range| *range.start()), Some(1));
}

#[test]
fn repair_leaves_alone_what_it_does_not_know() {
    let data = Data::with_history();
    assert_eq!(data.repair(true).unwrap(), None);

    let elsewhere = data.path().join("elsewhere");
    let error = repair(&elsewhere, Timestamp(0), true).unwrap_err();
    assert!(matches!(error, RepairError::Nothing(_)), "{error}");
    assert!(!elsewhere.exists());

    let [segment] = data.files("journal").try_into().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..60]).to_le_bytes();
    bytes[60..64].copy_from_slice(&crc);
    fs::write(&segment, &bytes).unwrap();
    let before = data.contents();
    assert!(matches!(data.open(ONE_SEGMENT).err(), Some(OpenError::Journal(_))));
    assert!(matches!(data.repair(true), Err(RepairError::Journal(JournalError::Version { .. }))));
    assert!(data.contents() == before);

    fs::write(&segment, "").unwrap();
    data.remove("state");
    assert!(matches!(data.repair(true), Err(RepairError::Nothing(_))));
}

#[test]
fn a_directory_is_used_by_one_at_a_time() {
    let data = Data::empty();
    let store = data.open(ONE_SEGMENT).unwrap();
    for error in [
        data.open(ONE_SEGMENT).err().unwrap(),
        match data.repair(false) {
            Err(RepairError::Open(error)) => error,
            other => panic!("{other:?}"),
        },
    ] {
        let text = error.to_string();
        assert!(
            text.contains(&format!("in use by another process (process {})", std::process::id()))
        );
    }
    drop(store);
    data.open(ONE_SEGMENT).unwrap();
}
