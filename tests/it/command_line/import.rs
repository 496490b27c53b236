//! `keys import`: keys that were issued elsewhere go on working.

use std::{fmt::Write as _, fs, path::PathBuf};

use octavia_authz::pb::v1::DecisionReason;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{admin, program, run, run_with};
use crate::sidecar::Sidecar;

fn blake3(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("keys.jsonl");
    fs::write(&path, text).unwrap();
    path
}

fn listed(sidecar: &Sidecar) -> Vec<Value> {
    let args = ["keys", "list", "--order-by", "name", "-o", "json"];
    run(admin(sidecar, &args)).json(0)["api_keys"].as_array().unwrap().clone()
}

#[tokio::test]
async fn imported_keys_are_accepted_and_a_second_import_does_no_harm() {
    let sidecar = Sidecar::start();
    let folder = TempDir::new().unwrap();
    let one = json!({
        "name": "a", "role": "writer", "sha256": sha256("old-key-a"), "team": "web",
        "labels": { "from": "old" }, "hint": "old…-a", "create_time": "2020-01-01T00:00:00Z",
    });
    let two = json!({ "name": "b", "role": "read_only", "blake3": blake3("old-key-b"),
        "status": "inactive", "expiration": "2099-12-31" });
    let path = file(&folder, &format!("{one}\n\n{two}\n"));
    let import = ["keys", "import", path.to_str().unwrap()];

    let said = run(admin(&sidecar, &[&import[..], &["--dry-run"]].concat())).with(0);
    assert_eq!(said, "2 keys would be imported\nNothing was changed.\n");
    assert!(listed(&sidecar).is_empty());
    let ended = run(admin(&sidecar, &import));
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("imported 2 keys\n", ""));
    let keys = listed(&sidecar);
    assert_eq!((&keys[0]["team"], &keys[0]["labels"]["from"]), (&json!("web"), &json!("old")));
    assert_eq!(keys[0]["create_time"], "2020-01-01T00:00:00Z");
    assert_eq!(keys[0]["secrets"][0]["hint"], "old…-a");
    assert!(keys[0]["import_time"].is_string());
    assert_eq!((&keys[1]["status"], &keys[1]["role"]), (&json!("INACTIVE"), &json!("read_only")));
    assert_eq!(keys[1]["expire_time"], "2100-01-01T00:00:00Z");

    assert!(sidecar.authorize("old-key-a", "articles.create").await.allowed);
    let denied = sidecar.authorize("old-key-b", "articles.create").await;
    assert_eq!(denied.reason(), DecisionReason::KeyInactive);
    assert!(!sidecar.authorize("old-key-c", "articles.create").await.allowed);

    // From standard input, which can be read once only.
    let again = ["keys", "import", "-", "-o", "json"];
    let text = fs::read_to_string(&path).unwrap();
    let said = run_with(admin(&sidecar, &again), &text).json(0);
    assert_eq!((&said["imported_count"], &said["existing_count"]), (&json!(0), &json!(2)));
    assert_eq!((&said["failed_count"], &said["dry_run"]), (&json!(0), &json!(false)));
    assert_eq!(listed(&sidecar).len(), 2);
    sidecar.finish().await;
}

#[tokio::test]
async fn keys_that_cannot_be_imported_are_named_by_their_lines() {
    let sidecar = Sidecar::start();
    let folder = TempDir::new().unwrap();
    let mut text = String::new();
    for (name, role) in [("a", "writer"), ("b", "owner"), ("c", "writer")] {
        let key = json!({ "name": name, "role": role, "sha256": sha256(name) });
        writeln!(text, "{key}\n").unwrap();
    }
    let path = file(&folder, &text);
    let import = ["keys", "import", path.to_str().unwrap()];
    let said = run(admin(&sidecar, &[&import[..], &["--dry-run"]].concat())).with(1);
    assert!(said.starts_with("2 keys would be imported; 1 cannot be imported:\n"), "{said}");
    let said = run(admin(&sidecar, &import)).with(1);
    assert!(said.starts_with("imported 2 keys; 1 could not be imported:\n  line 3, key `b`: "));
    assert!(said.contains("no role `owner`"), "{said}");
    let said = run(admin(&sidecar, &[&import[..], &["-o", "json"]].concat())).json(1);
    assert_eq!((&said["existing_count"], &said["failed_count"]), (&json!(2), &json!(1)));
    assert_eq!(
        (&said["failures"][0]["line"], &said["failures"][0]["name"]),
        (&json!(3), &json!("b"))
    );
    sidecar.finish().await;
}

#[tokio::test]
async fn more_keys_than_a_message_holds_are_imported() {
    let sidecar = Sidecar::start();
    let mut text = String::new();
    for at in 0..1_200 {
        let key = json!({
            "name": format!("key {at}"), "role": "writer", "sha256": sha256(&format!("key {at}")),
            "description": "x".repeat(800),
        });
        writeln!(text, "{key}").unwrap();
    }
    let said = run_with(admin(&sidecar, &["keys", "import", "-"]), &text).with(0);
    assert_eq!(said, "imported 1200 keys\n");
    assert!(sidecar.authorize("key 1199", "articles.create").await.allowed);
    sidecar.finish().await;
}

#[test]
fn a_file_that_is_not_valid_is_refused_before_anything_is_sent() {
    let folder = TempDir::new().unwrap();
    let good = json!({ "name": "a", "role": "writer", "sha256": sha256("a") });
    let path = file(&folder, &format!("{good}\n{{\"name\":\"b\",\"key\":\"octv_canary\"}}\nx\n"));
    let import = |file: &str| {
        let mut command = program();
        // Nobody listens there: it would end with 1.
        let nobody = ["--token", "t", "--server", "unix:/no/such.sock"];
        command.args(["keys", "import", file]).args(nobody);
        command
    };
    let said = run(import(path.to_str().unwrap())).refused(2);
    assert!(said.contains("keys.jsonl` cannot be imported, and nothing was sent:\n"), "{said}");
    assert!(said.contains("\n  line 2: field `key`: there is no such field"), "{said}");
    assert!(said.contains("\n  line 3: not valid JSON, at column 1"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    let said = run_with(import("-"), "{}\n").refused(2);
    assert!(said.contains("standard input cannot be imported"), "{said}");
    assert!(run(import("/no/such")).refused(1).contains("cannot read `/no/such`"));
    assert!(run(import(folder.path().to_str().unwrap())).refused(1).contains("is a directory"));
    assert_eq!(run_with(import("-"), "\n").with(0), "imported no keys\n");
    let said = run_with(import("-"), &good.to_string()).refused(1);
    assert!(said.contains("there is no such socket"), "{said}");
    assert!(!said.contains("may be imported already"), "{said}");
}
