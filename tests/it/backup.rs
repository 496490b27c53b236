//! Backup and restore from the command line: what was backed up is restored, all of it,
//! and what cannot be believed is refused.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use octavia_authz::pb::v1::{
    ApiKey, BackupRequest, GetStatusRequest, GetStatusResponse, ListApiKeysRequest,
    RevokeApiKeyRequest, RotateApiKeyRequest,
};
use tempfile::TempDir;
use tonic::Code;

use crate::sidecar::{PROGRAM, Sidecar, without_usage};

const PEPPER_IN_FORCE: &str = "a pepper that is long enough to be one";

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    for name in ["OCTAVIA_AUTHZ_TOKEN", "OCTAVIA_AUTHZ_TOKEN_FILE", "OCTAVIA_AUTHZ_DATA_DIR"] {
        command.env_remove(name);
    }
    command.args(args).output().unwrap()
}

/// Runs a command of the sidecar's operator.
fn backup(sidecar: &Sidecar, out: &str, more: &[&str]) -> Output {
    let server = format!("http://{}", sidecar.admin_listen);
    let token = sidecar.dir().join("operator.token");
    let args = ["backup", "--out", out, "--server", &server, "--token-file", path(&token)];
    run(&[&args, more].concat())
}

fn restore(file: &Path, dir: &Path, more: &[&str]) -> Output {
    run(&[&["restore", path(file), "--data-dir", path(dir)], more].concat())
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What the command says as JSON.
fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn status(sidecar: &Sidecar) -> GetStatusResponse {
    let mut maintenance = sidecar.maintenance_as(&sidecar.operator_token()).await;
    maintenance.get_status(GetStatusRequest {}).await.unwrap().into_inner()
}

async fn all_keys(sidecar: &Sidecar) -> BTreeMap<String, ApiKey> {
    let mut keys = BTreeMap::new();
    let mut client = sidecar.keys().await;
    let mut request = ListApiKeysRequest { page_size: 1000, ..Default::default() };
    loop {
        let page = client.list_api_keys(request.clone()).await.unwrap().into_inner();
        keys.extend(page.api_keys.into_iter().map(|key| (key.id.clone(), without_usage(key))));
        if page.next_page_token.is_empty() {
            return keys;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_changes_restores_to_the_revision_that_it_names() {
    let sidecar = Arc::new(Sidecar::start());
    let dir = TempDir::new().unwrap();
    let mut secrets = Vec::new();
    for role in ["reader", "writer", "read_only", "editor"] {
        if let Ok((key, text)) = try_create(&sidecar, role).await {
            secrets.push((key, text));
        }
    }
    assert!(secrets.len() > 1);
    let (rotated, _) = secrets[0].clone();
    let request = RotateApiKeyRequest { id: rotated.id, ..Default::default() };
    sidecar.keys().await.rotate_api_key(request).await.unwrap();

    let going = Arc::new(AtomicBool::new(true));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (sidecar, going) = (Arc::clone(&sidecar), Arc::clone(&going));
            tokio::spawn(async move {
                let mut keys = sidecar.keys().await;
                let mut made = 0;
                while going.load(Ordering::SeqCst) {
                    let (key, _) = try_create(&sidecar, "read_only").await.unwrap();
                    made += 1;
                    if made % 3 == 0 {
                        let request = RevokeApiKeyRequest { id: key.id, ..Default::default() };
                        keys.revoke_api_key(request).await.unwrap();
                    }
                }
            })
        })
        .collect();
    let mut before = 0;
    for round in 0..3 {
        let file = dir.path().join(format!("under-changes-{round}"));
        let (shared, out) = (Arc::clone(&sidecar), file.clone());
        let output =
            tokio::task::spawn_blocking(move || backup(&shared, path(&out), &["-o", "json"]));
        let made = json(&output.await.unwrap());
        assert!(made["revision"].as_u64().unwrap() > before);
        before = made["revision"].as_u64().unwrap();
        let restored = dir.path().join(format!("restored-{round}"));
        let told = json(&restore(&file, &restored, &["-o", "json"]));
        assert_eq!(told, made);
        let other = Sidecar::start_on(&restored, &[]);
        check(&other, &made).await;
        other.finish().await;
    }
    going.store(false, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }

    let file = dir.path().join("at rest");
    let made = json(&backup(&sidecar, path(&file), &["-o", "json"]));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(made["bytes"].as_u64().unwrap(), fs::metadata(&file).unwrap().len());
    check(&sidecar, &made).await;
    let (keys, token) = (all_keys(&sidecar).await, sidecar.operator_token());
    let bytes = fs::read(&file).unwrap();
    for secret in secrets.iter().map(|(_, text)| text).chain([&token]) {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }

    let restored = dir.path().join("new/restored");
    let output = restore(&file, &restored, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains(made["state_digest"].as_str().unwrap()));
    // At first, after a restart, and rebuilt from the journal.
    for round in 0..3 {
        let other = Sidecar::start_on(&restored, &[]);
        check(&other, &made).await;
        assert_eq!(all_keys(&other).await, keys);
        assert_ne!(other.operator_token(), token);
        for (_, text) in &secrets[1..] {
            let reply = other.authorize(text, "articles.read").await;
            assert_eq!(reply, sidecar.authorize(text, "articles.read").await);
        }
        other.finish().await;
        if round == 1 {
            fs::remove_dir_all(restored.join("state")).unwrap();
        }
    }
}

async fn try_create(sidecar: &Sidecar, role: &str) -> Result<(ApiKey, String), tonic::Status> {
    let request = octavia_authz::pb::v1::CreateApiKeyRequest {
        name: format!("a {role}"),
        role: role.to_owned(),
        ..Default::default()
    };
    let created = sidecar.keys().await.create_api_key(request).await?.into_inner();
    Ok((created.api_key.unwrap(), created.key))
}

/// Asserts that the sidecar serves what a backup says.
async fn check(sidecar: &Sidecar, made: &serde_json::Value) {
    let status = status(sidecar).await;
    assert_eq!(made["revision"].as_u64(), Some(status.revision));
    assert_eq!(made["key_count"].as_u64(), Some(status.key_count));
    assert_eq!(made["state_digest"], status.state_digest);
    assert_eq!(made["journal_head"], status.journal_head);
}

#[tokio::test]
async fn a_restore_refuses_what_it_cannot_believe_and_makes_nothing() {
    let sidecar = Sidecar::start();
    for _ in 0..20 {
        sidecar.create("read_only").await;
    }
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("whole");
    json(&backup(&sidecar, path(&file), &["-o", "json"]));
    let bytes = fs::read(&file).unwrap();
    let (damaged, to) = (dir.path().join("damaged"), dir.path().join("restored"));

    let refuse = |file: &Path, more: &[&str], part: &str| {
        for more in [more, &[more, &["--check"]].concat()] {
            let output = restore(file, &to, more);
            assert_eq!(output.status.code(), Some(1), "{}", said(&output));
            assert!(said(&output).contains(part), "no `{part}` in: {}", said(&output));
        }
        assert!(!to.exists());
        assert!(!dir.path().join(".restored.restoring").exists());
    };
    for part in 1..10 {
        fs::write(&damaged, &bytes[..bytes.len() * part / 10]).unwrap();
        refuse(&damaged, &[], "cut short");
        let mut flipped = bytes.clone();
        flipped[bytes.len() * part / 10] ^= 4;
        fs::write(&damaged, flipped).unwrap();
        refuse(&damaged, &[], "damaged at byte");
    }
    let mut newer = bytes.clone();
    newer[8] = 9;
    let crc = crc32c::crc32c(&newer[..12]).to_le_bytes();
    newer[12..16].copy_from_slice(&crc);
    fs::write(&damaged, newer).unwrap();
    refuse(&damaged, &[], "a newer version");
    refuse(Path::new("/nowhere"), &[], "cannot open");

    fs::create_dir(&to).unwrap();
    fs::write(to.join("mine"), "").unwrap();
    let output = restore(&file, &to, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("is not empty"), "{}", said(&output));
    assert_eq!(fs::read(to.join("mine")).unwrap(), b"");
    let output = restore(&file, &to, &["--check"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[tokio::test]
async fn a_restore_asks_for_the_pepper_that_the_keys_need() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let pepper = dir.path().join("pepper");
    fs::write(&pepper, PEPPER_IN_FORCE).unwrap();
    let id = octavia_authz::digest::Pepper::read(&pepper).unwrap().id();
    let sidecar = Sidecar::start_on(&data, &["--pepper-file", path(&pepper)]);
    let (_, text) = sidecar.create("read_only").await;
    let file = dir.path().join("backup");
    json(&backup(&sidecar, path(&file), &["-o", "json"]));

    let other = dir.path().join("other");
    fs::write(&other, "another pepper that is long enough").unwrap();
    let to = dir.path().join("restored");
    for more in
        [&[][..], &["--pepper-file", path(&other)], &["--pepper-file", path(&other), "--check"]]
    {
        let output = restore(&file, &to, more);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(&id.to_string()), "{}", said(&output));
        assert!(!to.exists());
    }
    let output = restore(&file, &to, &["--pepper-file", path(&pepper)]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(octavia_authz::store::pepper_of(&to).unwrap(), Some(id));
    let restored = Sidecar::start_on(&to, &["--pepper-file", path(&pepper)]);
    assert_eq!(restored.authorize(&text, "media.read").await.key_id.len(), 10);
}

#[tokio::test]
async fn a_file_is_replaced_only_by_force_and_only_by_a_whole_backup() {
    let sidecar = Sidecar::start();
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("backup");
    fs::write(&file, "mine").unwrap();
    let output = backup(&sidecar, path(&file), &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("--force"), "{}", said(&output));
    let output = backup(&sidecar, path(&file), &["--force", "--token", "wrong"]);
    assert!(!output.status.success());
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let output = backup(&sidecar, path(&file), &["--force"]);
    assert!(output.status.success(), "{}", said(&output));

    let output = backup(&sidecar, "-", &[]);
    assert!(output.status.success(), "{}", said(&output));
    let piped = dir.path().join("piped");
    fs::write(&piped, output.stdout).unwrap();
    let output = restore(&piped, dir.path(), &["--check"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[tokio::test]
async fn a_backup_is_for_the_operator_alone() {
    let sidecar = Sidecar::start();
    let (_, admin) = sidecar.create("admin").await;
    let mut maintenance = sidecar.maintenance_as(&admin).await;
    let error = maintenance.backup(BackupRequest {}).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    let mut maintenance = sidecar.maintenance_as("nobody").await;
    let error = maintenance.backup(BackupRequest {}).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
}
