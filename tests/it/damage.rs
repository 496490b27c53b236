//! What a real sidecar does on damaged data, a full disk, and a directory that it
//! cannot have: it serves everything, or it says what is wrong and exits 1.
//!
//! Every position of every file is tried in process, in `src/store/tests.rs`.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use octavia_authz::pb::v1::ApiKey;
use octavia_authz::pb::v1::{
    AuthorizeRequest, BatchAuthorizeRequest, CreateApiKeyRequest, DecisionReason, GetStatusRequest,
    GetStatusResponse, KeyStatus, ListApiKeysRequest, RevokeApiKeyRequest, RotateApiKeyRequest,
    UpdateApiKeyRequest,
};
use tempfile::TempDir;
use tokio::{sync::OnceCell, task::JoinSet, time::timeout};
use tonic::Code;

use crate::sidecar::{PATIENCE, PROGRAM, Sidecar, step, without_usage};

/// Keys that are created, changed, and each third revoked.
const KEYS: usize = 100;

/// A directory that a sidecar left behind after an orderly stop, and what it held.
#[derive(Clone, Default)]
struct Left {
    files: BTreeMap<PathBuf, Vec<u8>>,
    keys: Vec<ApiKey>,
    /// Texts that are accepted.
    living: Vec<String>,
    /// Texts that were revoked or replaced.
    dead: Vec<String>,
    digest: String,
    revision: u64,
}

/// The same, in a directory.
struct Data {
    dir: TempDir,
    left: Left,
}

/// Made once. What a last change added, and before it.
static LEFT: OnceCell<(Left, Left)> = OnceCell::const_new();

async fn left() -> &'static (Left, Left) {
    LEFT.get_or_init(|| async {
        let dir = TempDir::new().unwrap();
        let sidecar = Sidecar::start_on(dir.path(), &[]);
        let mut before = Left::default();
        let mut tasks = JoinSet::new();
        for key in 0..KEYS {
            let mut client = sidecar.keys().await;
            tasks.spawn(async move {
                let (name, role) = (format!("key {key}"), "writer".to_owned());
                let request = CreateApiKeyRequest { name, role, ..Default::default() };
                let created = client.create_api_key(request).await.unwrap().into_inner();
                let id = created.api_key.unwrap().id;
                let request = UpdateApiKeyRequest {
                    id: id.clone(),
                    update_mask: Some(prost_types::FieldMask { paths: vec!["role".to_owned()] }),
                    api_key: Some(ApiKey { role: "publisher".to_owned(), ..Default::default() }),
                    ..Default::default()
                };
                client.update_api_key(request).await.unwrap();
                let request = RotateApiKeyRequest { id: id.clone(), ..Default::default() };
                let rotated = client.rotate_api_key(request).await.unwrap().into_inner();
                if key % 3 > 0 {
                    return (Some(rotated.key), vec![created.key]);
                }
                let request = RevokeApiKeyRequest { id, ..Default::default() };
                client.revoke_api_key(request).await.unwrap();
                (None, vec![created.key, rotated.key])
            });
        }
        for (living, dead) in tasks.join_all().await {
            before.living.extend(living);
            before.dead.extend(dead);
        }
        before.take(&sidecar).await;
        assert_eq!(sidecar.stop().await.code(), Some(0));
        before.files = files(dir.path());

        let sidecar = Sidecar::start_on(dir.path(), &[]);
        let mut after = before.clone();
        after.living.push(sidecar.create("publisher").await.1);
        after.take(&sidecar).await;
        assert_eq!(sidecar.stop().await.code(), Some(0));
        after.files = files(dir.path());
        (before, after)
    })
    .await
}

impl Left {
    /// What `sidecar` says that it has.
    async fn take(&mut self, sidecar: &Sidecar) {
        let status = status(sidecar).await;
        self.keys = keys(sidecar).await;
        (self.digest, self.revision) = (status.state_digest, status.revision);
    }

    fn path(&self, part: &str) -> PathBuf {
        let mut paths = self.files.keys().filter(|path| path.to_string_lossy().contains(part));
        paths.next().unwrap_or_else(|| panic!("no {part}")).clone()
    }
}

