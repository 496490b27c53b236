//! `check`: exit code 0 for what is allowed, 3 for what is denied, 1 for what
//! was not decided; and where the key comes from.

use std::fs;

use serde_json::json;

use super::{asks, run, run_with};
use crate::sidecar::Sidecar;

#[tokio::test]
async fn a_decision_is_an_exit_code_and_says_what_to_do() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("writer").await;
    let check = |args: &[&str]| {
        let mut command = asks(&sidecar, &[&["check"], args].concat());
        command.env("OCTAVIA_API_KEY", &text);
        run(command)
    };
    assert_eq!(check(&["articles.create"]).with(0), "allowed\n");
    assert_eq!(check(&["--action", "articles.create"]).with(0), "allowed\n");
    let own = ["articles.update", "--owner", &key.subject, "--state", "draft"];
    assert_eq!(check(&own).with(0), "allowed\n");
    for (args, reason, advice) in [
        (&["articles.publish"][..], "ACTION_DENIED", "roles --matrix"),
        (&["articles.pubish"], "ACTION_UNKNOWN", "no such action"),
        (&["articles.create", "--service", "shop"], "SERVICE_MISMATCH", "--service"),
        (&["articles.update"], "CONDITION_UNMET", "needs resource.owner = `"),
        (&["articles.update", "--owner", "bob", "--state", "draft"], "CONDITION_UNMET", "draft"),
    ] {
        let said = check(args).with(3);
        assert!(said.starts_with(&format!("denied: {reason} — ")), "{said}");
        assert!(said.contains(advice), "{said}");
        let said = check(&[args, &["-o", "json"]].concat()).json(3);
        assert_eq!((&said["allowed"], &said["reason"]), (&json!(false), &json!(reason)));
    }
    let said = check(&["articles.create", "-o", "json"]).json(0);
    assert_eq!((&said["allowed"], &said["key_id"]), (&json!(true), &json!(key.id)));
    let said = check(&[&"x".repeat(129)]).refused(1);
    assert!(said.contains("action: has 129 bytes; at most 128"), "{said}");
    sidecar.finish().await;
}

#[tokio::test]
async fn a_key_comes_from_a_file_standard_input_or_the_environment() {
    let sidecar = Sidecar::start();
    let (_, text) = sidecar.create("writer").await;
    let temporary = tempfile::TempDir::new().unwrap();
    let file = temporary.path().join("web.key");
    fs::write(&file, format!("{text}\n")).unwrap();
    let from = |file: &str| asks(&sidecar, &["check", "articles.create", "--key-file", file]);
    run(from(file.to_str().unwrap())).with(0);
    run_with(from("-"), &text).with(0);
    run_with(from("-"), "octv_nonsense\n").with(3);
    let mut both = from(file.to_str().unwrap());
    both.env("OCTAVIA_API_KEY", "octv_nonsense");
    run(both).with(0);

    let none = run(asks(&sidecar, &["check", "articles.create"])).refused(2);
    assert!(none.contains("OCTAVIA_API_KEY"), "{none}");
    assert!(run(from("/no/such/file")).refused(2).contains("cannot read `/no/such/file`"));
    assert!(run_with(from("-"), "").refused(2).contains("empty"));
    assert!(run(asks(&sidecar, &["check"])).refused(2).contains("<ACTION>"));
    sidecar.finish().await;
}
