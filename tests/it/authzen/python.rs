//! A client that is not ours: the HTTP of Python's standard library.

use std::{
    env,
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::json;

use super::start;
use crate::golden;

#[tokio::test]
#[ignore = "needs Python: see .ci/run"]
async fn a_python_client_gets_the_answers_of_the_golden_table() {
    let sidecar = start();
    let mut keys = Vec::new();
    for role in golden::ROLES {
        let (key, text) = sidecar.create(role).await;
        let rights = golden::actions().iter().map(|action| {
            let reason = golden::right(role, action.name).reason(&Default::default(), &key.id);
            let reason = reason.as_str_name().strip_prefix("DECISION_REASON_").unwrap();
            json!({ "action": action.name, "reason": reason })
        });
        let rights: Vec<_> = rights.collect();
        keys.push(json!({ "id": key.id, "text": text, "role": role, "rights": rights }));
    }
    let interpreter = env::var_os("OCTAVIA_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let mut child = Command::new(interpreter)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/authzen/client.py"))
        .arg(&sidecar.authzen_listen)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(json!(keys).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.trim(), format!("{} evaluations as expected", 2 * 7 * 83));
    sidecar.finish().await;
}