impl Data {
    fn of(left: &Left) -> Self {
        let data = Self { dir: TempDir::new().unwrap(), left: left.clone() };
        for (path, bytes) in &left.files {
            let path = data.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        data
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Changes the file whose name has `part`.
    fn damage(&self, part: &str, damage: impl FnOnce(&mut Vec<u8>)) {
        let path = self.left.path(part);
        let mut bytes = self.left.files[&path].clone();
        damage(&mut bytes);
        fs::write(self.path().join(path), bytes).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_dir_all(self.path().join(name)).unwrap();
    }

    /// Asserts that a sidecar serves all that was there, and no more. Gives its log.
    async fn check_served(&self) -> String {
        let sidecar = Sidecar::start_on(self.path(), &[]);
        let status = status(&sidecar).await;
        assert_eq!(
            (&status.state_digest, status.revision),
            (&self.left.digest, self.left.revision)
        );
        assert_eq!(keys(&sidecar).await, self.left.keys);
        self.check_decisions(&sidecar).await;
        let log = sidecar.log();
        assert_eq!(sidecar.stop().await.code(), Some(0));
        log
    }

    async fn check_decisions(&self, sidecar: &Sidecar) {
        let living = self.left.living.iter().map(|text| (text, DecisionReason::Allowed));
        let dead = self.left.dead.iter().map(|text| (text, DecisionReason::KeyUnknown));
        let wanted: Vec<_> = living.chain(dead).collect();
        let requests = wanted.iter().map(|(text, _)| publish(text));
        let request = BatchAuthorizeRequest { requests: requests.collect() };
        let mut client = sidecar.authorization().await;
        let responses = client.batch_authorize(request).await.unwrap().into_inner().responses;
        let reasons = responses.iter().map(|response| response.reason());
        assert!(reasons.eq(wanted.iter().map(|(_, reason)| *reason)));
    }

    /// Asserts that a start exits 1 and leaves every file in the directory as it is.
    /// Gives what it says.
    fn check_refused(&self) -> String {
        self.check_refused_without_change_to("")
    }

    /// The same, but only for files below `name`.
    fn check_refused_without_change_to(&self, name: &str) -> String {
        let files = || {
            let mut files = files(self.path());
            files.retain(|path, _| path.starts_with(name));
            files
        };
        let before = files();
        let Err((status, log)) = Sidecar::try_start_on(self.path(), &[]) else {
            panic!("it serves");
        };
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(!log.contains("panicked"), "{log}");
        assert!(files() == before, "files were changed: {log}");
        let advice = format!("octavia-authz repair --data-dir {}", self.path().display());
        for part in ["may be missing, so nothing is served", "put back a copy", &advice] {
            assert!(log.contains(part), "{log}");
        }
        log
    }

    /// What a repair says that ends with `code`.
    fn repair(&self, code: i32, args: &[&str]) -> String {
        let mut command = Command::new(PROGRAM);
        command.args(["repair", "--data-dir"]).arg(self.path()).args(args);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let complaints = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}{complaints}");
        said
    }
}

fn publish(text: &str) -> AuthorizeRequest {
    let (key, action) = (text.to_owned(), "articles.publish".to_owned());
    AuthorizeRequest { key, action, ..Default::default() }
}

async fn status(sidecar: &Sidecar) -> GetStatusResponse {
    let mut client = sidecar.maintenance_as(&sidecar.operator_token()).await;
    client.get_status(GetStatusRequest {}).await.unwrap().into_inner()
}

async fn keys(sidecar: &Sidecar) -> Vec<ApiKey> {
    let request = ListApiKeysRequest { page_size: 1000, ..Default::default() };
    let page = sidecar.keys().await.list_api_keys(request).await.unwrap().into_inner();
    assert_eq!(page.next_page_token, "");
    page.api_keys.into_iter().map(without_usage).collect()
}

/// Every file below `dir` but the lock, and its content.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if !path.ends_with("lock") {
                let bytes = fs::read(&path).unwrap();
                files.insert(path.strip_prefix(dir).unwrap().to_owned(), bytes);
            }
        }
    }
    files
}

/// Where the frames of a journal begin, and its end.
fn frames(journal: &[u8]) -> Vec<usize> {
    let starts = journal.windows(4).enumerate().filter(|(_, window)| *window == b"JFR1");
    starts.map(|(at, _)| at).chain([journal.len()]).collect()
}

