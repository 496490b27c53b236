//! Standard error is a pipe that nobody reads.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

use octavia_authz::pb::v1::{
    AuthorizeRequest, BatchAuthorizeRequest, CreateApiKeyRequest,
    api_key_service_client::ApiKeyServiceClient,
    authorization_service_client::AuthorizationServiceClient,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    ops,
    sidecar::{Bearer, PATIENCE, PROGRAM, connect, step},
};

/// More than queue and pipe hold.
const BATCHES: usize = 20;
const BATCH: usize = 1000;
/// So long may the end take: what waits is given two seconds.
const PROMPT: Duration = Duration::from_secs(8);

/// A sidecar whose log is read up to the line that it serves, and no further. Killed when dropped.
struct Unread {
    child: Child,
    stderr: BufReader<ChildStderr>,
    serving: Value,
    dir: TempDir,
}

impl Unread {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--ops-listen", "127.0.0.1:0", "--lameduck", "0s"])
            .args(["--log-format", "json", "--data-dir"])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let serving = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it has ended");
            match serde_json::from_str::<Value>(&line) {
                Ok(event) if event["message"] == "serving" => break event,
                _ => {}
            }
        };
        Self { child, stderr, serving, dir }
    }

    fn address(&self, name: &str) -> &str {
        self.serving[name].as_str().unwrap()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn decisions_and_changes_go_on_and_a_stop_is_prompt() {
    let mut sidecar = Unread::start();
    let token = std::fs::read_to_string(sidecar.dir.path().join("operator.token")).unwrap();
    let admin = connect(sidecar.address("admin_listen")).await;
    let mut keys = ApiKeyServiceClient::with_interceptor(admin, Bearer::new(token.trim()));
    let create = || CreateApiKeyRequest {
        name: "reader".to_owned(),
        role: "read_only".to_owned(),
        ..Default::default()
    };
    let key = keys.create_api_key(create()).await.unwrap().into_inner().key;
    let channel = connect(sidecar.address("listen")).await;
    let mut client = AuthorizationServiceClient::new(channel);
    let ask = |key: &str, action: &str| AuthorizeRequest {
        key: key.to_owned(),
        action: action.to_owned(),
        ..Default::default()
    };
    // Of a valid key, and of none: either queue is full then.
    for key in [key.as_str(), "no key"] {
        for _ in 0..BATCHES {
            let requests = vec![ask(key, "articles.create"); BATCH];
            let batch = BatchAuthorizeRequest { requests };
            let answer = tokio::time::timeout(PATIENCE, client.batch_authorize(batch)).await;
            let answers = answer.expect("an answer in time").unwrap().into_inner().responses;
            assert!(answers.len() == BATCH && answers.iter().all(|answer| !answer.allowed));
        }
    }
    assert!(client.authorize(ask(&key, "tags.read")).await.unwrap().into_inner().allowed);
    keys.create_api_key(create()).await.unwrap();
    drop((client, keys));
    let dropped = ops::value(sidecar.address("ops_listen"), "octavia_authz_log_dropped_total");
    // Of 20,000 denials of a valid key, its queue and the pipe do not hold half.
    assert!(dropped.unwrap() > 10_000.0, "{dropped:?}");

    let pid = Pid::from_raw(i32::try_from(sidecar.child.id()).unwrap()).unwrap();
    let asked = Instant::now();
    kill_process(pid, Signal::TERM).unwrap();
    let status = loop {
        if let Some(status) = sidecar.child.try_wait().unwrap() {
            break status;
        }
        assert!(asked.elapsed() < PROMPT, "still running after {PROMPT:?}");
        step().await;
    };
    assert_eq!(status.code(), Some(0));
    let mut printed = String::new();
    sidecar.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert_eq!(printed, "", "nothing goes where no log is looked for");
    // What is in the pipe are whole lines, but for the one that was being written.
    let mut rest = String::new();
    sidecar.stderr.read_to_string(&mut rest).unwrap();
    let whole: Vec<_> = rest.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
    assert!(whole.len() > 20, "{}", whole.len());
    for line in whole {
        serde_json::from_str::<Value>(line).unwrap();
    }
}
