//! Restarts, one sidecar after the other, under the load of a client that is not ours and honours
//! their health: Python's grpcio with `round_robin`, and no retries.

use std::{
    collections::VecDeque,
    env,
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
    time::Instant,
};

use octavia_authz::pb::v1::RevokeApiKeyRequest;
use serde_json::Value;
use tempfile::TempDir;

use super::{get, wait_for_readiness};
use crate::sidecar::{Sidecar, wait_until};

const RESTARTS: usize = 100;
const THREADS: &str = "6";
/// A new sidecar has taken up its share of the load.
const TAKEN_UP: f64 = 50.0;

/// The client. Killed when dropped.
struct Python(Child);

impl Python {
    fn start(addresses: &str, questions: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/ops/rolling.py");
        let interpreter = env::var_os("OCTAVIA_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let mut command = Command::new(interpreter);
        command.args([script, addresses, THREADS]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "{questions}").unwrap();
        Self(child)
    }

    /// What became of its calls.
    fn finish(mut self) -> Value {
        drop(self.0.stdin.take());
        let mut said = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.0.wait().unwrap().success());
        serde_json::from_str(&said).unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many decisions it has made.
fn decisions(sidecar: &Sidecar) -> f64 {
    let answer = get(&sidecar.ops_listen, "/metrics");
    let lines =
        answer.text().lines().filter(|line| line.starts_with("octavia_authz_decisions_total{"));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

fn wait_for_load(sidecar: &Sidecar) {
    wait_until("the client to use it", || decisions(sidecar) > TAKEN_UP);
}

#[tokio::test]
#[ignore = "needs Python with grpcio: see .ci/run; takes two minutes"]
async fn a_hundred_rolling_restarts_fail_no_call_of_a_client_that_honours_health() {
    let temporary = TempDir::new().unwrap();
    let dirs = ["a", "b"].map(|name| temporary.path().join(name));
    let first = Sidecar::start_on(&dirs[0], &[]);
    let (_, writer) = first.create("writer").await;
    let (revoked, gone) = first.create("super_admin").await;
    let request = RevokeApiKeyRequest { id: revoked.id, ..Default::default() };
    first.keys().await.revoke_api_key(request).await.unwrap();
    first.finish().await;
    let copied = Command::new("cp").arg("-r").args(&dirs).status().unwrap();
    assert!(copied.success());
    // Ports that nobody else is given: those of 0 are on 127.0.0.1.
    let addresses =
        [2, 3].map(|last| format!("127.0.0.{last}:{}", 20_000 + std::process::id() % 10_000));
    let start = |number: usize| {
        let args = ["--listen", &addresses[number], "--lameduck", "500ms", "--workers", "2"];
        let sidecar = Sidecar::start_on(&dirs[number], &args);
        wait_for_readiness(&sidecar.ops_listen, 200);
        sidecar
    };
    let mut sidecars = VecDeque::from([(0, start(0)), (1, start(1))]);
    let questions = format!(
        "{writer} articles.create true\n{writer} api_keys.create false\n\
         {gone} articles.create false\n"
    );
    let python = Python::start(&addresses.join(","), &questions);
    let began = Instant::now();
    sidecars.iter().for_each(|(_, sidecar)| wait_for_load(sidecar));
    for _ in 0..RESTARTS {
        let (number, old) = sidecars.pop_front().unwrap();
        old.terminate();
        let log = old.finish_after_stop().await;
        assert!(!log.contains("cut off"), "{log}");
        let new = start(number);
        wait_for_load(&new);
        sidecars.push_back((number, new));
    }
    let became = python.finish();
    println!("{RESTARTS} restarts in {:?}: {became}", began.elapsed());
    assert_eq!(became["failed"].as_array().unwrap().len(), 0, "{became}");
    assert_eq!(became["wrong"], 0, "{became}");
    assert!(became["calls"].as_u64().unwrap() > 10_000, "{became}");
    for (_, sidecar) in sidecars {
        sidecar.finish().await;
    }
}