#[tokio::test]
async fn a_damaged_state_is_rebuilt_and_everything_is_served() {
    let (_, left) = left().await;
    assert!(left.revision > 300);
    let damages: [fn(&Data); 8] = [
        |data| data.damage("state/db", |bytes| bytes[1000] ^= 0x10),
        |data| data.damage("state/db", |bytes| bytes.fill(0xaa)),
        |data| data.damage("state/db", |bytes| bytes.truncate(bytes.len() / 2)),
        |data| data.damage("state/conf", |bytes| bytes[3] ^= 0x01),
        |data| data.damage("state/snap.", |bytes| bytes[12] ^= 0x80),
        |data| data.damage("state/snap.", Vec::clear),
        |data| data.remove("state"),
        |data| {
            let name = "state/snap.00000000000000FF.generating";
            fs::write(data.path().join(name), "half").unwrap();
        },
    ];
    for damage in damages {
        let data = Data::of(left);
        damage(&data);
        data.check_served().await;
        // And once more, now that nothing is wrong.
        let log = data.check_served().await;
        assert!(!log.contains("set_aside"), "{log}");
    }
}

#[tokio::test]
async fn a_torn_last_change_is_cut_off_and_the_sidecar_goes_on() {
    let (before, after) = left().await;
    let start = before.files[&before.path("journal/")].len();
    let end = after.files[&after.path("journal/")].len();
    for cut in [start + 1, start + 30, start + 60, end - 1] {
        let data = Data::of(before);
        let journal = &after.files[&after.path("journal/")];
        fs::write(data.path().join(after.path("journal/")), &journal[..cut]).unwrap();
        let log = data.check_served().await;
        assert!(log.contains("cut off a change that was begun and never acknowledged"), "{log}");

        let sidecar = Sidecar::start_on(data.path(), &[]);
        let (_, text) = sidecar.create("publisher").await;
        sidecar.kill();
        let sidecar = Sidecar::start_on(data.path(), &[]);
        assert!(sidecar.authorize(&text, "articles.publish").await.allowed);
        data.check_decisions(&sidecar).await;
    }
}

#[tokio::test]
async fn a_damaged_journal_is_refused_until_it_is_repaired() {
    let (_, left) = left().await;
    let frames = frames(&left.files[&left.path("journal/")]);
    // Changes that came together are one frame: how many there are, nobody knows.
    let (middle, last) = (frames[frames.len() / 2], frames[frames.len() - 2]);
    // Header, and of a frame: magic, length, checksum, chain head, payload.
    for (at, offset) in [20, middle, middle + 5, middle + 9, middle + 20, middle + 100, last + 5]
        .into_iter()
        .zip([0, middle, middle, middle, middle, middle, last])
    {
        let data = Data::of(left);
        data.damage("journal/", |bytes| bytes[at] ^= 0x04);
        let log = data.check_refused();
        let journal = data.path().join(left.path("journal/"));
        let place = format!(
            "the journal is damaged in `{}` at byte {offset}, after change ",
            journal.display()
        );
        assert!(log.contains(&place), "{log}");

        let broken = files(data.path());
        let said = data.repair(1, &[]);
        assert!(files(data.path()) == broken, "a dry run changes nothing");
        for part in [&place, "nothing was changed; run it again with --apply to do it"] {
            assert!(said.contains(part), "{said}");
        }
        let said = data.repair(0, &["--apply"]);
        let aside = data.path().join("journal.damaged-1");
        for part in [
            format!("keys that are kept: {}", left.keys.len()),
            "taken from: the state, which is whole".to_owned(),
            format!("given up: every change after {}, if there was one", left.revision),
            format!("done; the old journal is `{}`", aside.display()),
        ] {
            assert!(said.contains(&part), "{said}");
        }
        assert!(aside.is_dir());
        for args in [&[][..], &["--apply"]] {
            assert_eq!(data.repair(0, args), "nothing is wrong with the journal\n");
        }

        let sidecar = Sidecar::start_on(data.path(), &[]);
        data.check_decisions(&sidecar).await;
        let (_, text) = sidecar.create("publisher").await;
        sidecar.kill();
        let sidecar = Sidecar::start_on(data.path(), &[]);
        data.check_decisions(&sidecar).await;
        assert!(sidecar.authorize(&text, "articles.publish").await.allowed);
    }
}

