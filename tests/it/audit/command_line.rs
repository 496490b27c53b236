//! The `audit` commands against a real sidecar.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use octavia_authz::pb::v1::{ApiKey, UpdateApiKeyRequest};
use prost_types::FieldMask;
use serde_json::Value;

use super::{revoke, role_update};
use crate::{
    command_line::{admin, program, run},
    sidecar::Sidecar,
};

#[tokio::test]
async fn a_list_says_in_words_what_has_changed() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("writer").await;
    let mut keys = sidecar.keys().await;
    keys.update_api_key(role_update(&key.id, "editor")).await.unwrap();
    keys.update_api_key(role_update(&key.id, "none")).await.unwrap_err();
    let values = ApiKey { description: "a\u{2028}b\nc".into(), ..Default::default() };
    let described = UpdateApiKeyRequest {
        id: key.id.clone(),
        api_key: Some(values),
        update_mask: Some(FieldMask { paths: vec!["description".into()] }),
        ..Default::default()
    };
    let is_described = keys.update_api_key(described).await.is_ok();
    revoke(&sidecar, &key.id).await;

    let shown = run(admin(&sidecar, &["audit", "list", "--oldest-first"])).with(0);
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[0].starts_with("SEQUENCE"), "{shown}");
    assert!(lines[1].contains("create") && lines[1].contains("`a writer`, role writer"), "{shown}");
    assert!(lines[2].ends_with("role: writer → editor"), "{shown}");
    assert!(lines[3].contains("refused: invalid `role`"), "{shown}");
    assert!(!shown.contains('\u{2028}') && !is_described || shown.contains("\\u{2028}"), "{shown}");
    assert!(shown.contains("revoke"), "{shown}");
    assert!(!shown.contains(&text[16..48]));

    let json = run(admin(&sidecar, &["audit", "list", "--refused", "-o", "json"])).json(0);
    assert_eq!(json["events"][json["events"].as_array().unwrap().len() - 1]["sequence"], 3);
    assert_eq!(json["next_page_token"], "");
    let one = run(admin(&sidecar, &["audit", "list", "--limit", "1", "-o", "json"])).json(0);
    assert_eq!(one["events"][0]["kind"], "REVOKE");
    assert_eq!(one["events"][0]["after"], Value::Null);
    assert_eq!(one["events"][0]["before"]["role"], "editor");
    let token = one["next_page_token"].as_str().unwrap();
    let next = ["audit", "list", "--limit", "1", "--page-token", token, "-o", "json"];
    let two = run(admin(&sidecar, &next)).json(0);
    let sequence = |page: &Value| page["events"][0]["sequence"].as_u64().unwrap();
    assert_eq!(sequence(&two) + 1, sequence(&one));
    let none = ["audit", "list", "--kind", "create,rotate", "--until", "2001-01-01"];
    assert_eq!(run(admin(&sidecar, &none)).with(0), "no events\n");
    let today = ["audit", "list", "--kind", "create,rotate", "--from", "1h"];
    assert!(run(admin(&sidecar, &today)).with(0).contains("1 event"));

    let said = run(admin(&sidecar, &["audit", "list", "--key", &text])).refused(2);
    assert!(said.contains("--key ID is not one") && !said.contains(&text), "{said}");
    sidecar.finish().await;
}

#[tokio::test]
async fn a_watch_prints_an_event_a_line_until_it_is_stopped() {
    let sidecar = Sidecar::start();
    sidecar.create("writer").await;
    let mut command = admin(&sidecar, &["audit", "watch", "--after", "0", "-o", "json"]);
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["sequence"], 1);
    let (key, _) = sidecar.create("editor").await;
    let event = next();
    assert_eq!((&event["sequence"], &event["key_id"]), (&2.into(), &key.id.into()));
    child.kill().unwrap();
    child.wait().unwrap();
    sidecar.finish().await;
}

#[tokio::test]
async fn a_verification_is_asked_of_the_sidecar_or_of_the_files() {
    let sidecar = Sidecar::start();
    sidecar.create("writer").await;
    let asked = run(admin(&sidecar, &["audit", "verify"])).with(0);
    assert!(asked.starts_with("valid: 1 event, 1 to 1\nhead: 1:"), "{asked}");
    // Beside the running one, without its lock.
    let mut command = program();
    command.args(["audit", "verify", "--data-dir"]).arg(sidecar.dir());
    assert_eq!(run(command).with(0), asked);
    let head = asked.lines().nth(1).unwrap().strip_prefix("head: ").unwrap();
    let with_head = ["audit", "verify", "--head", head];
    assert_eq!(run(admin(&sidecar, &with_head)).with(0), asked);
    let other = format!("1:{}", "0".repeat(64));
    let broken = run(admin(&sidecar, &["audit", "verify", "--head", &other])).with(1);
    assert!(
        broken.starts_with(
            "not valid: the chain is whole in itself, but its head at record 1 is not the one that was noted down: \
             history was rewritten, or it is the head of another log\nwhole in itself: 1 event, 1 to 1\nhead: 1:"
        ),
        "{broken}"
    );
    assert!(!broken.contains("first broken") && !broken.contains("at byte"), "{broken}");
    run(admin(&sidecar, &["audit", "verify", "--head", "1:abc"])).refused(2);

    // The last bytes of a copy were acknowledged: only the head shows it.
    let copy = tempfile::TempDir::new().unwrap();
    let journal = copy.path().join("journal");
    fs::create_dir(&journal).unwrap();
    let name = "journal/00000000000000000001.journal";
    let bytes = fs::read(sidecar.dir().join(name)).unwrap();
    fs::write(copy.path().join(name), &bytes[..bytes.len() - 5]).unwrap();
    let torn = |more: &[&str]| {
        let mut command = program();
        command.args(["audit", "verify", "--data-dir"]).arg(copy.path()).args(more);
        run(command)
    };
    let said = torn(&[]).with(0);
    assert!(
        said.contains("note: the last record is cut off, ") && said.contains("--head"),
        "{said}"
    );
    let said = torn(&["--head", head]).with(1);
    assert!(
        said.starts_with("broken: record 1 is not there: the log ends with record 0"),
        "{said}"
    );

    let mut command = program();
    command.args(["audit", "verify", "--data-dir", "/nonexistent"]);
    let said = run(command).refused(1);
    assert!(said.contains("there is no audit log in `/nonexistent`"), "{said}");
    sidecar.finish().await;
}
