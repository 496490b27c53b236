//! Secrets are shown once, go where they are sent, and are found nowhere else.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{admin, asks, program, run};
use crate::sidecar::Sidecar;

/// Every file below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_no_id_is_refused_before_it_is_sent_and_not_shown() {
    let text = format!("octv_{}_{}", "Yt5Bq0cVn2", "s".repeat(38));
    for id in
        [&*text, &text[..20], &format!(" {text}"), "Yt5Bq0cVn", "Yt5Bq0cVn2x", "Yt5Bq0cVné", ""]
    {
        let commands =
            ["get", "rights", "simulate", "update", "rotate", "enable", "disable", "revoke"];
        for command in commands {
            let mut keys = program();
            // Nobody listens there: it would end with 1.
            keys.args(["keys", command, id, "--token", "t", "--server", "unix:/no/such.sock"]);
            let said = run(keys).refused(2);
            assert!(said.contains("the 10 letters and digits after `octv_`"), "{said}");
            assert!(!said.contains("Yt5Bq0"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_secret_is_in_no_log_and_in_no_file_but_the_operators_own() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("data");
    let sidecar = Sidecar::start_on(&dir, &["--log-level", "trace"]);
    let json = |args: &[&str]| run(admin(&sidecar, &[args, &["-o", "json"]].concat())).json(0);
    let text = |value: &Value| value["key"].as_str().unwrap().to_owned();
    let created = json(&["keys", "create", "--name", "canary", "--role", "super_admin"]);
    let id = created["api_key"]["id"].as_str().unwrap().to_owned();
    let rotated = json(&["keys", "rotate", &id]);
    let token = sidecar.operator_token();
    let keys = [text(&created), text(&rotated)];

    // Used in every way that there is, right and wrong.
    for key in &keys {
        sidecar.authorize(key, "articles.read").await;
        sidecar.authorize(&key[..53], "articles.read").await;
        let mut check = asks(&sidecar, &["check", "no.such"]);
        check.env("OCTAVIA_API_KEY", key);
        let ended = run(check);
        assert!(!holds((ended.out + &ended.err).as_bytes(), &key[16..48]));
        let mut list = sidecar.keys_as(key).await;
        let _ = list.list_api_keys(octavia_authz::pb::v1::ListApiKeysRequest::default()).await;
    }
    sidecar
        .roles_as(&token)
        .await
        .list_roles(octavia_authz::pb::v1::ListRolesRequest::default())
        .await
        .unwrap();
    let shown = [
        run(admin(&sidecar, &["keys", "get", &id])).with(0),
        run(admin(&sidecar, &["keys", "get", &id, "-o", "json"])).with(0),
        run(admin(&sidecar, &["keys", "list", "-o", "json"])).with(0),
        run(admin(&sidecar, &["keys", "update", &id, "--name", "renamed"])).with(0),
        run(admin(&sidecar, &["status"])).with(0),
        run(admin(&sidecar, &["keys", "revoke", &id, "--yes", "-o", "json"])).with(0),
    ];
    let log = sidecar.finish().await;
    let again = Sidecar::start_on(&dir, &["--log-level", "trace"]);
    let log = log + &again.finish().await;
    assert!(log.contains("\"TRACE\""), "nothing was logged that could hold a secret");

    let files = files(&dir);
    assert!(files.len() > 3, "{files:?}");
    // The text, its secret part, and what follows the id in a header.
    let secrets = keys.iter().flat_map(|key| [&key[..], &key[16..48], &key[16..]]);
    for secret in secrets.chain([&token[..], &token[5..]]) {
        assert!(!holds(log.as_bytes(), secret), "in the log");
        assert!(shown.iter().all(|shown| !holds(shown.as_bytes(), secret)), "printed again");
        for file in &files {
            let own = file.ends_with("operator.token") && token.contains(secret);
            assert_eq!(holds(&fs::read(file).unwrap(), secret), own, "{}", file.display());
        }
    }
    assert_eq!((mode(&dir), mode(&dir.join("operator.token"))), (0o700, 0o600));
}

#[tokio::test]
async fn a_key_can_go_to_a_new_private_file_instead_of_the_terminal() {
    let sidecar = Sidecar::start();
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("web.key");
    let file = path.to_str().unwrap();
    let create = ["keys", "create", "--name", "x", "--role", "writer", "--key-out", file];
    let out = run(admin(&sidecar, &create)).with(0);
    let text = fs::read_to_string(&path).unwrap();
    assert!(sidecar.authorize(text.trim(), "articles.create").await.allowed);
    assert!(out.contains(file) && !out.contains(text.trim()), "{out}");
    assert_eq!(mode(&path), 0o600);

    // It is never written over, and nothing is created for nothing.
    let said = run(admin(&sidecar, &create)).refused(1);
    assert!(said.contains("exists; give --key-out a new file"), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let missing = temporary.path().join("no/such/dir");
    let create = [
        "keys",
        "create",
        "--name",
        "x",
        "--role",
        "writer",
        "--key-out",
        missing.to_str().unwrap(),
    ];
    run(admin(&sidecar, &create)).refused(1);
    let bad = temporary.path().join("bad.key");
    let create =
        ["keys", "create", "--name", "x", "--role", "owner", "--key-out", bad.to_str().unwrap()];
    run(admin(&sidecar, &create)).refused(1);
    assert!(!bad.exists(), "an empty file was left behind");
    let listed = run(admin(&sidecar, &["keys", "list", "-o", "json"])).json(0);
    assert_eq!(listed["total_size"], 1);

    let rotated = temporary.path().join("new.key");
    let rotate =
        ["keys", "rotate", &text[5..15], "--key-out", rotated.to_str().unwrap(), "-o", "json"];
    let out = run(admin(&sidecar, &rotate)).json(0);
    assert_eq!((&out["key"], out["key_out"].as_str()), (&Value::Null, rotated.to_str()));
    let new_text = fs::read_to_string(&rotated).unwrap();
    assert!(sidecar.authorize(new_text.trim(), "articles.create").await.allowed);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_new_key_that_nobody_can_read_any_more_is_an_error_that_says_so() {
    let sidecar = Sidecar::start();
    let mut command = admin(&sidecar, &["keys", "create", "--name", "x", "--role", "writer"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("lost; make another with `octavia-authz keys rotate "), "{said}");
    assert!(!said.contains("panicked") && !said.contains("octv_"), "{said}");
    sidecar.finish().await;
}