#[tokio::test]
async fn a_repair_without_a_state_names_what_it_gives_up() {
    let (_, left) = left().await;
    let journal = &left.files[&left.path("journal/")];
    let data = Data::of(left);
    data.remove("state");
    // The last change, which created a key.
    let frames = frames(journal);
    data.damage("journal/", |bytes| bytes[frames[frames.len() - 2] + 70] ^= 1);
    data.check_refused();
    let said = data.repair(0, &["--apply"]);
    for part in [
        format!("keys that are kept: {}", left.keys.len() - 1),
        "taken from: the changes that can be read".to_owned(),
        format!("given up: every change after {}, if there was one", left.revision - 1),
        "check the keys, and rotate or revoke those in doubt".to_owned(),
    ] {
        assert!(said.contains(&part), "{said}");
    }
    let sidecar = Sidecar::start_on(data.path(), &[]);
    let (lost, kept) = left.living.split_last().unwrap();
    for text in kept.iter().take(5) {
        assert!(sidecar.authorize(text, "articles.publish").await.allowed);
    }
    let lost = sidecar.authorize(lost, "articles.publish").await;
    assert_eq!(lost.reason(), DecisionReason::KeyUnknown);
    for text in left.dead.iter().take(5) {
        let dead = sidecar.authorize(text, "articles.publish").await;
        assert_eq!(dead.reason(), DecisionReason::KeyUnknown);
    }
}

#[tokio::test]
async fn a_journal_that_is_missing_or_older_is_refused() {
    let (before, after) = left().await;
    let data = Data::of(after);
    data.remove("journal");
    assert!(data.check_refused().contains("the journal is missing"));
    let said = data.repair(0, &["--apply"]);
    assert!(said.contains("problem: the journal is missing"), "{said}");
    let sidecar = Sidecar::start_on(data.path(), &[]);
    data.check_decisions(&sidecar).await;

    let data = Data::of(after);
    data.damage("journal/", |bytes| bytes.truncate(before.files[&before.path("journal/")].len()));
    // Only the state can tell, and opening sled writes.
    let said = data.check_refused_without_change_to("journal");
    let wanted = format!(
        "the journal ends with change {}, but the state has change {}",
        before.revision, after.revision
    );
    assert!(said.contains(&wanted), "{said}");
    assert!(data.repair(0, &["--apply"]).contains(&wanted));
    let sidecar = Sidecar::start_on(data.path(), &[]);
    data.check_decisions(&sidecar).await;
}

