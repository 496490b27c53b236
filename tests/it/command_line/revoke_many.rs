//! `keys revoke` of several keys.

use serde_json::{Value, json};

use super::{admin, run, run_with};
use crate::sidecar::Sidecar;

async fn keys(sidecar: &Sidecar, amount: usize) -> Vec<(String, String)> {
    let mut keys = Vec::new();
    for _ in 0..amount {
        let (key, text) = sidecar.create("writer").await;
        keys.push((key.id, text));
    }
    keys
}

fn left(sidecar: &Sidecar) -> Value {
    run(admin(sidecar, &["keys", "list", "-o", "json"])).json(0)["total_size"].clone()
}

#[tokio::test]
async fn several_keys_are_revoked_and_failures_are_named() {
    let sidecar = Sidecar::start();
    let keys = keys(&sidecar, 3).await;
    let (first, second, third) = (&*keys[0].0, &*keys[1].0, &*keys[2].0);

    let revoke = ["keys", "revoke", first, second, "0000000000"];
    let said = run(admin(&sidecar, &[&revoke[..], &["--dry-run"]].concat())).with(1);
    assert!(said.contains("2 keys would be revoked; 1 cannot be revoked:"), "{said}");
    assert!(said.contains("\n  0000000000: not found: "), "{said}");
    assert!(said.contains("Nothing was changed."), "{said}");
    assert_eq!(left(&sidecar), 3);

    assert!(run(admin(&sidecar, &revoke)).refused(2).contains("pass --yes"));
    let said = run(admin(&sidecar, &[&revoke[..], &["--yes"]].concat())).with(1);
    assert!(said.contains("revoked 2 keys; 1 could not be revoked:"), "{said}");
    assert!(said.contains(&format!("\n{first}  a writer")), "{said}");
    assert_eq!(left(&sidecar), 1);
    assert!(!sidecar.authorize(&keys[0].1, "articles.create").await.allowed);
    assert!(sidecar.authorize(&keys[2].1, "articles.create").await.allowed);

    // The same id twice is one key.
    let last = ["keys", "revoke", third, third, "--dry-run", "-o", "json"];
    let said = run(admin(&sidecar, &last)).json(0);
    assert_eq!((&said["revoked_count"], &said["dry_run"]), (&json!(1), &json!(true)));
    assert_eq!(said["outcomes"].as_array().unwrap().len(), 1);
    assert_eq!(said["outcomes"][0]["code"], 0);
    assert_eq!(said["outcomes"][0]["api_key"]["id"], json!(third));
    let gone = ["keys", "revoke", first, third, "--yes", "-o", "json"];
    let said = run(admin(&sidecar, &gone)).json(1);
    assert_eq!((&said["revoked_count"], &said["outcomes"][0]["code"]), (&json!(1), &json!(5)));
    assert_eq!(said["outcomes"][0]["api_key"], Value::Null);
    assert_eq!(left(&sidecar), 0);
    sidecar.finish().await;
}

#[tokio::test]
async fn ids_come_from_a_file_or_from_a_list() {
    let sidecar = Sidecar::start();
    let keys = keys(&sidecar, 3).await;
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("ids");
    std::fs::write(&path, format!("{}\n\n{}\n", keys[0].0, keys[1].0)).unwrap();
    let from = |file: &str, more: &[&str]| {
        admin(&sidecar, &[&["keys", "revoke", "--ids-from", file], more].concat())
    };
    let said = run(from(path.to_str().unwrap(), &["--dry-run", &keys[2].0])).with(0);
    assert!(said.contains("3 keys would be revoked\n"), "{said}");

    let listed = run(admin(&sidecar, &["keys", "list", "-o", "json"])).json(0);
    let ids = listed["api_keys"].as_array().unwrap().iter();
    let ids: String = ids.map(|key| format!("{}\n", key["id"].as_str().unwrap())).collect();
    let said = run_with(from("-", &["--dry-run"]), &ids).with(0);
    assert!(said.contains("3 keys would be revoked\n"), "{said}");
    assert!(run(from("-", &[])).refused(2).contains("standard input holds the ids"));
    let said = run_with(from("-", &["--yes"]), &ids).with(0);
    assert!(said.contains("revoked 3 keys"), "{said}");
    assert_eq!(left(&sidecar), 0);

    // A pipeline that found nothing.
    assert_eq!(run_with(from("-", &["--yes"]), "\n").with(0), "revoked no keys\n");
    let text = &keys[0].1;
    let said = run_with(from("-", &["--yes"]), text).refused(2);
    assert!(said.contains("line 1 of standard input is not a key's id"), "{said}");
    assert!(!said.contains(&text[16..]), "{said}");
    assert!(run(from("/no/such", &["--yes"])).refused(1).contains("cannot read `/no/such`"));
    run(admin(&sidecar, &["keys", "revoke", "--yes"])).refused(2);
    sidecar.finish().await;
}

#[tokio::test]
async fn more_keys_than_one_call_takes_are_revoked_in_several() {
    let sidecar = Sidecar::start();
    let (key, _) = sidecar.create("writer").await;
    let mut ids: Vec<String> = (0..1_000).map(|at| format!("{at:010}")).collect();
    ids.push(key.id);
    let revoke = ["keys", "revoke", "--ids-from", "-", "--yes", "-o", "json"];
    let said = run_with(admin(&sidecar, &revoke), &ids.join("\n")).json(1);
    assert_eq!(said["outcomes"].as_array().unwrap().len(), 1_001);
    assert_eq!(said["revoked_count"], 1);
    assert_eq!(left(&sidecar), 0);
    sidecar.finish().await;
}
