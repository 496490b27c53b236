//! The pepper: keys prove themselves only together with it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Instant};

use octavia_authz::pb::v1::{
    DecisionReason, GetStatusRequest, GetStatusResponse, ImportApiKeysRequest, ImportedKey,
    imported_key::Digest,
};
use tempfile::TempDir;

use crate::sidecar::{PATIENCE, Sidecar};

const FIRST: &str = "the first pepper, long enough to be one";
const SECOND: &str = "the second pepper, long enough to be one";

struct Setup {
    dir: TempDir,
}

impl Setup {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("first"), format!("{FIRST}\n")).unwrap();
        fs::write(dir.path().join("second"), SECOND).unwrap();
        Self { dir }
    }

    fn args(&self, current: &str, previous: &str) -> Vec<String> {
        let mut args = Vec::new();
        for (flag, name) in [("--pepper-file", current), ("--previous-pepper-file", previous)] {
            if !name.is_empty() {
                args.extend([flag.to_owned(), self.path(name).display().to_string()]);
            }
        }
        args
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self, current: &str, previous: &str) -> Sidecar {
        let args = self.args(current, previous);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Sidecar::start_on(&self.path("data"), &args)
    }

    /// What it says when it does not start.
    fn refused(&self, current: &str, previous: &str) -> String {
        let args = self.args(current, previous);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        match Sidecar::try_start_on(&self.path("data"), &args) {
            Ok(_) => panic!("it started with {args:?}"),
            Err((status, log)) => {
                assert_eq!(status.code(), Some(2), "{log}");
                log
            }
        }
    }
}

async fn status(sidecar: &Sidecar) -> GetStatusResponse {
    let mut maintenance = sidecar.maintenance_as(&sidecar.operator_token()).await;
    maintenance.get_status(GetStatusRequest {}).await.unwrap().into_inner()
}

async fn outdated(sidecar: &Sidecar, count: u64) {
    let started = Instant::now();
    while status(sidecar).await.outdated_digest_count != count {
        assert!(started.elapsed() < PATIENCE);
    }
}

async fn allowed(sidecar: &Sidecar, text: &str) -> bool {
    let decision = sidecar.authorize(text, "articles.create").await;
    assert!(decision.allowed || decision.reason() == DecisionReason::KeyUnknown, "{decision:?}");
    decision.allowed
}

fn holds(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holds(&path, bytes)
        } else {
            fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes)
        }
    })
}

#[tokio::test]
async fn a_wrong_or_missing_pepper_refuses_the_start_and_says_which_is_needed() {
    let setup = Setup::new();
    let sidecar = setup.start("first", "");
    let fingerprint = status(&sidecar).await.pepper;
    assert_eq!(fingerprint.len(), 16);
    let (_, text) = sidecar.create("writer").await;
    sidecar.finish().await;
    for (current, previous) in [("", ""), ("second", "")] {
        let log = setup.refused(current, previous);
        assert!(log.contains(&fingerprint) && log.contains("--pepper-file"), "{log}");
        assert!(!log.contains("the first") && !log.contains("the second"), "{log}");
    }
    let sidecar = setup.start("first", "");
    assert!(allowed(&sidecar, &text).await);
    sidecar.finish().await;
}

#[tokio::test]
async fn without_a_key_too_the_pepper_is_remembered() {
    let setup = Setup::new();
    setup.start("first", "").finish().await;
    setup.refused("second", "");
    setup.refused("", "");
}