#[tokio::test]
async fn a_second_sidecar_on_the_directory_exits_1_and_harms_nobody() {
    let (_, left) = left().await;
    let data = Data::of(left);
    let first = Sidecar::start_on(data.path(), &[]);
    let started = Instant::now();
    let (status, log) = Sidecar::try_start_on(data.path(), &[]).err().expect("no start");
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(started.elapsed() < Duration::from_secs(5));
    let wanted =
        format!("is in use by another process (process {}); stop it, or choose", first.pid());
    assert!(log.contains(&wanted), "{log}");
    let output = Command::new(PROGRAM)
        .args(["repair", "--apply", "--data-dir"])
        .arg(data.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("is in use by another process"));
    data.check_decisions(&first).await;
    first.create("writer").await;
    assert_eq!(first.stop().await.code(), Some(0));
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    // Root may write everywhere, but not below a file.
    for path in [file.join("data"), file.join("more/data"), file] {
        let (status, log) = Sidecar::try_start_on(&path, &[]).err().expect("no start");
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(&path.display().to_string()), "{log}");
        assert!(log.contains("must be on a disk with free space and writable"), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// Longer than sled keeps to itself what it was given.
const SLED_FLUSHES: Duration = Duration::from_millis(1500);

/// A file system of its own, unmounted when dropped.
struct Mount(TempDir);

impl Mount {
    fn new(size: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let options = format!("size={size}");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path());
        assert!(command.status().unwrap().success());
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, option: &str) {
        let mut command = Command::new("mount");
        command.args(["-o", &format!("remount,{option}")]).arg(self.path());
        assert!(command.status().unwrap().success());
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Leaves no free byte but those in files' last blocks.
    fn fill(&self) {
        let mut file = fs::File::options().create(true).append(true).open(self.filler()).unwrap();
        for len in [1 << 20, 4096, 1] {
            while file.write_all(&vec![1; len]).is_ok() {}
        }
    }

    /// Gives a block back.
    fn give_back(&self) {
        let file = fs::File::options().write(true).open(self.filler()).unwrap();
        file.set_len(file.metadata().unwrap().len().saturating_sub(4096)).unwrap();
    }

    fn clear(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

/// Texts whose keys were acknowledged on a disk that fills up.
struct Filling {
    mount: Mount,
    sidecar: Option<Sidecar>,
    texts: Vec<String>,
}

impl Filling {
    async fn start() -> Self {
        let mount = Mount::new("48m");
        let sidecar = Sidecar::start_on(&mount.path().join("data"), &[]);
        let mut filling = Self { mount, sidecar: Some(sidecar), texts: Vec::new() };
        for _ in 0..20 {
            filling.create().await.unwrap();
        }
        filling
    }

    fn sidecar(&self) -> &Sidecar {
        self.sidecar.as_ref().unwrap()
    }

    fn data_dir(&self) -> PathBuf {
        self.mount.path().join("data")
    }

    async fn create(&mut self) -> Result<(), tonic::Status> {
        let request = CreateApiKeyRequest {
            name: "a key".to_owned(),
            role: "publisher".to_owned(),
            description: "d".repeat(900),
            status: KeyStatus::Active.into(),
            ..Default::default()
        };
        let mut client = self.sidecar().keys().await;
        let created =
            timeout(PATIENCE, client.create_api_key(request)).await.expect("an answer")?;
        self.texts.push(created.into_inner().key);
        Ok(())
    }

    /// Every key, or why not.
    async fn authorize_all(&self) -> Result<(), tonic::Status> {
        let mut client = self.sidecar().authorization().await;
        for text in &self.texts {
            let answer = timeout(PATIENCE, client.authorize(publish(text))).await;
            assert!(answer.expect("an answer")?.into_inner().allowed);
        }
        Ok(())
    }

    /// Creates keys until one is refused, and says how.
    async fn create_until_refused(&mut self) -> tonic::Status {
        for _ in 0..2000 {
            if let Err(status) = self.create().await {
                return status;
            }
        }
        panic!("never refused");
    }

    /// Waits until the log has `part`.
    async fn logs(&self, part: &str, patience: Duration) -> bool {
        let started = Instant::now();
        while started.elapsed() < patience {
            if self.sidecar().log().contains(part) {
                return true;
            }
            step().await;
        }
        false
    }

    /// Asserts that a change was not acknowledged because it could not be.
    async fn check_refusal(&mut self, refused: &tonic::Status) {
        match refused.code() {
            Code::ResourceExhausted => self.authorize_all().await.unwrap(),
            // The journal took the change, and sled did not.
            Code::Unknown => self.check_stops().await,
            _ => panic!("{refused}"),
        }
    }

    /// Asserts that it stops because of its store, soon, and says so.
    async fn check_stops(&mut self) {
        assert!(self.logs("error: the store has stopped, so the sidecar stops", PATIENCE).await);
        let sidecar = self.sidecar.take().unwrap();
        let log = sidecar.log();
        assert!(!log.contains("panicked"), "{log}");
        assert_eq!(sidecar.wait().await.code(), Some(1), "{log}");
    }

    /// Asserts that with space again nothing that was acknowledged is missing.
    async fn check_after_restart(&mut self) {
        drop(self.sidecar.take());
        let _ = fs::remove_file(self.mount.filler());
        self.sidecar = Some(Sidecar::start_on(&self.data_dir(), &[]));
        self.authorize_all().await.unwrap();
        self.create().await.unwrap();
        self.authorize_all().await.unwrap();
        assert_eq!(self.sidecar.take().unwrap().stop().await.code(), Some(0));
    }
}

#[tokio::test]
#[ignore = "needs root, to mount a small file system"]
async fn on_a_full_disk_changes_are_refused_and_decisions_go_on() {
    let mut filling = Filling::start().await;
    filling.mount.fill();
    let refused = filling.create_until_refused().await;
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("fewer than 32 MiB are free"), "{refused}");
    filling.authorize_all().await.unwrap();
    // Sled finds out by itself, and later: if it has not written all yet.
    filling.logs("sled::", SLED_FLUSHES).await;
    filling.authorize_all().await.unwrap();
    let refused = filling.create().await.unwrap_err();
    filling.check_refusal(&refused).await;
    if let Some(sidecar) = filling.sidecar.take() {
        let stopped = timeout(PATIENCE, sidecar.stop()).await.expect("the stop does not hang");
        assert_eq!(stopped.code(), Some(0));
    }
    filling.check_after_restart().await;
}

#[tokio::test]
#[ignore = "needs root, to mount a small file system"]
async fn on_a_disk_that_was_full_for_a_while_it_goes_on() {
    let mut filling = Filling::start().await;
    // All that sled has to write is written before the disk is full.
    filling.logs("nothing", SLED_FLUSHES).await;
    for _ in 0..3 {
        filling.mount.fill();
        let refused = filling.create_until_refused().await;
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        filling.logs("nothing", SLED_FLUSHES).await;
        filling.mount.clear();
        filling.create().await.unwrap();
        filling.authorize_all().await.unwrap();
        filling.logs("nothing", SLED_FLUSHES).await;
    }
    filling.check_after_restart().await;
}

/// A refusal that rests on a change which was then not made must not be given as
/// the truth: who reads NOT_FOUND believes the key is gone.
#[tokio::test]
#[ignore = "needs root, to mount a small file system"]
async fn a_revocation_that_cannot_be_written_is_not_told_as_done_to_those_behind_it() {
    let mut filling = Filling::start().await;
    filling.mount.fill();
    filling.create_until_refused().await;
    let id = filling.texts[0][5..15].to_owned();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (mut client, id) = (filling.sidecar().keys().await, id.clone());
        calls.spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..50 {
                let request = RevokeApiKeyRequest { id: id.clone(), ..Default::default() };
                answers.push(client.revoke_api_key(request).await.unwrap_err().code());
            }
            answers
        });
    }
    for code in calls.join_all().await.into_iter().flatten() {
        assert_eq!(code, Code::ResourceExhausted);
    }
    filling.authorize_all().await.unwrap();
}

