//! What a log that nobody reads, and a collector that is dead, cost a call's tail: four sidecars in
//! one run, asked in turns of some milliseconds, so that what else the machine does hits all alike.
//! One call of ten is denied, and logged. `cargo bench --bench telemetry`

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark that fails shall stop where it fails, and says what it found"
)]

use std::{
    io::{BufRead as _, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

use octavia_authz::pb::v1::{
    AuthorizeRequest, authorization_service_client::AuthorizationServiceClient,
};
use tempfile::TempDir;
use tonic::transport::Channel;

const PROGRAM: &str = env!("CARGO_BIN_EXE_octavia-authz");
/// Calls in a turn, one after the other.
const TURN: usize = 1000;
const TURNS: usize = 60;

struct Sidecar {
    name: &'static str,
    child: Child,
    key: String,
    client: AuthorizationServiceClient<Channel>,
    took: Vec<Duration>,
    /// By turn.
    tails: Vec<Duration>,
    _dir: TempDir,
    /// Where nobody reads: it stays open.
    _unread: Option<Lines<BufReader<ChildStderr>>>,
}

impl Sidecar {
    async fn start(name: &'static str, read: bool, args: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg("--data-dir").arg(dir.path()).args(args);
        for listen in ["--listen", "--admin-listen", "--ops-listen"] {
            command.args([listen, "127.0.0.1:0"]);
        }
        command.args(["--log-format", "json", "--lameduck", "0s", "--workers", "1"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let event: serde_json::Value = lines
            .by_ref()
            .filter_map(|line| serde_json::from_str(&line.unwrap()).ok())
            .find(|event: &serde_json::Value| event["message"] == "serving")
            .unwrap();
        let unread = if read {
            std::thread::spawn(move || lines.for_each(drop));
            None
        } else {
            Some(lines)
        };
        let key = create_key(event["admin_listen"].as_str().unwrap(), &dir);
        let address = format!("http://{}", event["listen"].as_str().unwrap());
        let client = AuthorizationServiceClient::connect(address).await.unwrap();
        let (took, tails) = Default::default();
        Self { name, child, key, client, took, tails, _dir: dir, _unread: unread }
    }

    async fn turn(&mut self) {
        let mut took = Vec::with_capacity(TURN);
        for number in 0..TURN {
            let denied = number % 10 == 0;
            let action = if denied { "users.delete" } else { "articles.create" };
            let (key, action) = (self.key.clone(), action.to_owned());
            let request = AuthorizeRequest { key, action, ..Default::default() };
            let begun = Instant::now();
            let answer = self.client.authorize(request).await.unwrap().into_inner();
            took.push(begun.elapsed());
            assert_eq!(answer.allowed, !denied);
        }
        took.sort();
        self.tails.push(took[TURN * 99 / 100]);
        self.took.extend(took);
    }

    fn figures(&mut self) -> [f64; 3] {
        self.took.sort();
        self.tails.sort();
        let of = |part: usize| self.took[self.took.len() * part / 100].as_secs_f64() * 1e6;
        [of(50), of(99), self.tails[TURNS / 2].as_secs_f64() * 1e6]
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn create_key(admin: &str, dir: &TempDir) -> String {
    let output = Command::new(PROGRAM)
        .args(["keys", "create", "--name", "load", "--role", "writer", "--output", "json"])
        .args(["--server", &format!("http://{admin}")])
        .arg("--token-file")
        .arg(dir.path().join("operator.token"))
        .output()
        .unwrap();
    let created: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    created["key"].as_str().unwrap().to_owned()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // One that accepts, in the kernel, and never answers; and one where nobody is.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let gone_url = format!("http://{gone}");
    let mut sidecars = [
        Sidecar::start("log read, no collector", true, &[]).await,
        Sidecar::start("log read, once more", true, &[]).await,
        Sidecar::start("log that nobody reads", false, &[]).await,
        Sidecar::start("collector that is silent", true, &["--otlp-endpoint", &silent_url]).await,
        Sidecar::start("collector that is gone", true, &["--otlp-endpoint", &gone_url]).await,
    ];
    for _ in 0..TURNS {
        for sidecar in &mut sidecars {
            sidecar.turn().await;
        }
    }
    println!("{TURNS} turns of {TURN} calls each, one after the other, a tenth denied and logged:");
    println!("                             p50        p99    p99 of a turn (median)");
    let mut first = None;
    for sidecar in &mut sidecars {
        let figures @ [p50, p99, tail] = sidecar.figures();
        let [_, base_p99, base_tail] = *first.get_or_insert(figures);
        println!(
            "{:<25}{p50:>6.1} µs  {p99:>6.1} µs ×{:.2}  {tail:>6.1} µs ×{:.2}",
            sidecar.name,
            p99 / base_p99,
            tail / base_tail,
        );
    }
    println!("goal: at most ×1.05; the second row says how far that can be told apart here");
}
