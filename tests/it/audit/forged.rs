//! Somebody who can write the files, and knows their format, changes the log: it
//! is found, and the record is named.

use std::{fs, path::PathBuf};

use octavia_authz::pb::storage::{Commit, change::Effect};
use prost::Message as _;
use serde_json::Value;
use tempfile::TempDir;

use super::{audit, verify};
use crate::{
    command_line::{program, run},
    sidecar::Sidecar,
};

/// What stands before the frames of a segment.
const HEADER: usize = 64;

/// A frame: `"JFR1" | length | CRC | head [32] | CRC | commit | 0xff`.
#[derive(Clone)]
struct Frame {
    head: [u8; 32],
    commit: Vec<u8>,
}

impl Frame {
    /// Its bytes, with checksums that are right.
    fn bytes(&self) -> Vec<u8> {
        let len = u32::try_from(self.commit.len()).unwrap().to_le_bytes();
        let crc = crc32c::crc32c(&[&len[..], &self.head, &self.commit].concat());
        let mut bytes = [&b"JFR1"[..], &len, &crc.to_le_bytes(), &self.head].concat();
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes.extend(&self.commit);
        bytes.push(0xff);
        bytes
    }

    /// The same, with its key's role another.
    fn promoted(&self) -> Self {
        let mut commit = Commit::decode(&self.commit[..]).unwrap();
        let Some(Effect::Put(key)) = &mut commit.changes[0].effect else { panic!("no key") };
        key.role = "super_admin".into();
        Self { commit: commit.encode_to_vec(), ..self.clone() }
    }
}

/// A copy of a log, and who changes it.
struct Attacker {
    dir: TempDir,
    header: Vec<u8>,
    frames: Vec<Frame>,
}

impl Attacker {
    fn of(sidecar: &Sidecar) -> Self {
        let name = "journal/00000000000000000001.journal";
        let bytes = fs::read(sidecar.dir().join(name)).unwrap();
        let mut frames = Vec::new();
        let mut at = HEADER;
        while at < bytes.len() {
            let len = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
            let head = bytes[at + 12..at + 44].try_into().unwrap();
            let commit = bytes[at + 48..at + 48 + len].to_vec();
            frames.push(Frame { head, commit });
            assert_eq!(frames.last().unwrap().bytes(), bytes[at..at + 49 + len]);
            at += 49 + len;
        }
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("journal")).unwrap();
        Self { dir, header: bytes[..HEADER].to_vec(), frames }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("journal/00000000000000000001.journal")
    }

    /// Where the frame `number` begins.
    fn offset(&self, number: usize) -> usize {
        HEADER + self.frames[..number].iter().map(|frame| frame.bytes().len()).sum::<usize>()
    }

    /// Writes `frames`, and gives what `audit verify` says of them.
    fn verify(&self, frames: &[Frame], args: &[&str], code: i32) -> Value {
        let frames = frames.iter().flat_map(Frame::bytes);
        fs::write(self.file(), self.header.iter().copied().chain(frames).collect::<Vec<_>>())
            .unwrap();
        self.verify_written(args, code)
    }

    fn verify_written(&self, args: &[&str], code: i32) -> Value {
        let mut command = program();
        command.args(["audit", "verify", "-o", "json", "--data-dir"]).arg(self.dir.path());
        command.args(args);
        run(command).json(code)
    }

    /// The chain made anew behind what was changed.
    fn rechained(frames: &[Frame]) -> Vec<Frame> {
        let mut head = [0; 32];
        let rechain = |frame: &Frame| {
            head = *blake3::hash(&[&head[..], &frame.commit].concat()).as_bytes();
            Frame { head, commit: frame.commit.clone() }
        };
        frames.iter().map(rechain).collect()
    }
}

#[track_caller]
fn assert_broken(found: &Value, sequence: u64, words: &str) {
    assert_eq!(found["valid"], false, "{found}");
    assert_eq!(found["broken_sequence"], sequence, "{found}");
    assert_eq!(found["last_sequence"], sequence - 1, "{found}");
    assert!(found["problem"].as_str().unwrap().contains(words), "{found}");
}

/// A sidecar that made ten changes, one frame each.
async fn ten_changes() -> Sidecar {
    let sidecar = Sidecar::start();
    for _ in 0..10 {
        sidecar.create("writer").await;
    }
    sidecar
}