#[tokio::test]
#[ignore = "needs root, to mount a small file system"]
async fn on_a_disk_with_space_again_it_goes_on_or_stops_to_be_started_again() {
    for wait_for_sled in [false, true] {
        let mut filling = Filling::start().await;
        filling.mount.fill();
        let refused = filling.create_until_refused().await;
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        if wait_for_sled {
            filling.logs("sled::", SLED_FLUSHES).await;
        }
        filling.mount.clear();
        if let Err(refused) = filling.create().await {
            filling.check_refusal(&refused).await;
        }
        filling.check_after_restart().await;
    }
}

#[tokio::test]
#[ignore = "needs root, to mount a small file system"]
async fn on_a_disk_with_a_block_now_and_then_no_acknowledged_change_is_missing() {
    for blocks in 1..6 {
        let mut filling = Filling::start().await;
        filling.mount.fill();
        for _ in 0..20 {
            for _ in 0..blocks {
                filling.mount.give_back();
            }
            let refused = filling.create_until_refused().await;
            filling.check_refusal(&refused).await;
            if filling.sidecar.is_none() {
                break;
            }
        }
        filling.check_after_restart().await;
    }
}

#[tokio::test]
#[ignore = "needs root, to mount a small file system"]
async fn a_start_on_a_full_or_read_only_disk_exits_1_and_says_why() {
    let mut filling = Filling::start().await;
    drop(filling.sidecar.take());
    filling.mount.fill();
    let check = |why: &str| {
        for dir in [filling.data_dir(), filling.mount.path().join("new")] {
            let (status, log) = Sidecar::try_start_on(&dir, &[]).err().expect("no start");
            assert_eq!(status.code(), Some(1), "{log}");
            assert!(!log.contains("panicked"), "{log}");
            for part in [&dir.display().to_string(), "with free space and writable", why] {
                assert!(log.contains(part), "{log}");
            }
        }
    };
    check("No space left on device");
    filling.mount.remount("ro");
    check("Read-only file system");
    filling.mount.remount("rw");
    filling.check_after_restart().await;
}