#[tokio::test]
async fn keys_change_over_to_a_new_pepper_at_their_use() {
    let setup = Setup::new();
    let sidecar = setup.start("", "");
    let (_, plain) = sidecar.create("writer").await;
    let (unused, _) = sidecar.create("writer").await;
    assert_eq!(status(&sidecar).await.outdated_digest_count, 0);
    sidecar.finish().await;

    // From none to the first.
    let sidecar = setup.start("first", "");
    assert_eq!(status(&sidecar).await.outdated_digest_count, 2);
    assert!(allowed(&sidecar, &plain).await);
    outdated(&sidecar, 1).await;
    let (_, first) = sidecar.create("writer").await;
    assert!(allowed(&sidecar, &plain).await && allowed(&sidecar, &first).await);
    sidecar.finish().await;

    // From the first to the second.
    let sidecar = setup.start("second", "first");
    outdated(&sidecar, 3).await;
    assert!(allowed(&sidecar, &first).await);
    outdated(&sidecar, 2).await;
    sidecar.finish().await;
    // One key needs the first still.
    let log = setup.refused("second", "");
    assert!(log.contains("--previous-pepper-file") && log.contains("1 secret"), "{log}");
    let sidecar = setup.start("second", "first");
    assert!(allowed(&sidecar, &plain).await);
    outdated(&sidecar, 1).await;
    sidecar.finish().await;
    // What was never digested with a pepper needs none.
    let sidecar = setup.start("second", "");
    assert!(allowed(&sidecar, &plain).await && allowed(&sidecar, &first).await);
    let rotate = octavia_authz::pb::v1::RotateApiKeyRequest { id: unused.id, ..Default::default() };
    sidecar.keys().await.rotate_api_key(rotate).await.unwrap();
    assert_eq!(status(&sidecar).await.outdated_digest_count, 0);
    sidecar.finish().await;

    // And back to none.
    let sidecar = setup.start("", "second");
    assert!(allowed(&sidecar, &plain).await && allowed(&sidecar, &first).await);
    outdated(&sidecar, 1).await;
    sidecar.finish().await;
}

#[tokio::test]
async fn what_lies_on_the_disk_proves_no_guess_without_the_pepper() {
    let setup = Setup::new();
    let sidecar = setup.start("first", "");
    let (_, text) = sidecar.create("writer").await;
    assert!(allowed(&sidecar, &text).await);
    sidecar.finish().await;
    let data = setup.path("data");
    for digest in
        [blake3::hash(text.as_bytes()).as_bytes().as_slice(), FIRST.as_bytes(), text.as_bytes()]
    {
        assert!(!holds(&data, digest));
    }
}

#[tokio::test]
async fn an_imported_key_gets_the_pepper_at_its_first_use() {
    let setup = Setup::new();
    let sidecar = setup.start("first", "");
    let imported = ImportedKey {
        name: "old".into(),
        role: "writer".into(),
        digest: Some(Digest::Blake3(blake3::hash(b"an old key").to_hex().to_string())),
        ..Default::default()
    };
    let message = ImportApiKeysRequest { keys: vec![imported], dry_run: false };
    let mut keys = sidecar.keys().await;
    let answers = keys.import_api_keys(tokio_stream::iter([message.clone()])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    assert_eq!(answer.imported_count, 1);
    assert_eq!(status(&sidecar).await.outdated_digest_count, 1);
    assert!(allowed(&sidecar, "an old key").await);
    outdated(&sidecar, 0).await;
    assert!(allowed(&sidecar, "an old key").await);
    let answers = keys.import_api_keys(tokio_stream::iter([message])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    assert_eq!(answer.existing_count, 1);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_pepper_file_that_is_no_good_is_bad_usage() {
    let setup = Setup::new();
    for (content, says) in [(Some("too short"), "32 to 4096"), (None, "cannot read the pepper")] {
        let path = setup.path("bad");
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        for (current, previous) in [("bad", ""), ("first", "bad")] {
            let log = setup.refused(current, previous);
            assert!(log.contains(says) && log.contains("bad"), "{log}");
            assert!(!setup.path("data").exists());
        }
    }
}

#[tokio::test]
async fn a_group_may_read_the_pepper_and_the_operator_token_as_in_a_pod_and_nobody_else() {
    let setup = Setup::new();
    let token = setup.path("operator.token");
    fs::write(&token, "a token of the operator's, long enough\n".replace(' ', "-")).unwrap();
    for (mode, warned) in [(0o440, false), (0o600, false), (0o444, true), (0o660, true)] {
        for path in [setup.path("first"), token.clone()] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let (first, token) = (setup.path("first"), token.display().to_string());
        let args = ["--pepper-file", first.to_str().unwrap(), "--operator-token-file", &token];
        let log = Sidecar::start_on(&setup.path("data"), &args).finish().await;
        for secret in ["the pepper", "the operator token"] {
            let told = log.contains(&format!("others can read or change {secret}"));
            assert_eq!(told, warned, "{mode:o}: {log}");
        }
    }
}