#[tokio::test]
async fn a_record_that_was_changed_removed_or_reordered_is_named() {
    let sidecar = ten_changes().await;
    let attacker = Attacker::of(&sidecar);
    let frames = &attacker.frames;
    assert_eq!(frames.len(), 10);
    let whole = attacker.verify(frames, &[], 0);
    assert_eq!((&whole["valid"], &whole["last_sequence"]), (&true.into(), &10.into()));

    let mut changed = frames.clone();
    changed[4] = changed[4].promoted();
    let found = attacker.verify(&changed, &[], 1);
    assert_broken(&found, 5, "record 5 was changed");
    assert_eq!(found["broken_offset"], attacker.offset(4), "{found}");
    assert_eq!(found["broken_file"], attacker.file().display().to_string());

    // With its own head made anew, but not the ones behind it.
    let previous = [&frames[3].head[..], &changed[4].commit].concat();
    changed[4].head = *blake3::hash(&previous).as_bytes();
    assert_broken(&attacker.verify(&changed, &[], 1), 6, "record 6 was changed");

    let mut removed = frames.clone();
    removed.remove(6);
    assert_broken(&attacker.verify(&removed, &[], 1), 7, "record 7 was removed");
    removed.drain(6..8);
    assert_broken(&attacker.verify(&removed, &[], 1), 7, "records 7 to 9 were removed");
    removed.remove(0);
    let found = attacker.verify(&removed, &[], 1);
    assert_eq!((&found["broken_sequence"], &found["last_sequence"]), (&1.into(), &0.into()));

    let mut reordered = frames.clone();
    reordered.swap(2, 3);
    assert_broken(&attacker.verify(&reordered, &[], 1), 3, "reordered: record 4 stands where");
    let mut repeated = frames.clone();
    repeated.insert(5, frames[1].clone());
    assert_broken(&attacker.verify(&repeated, &[], 1), 6, "reordered");

    // Without checksums.
    attacker.verify(frames, &[], 0);
    let mut bytes = fs::read(attacker.file()).unwrap();
    let at = attacker.offset(7) + 60;
    bytes[at] ^= 1;
    fs::write(attacker.file(), &bytes).unwrap();
    let found = attacker.verify_written(&[], 1);
    assert_broken(&found, 8, "record 8 was changed: the checksum is wrong");
    bytes[at] ^= 1;
    bytes.truncate(attacker.offset(9) + 20);
    fs::write(attacker.file(), &bytes).unwrap();
    // As a process leaves it that is killed.
    let found = attacker.verify_written(&[], 0);
    assert_eq!((&found["last_sequence"], &found["torn_bytes"]), (&9.into(), &20.into()));
    sidecar.finish().await;
}

#[tokio::test]
async fn a_chain_made_anew_is_found_by_a_head_that_was_noted_down() {
    let sidecar = ten_changes().await;
    let attacker = Attacker::of(&sidecar);
    let status = sidecar.maintenance_as(&sidecar.operator_token()).await;
    let status = { status }.get_status(octavia_authz::pb::v1::GetStatusRequest {}).await;
    let status = status.unwrap().into_inner();
    let noted = format!("{}:{}", status.revision, status.journal_head);
    assert_eq!(noted.len(), 67);

    let mut frames = attacker.frames.clone();
    attacker.verify(&frames, &["--head", &noted], 0);
    frames[4] = frames[4].promoted();
    let rewritten = Attacker::rechained(&frames);
    assert_eq!(attacker.verify(&rewritten, &[], 0)["valid"], true);
    let found = attacker.verify(&rewritten, &["--head", &noted], 1);
    assert_eq!(found["valid"], false);
    assert!(found["problem"].as_str().unwrap().contains("record 10 is not the one"), "{found}");
    // All of it may be another one: there is no place to name.
    assert_eq!((&found["broken_sequence"], &found["broken_offset"]), (&0.into(), &0.into()));
    assert_eq!((&found["broken_file"], &found["last_sequence"]), (&"".into(), &10.into()));

    // Cut at the end of a record.
    let found = attacker.verify(&attacker.frames[..8], &["--head", &noted], 1);
    assert_eq!(found["broken_sequence"], 9);
    assert!(found["problem"].as_str().unwrap().contains("ends with record 8"), "{found}");
    sidecar.finish().await;
}

#[tokio::test]
async fn a_running_sidecar_finds_what_was_changed_under_it() {
    let sidecar = ten_changes().await;
    let attacker = Attacker::of(&sidecar);
    let mut log = audit(&sidecar).await;
    let valid = verify(&mut log, 0, "").await;
    assert!(valid.valid, "{valid:?}");
    assert_eq!((valid.first_sequence, valid.last_sequence, valid.broken_sequence), (1, 10, 0));
    let again = verify(&mut log, 10, &valid.head).await;
    assert!(again.valid, "{again:?}");
    let other = verify(&mut log, 9, &valid.head).await;
    assert_eq!((other.valid, other.broken_sequence), (false, 0), "{other:?}");
    let unknown = verify(&mut log, 11, &valid.head).await;
    assert!(unknown.problem.contains("record 11 is not there"), "{unknown:?}");

    // In its place, so that the file stays the one that is open.
    let path = sidecar.dir().join("journal/00000000000000000001.journal");
    let mut bytes = fs::read(&path).unwrap();
    let at = attacker.offset(2) + 60;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let found = verify(&mut log, 0, "").await;
    assert_eq!((found.valid, found.broken_sequence, found.last_sequence), (false, 3, 2));
    assert_eq!(found.broken_file, path.display().to_string());
    bytes[at] ^= 1;
    fs::write(&path, &bytes[..attacker.offset(8)]).unwrap();
    let found = verify(&mut log, 0, "").await;
    assert_eq!((found.valid, found.broken_sequence), (false, 9), "{found:?}");
    assert!(found.problem.contains("cut off"), "{found:?}");
    fs::write(&path, &bytes).unwrap();
    assert!(verify(&mut log, 0, "").await.valid);
    sidecar.finish().await;
}
