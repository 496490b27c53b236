//! What logs and traces cost a call whose log is not read, or whose collector does not answer:
//! the time of `Authorize`, one of ten denied, of four sidecars in turn in the same run. The
//! first has a log that is read and sends no traces; the others are compared with it, round by
//! round. One is the same as the first: how far it is off is what this machine cannot tell apart.
//! `cargo bench --bench telemetry`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark that fails shall stop where it fails, and prints; it shares files with another"
)]

#[path = "load/client.rs"]
mod client;
#[path = "load/process.rs"]
mod process;

use std::{net::TcpListener, time::Duration};

use octavia_authz::pb::v1::AuthorizeRequest;

use self::{client::Call, process::Process};

const STREAMS: usize = 4;
/// Of one sidecar in one round.
const CALLS: usize = 15_000;
const ROUNDS: usize = 15;
/// Enough denials that a log which nobody reads is full.
const WARM: usize = 120_000;
const GOAL: f64 = 1.05;

struct Subject {
    name: &'static str,
    process: Process,
    mix: Vec<Call>,
    /// p50 and p99 of each round.
    rounds: Vec<[Duration; 2]>,
    /// Processor time of the rounds.
    cpu: Duration,
}

impl Subject {
    fn start(name: &'static str, args: &[&str], read: bool) -> Self {
        let process = Process::sidecar_with(args, read);
        let key = process.create_key("writer");
        let call = |action: &str| {
            let (key, action) = (key.clone(), action.to_owned());
            Call::authorize(&AuthorizeRequest { key, action, ..Default::default() })
        };
        let mut mix = vec![call("articles.create"); 9];
        mix.push(call("api_keys.create"));
        Self { name, process, mix, rounds: Vec::new(), cpu: Duration::ZERO }
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let refused_url = format!("http://{nobody}");
    let mut subjects = [
        Subject::start("(a) log read, no traces", &[], true),
        Subject::start("    the same again", &[], true),
        Subject::start("(b) log not read", &[], false),
        Subject::start("(c) collector silent", &["--otlp-endpoint", &silent_url], true),
        Subject::start("(d) collector refuses", &["--otlp-endpoint", &refused_url], true),
    ];
    for subject in &subjects {
        let address = &subject.process.address;
        runtime.block_on(client::latencies(address, &subject.mix, STREAMS, WARM));
    }
    for round in 0..ROUNDS {
        // Each is first and last as often as the others.
        for turn in 0..subjects.len() {
            let place = (round + turn) % subjects.len();
            let subject = &mut subjects[place];
            let address = &subject.process.address;
            let before = subject.process.cpu();
            let mut took =
                runtime.block_on(client::latencies(address, &subject.mix, STREAMS, CALLS));
            subject.cpu += subject.process.cpu() - before;
            took.sort_unstable();
            subject.rounds.push([took[took.len() / 2], took[took.len() * 99 / 100]]);
        }
    }
    println!("Authorize, {STREAMS} at once, {ROUNDS} rounds of {CALLS} calls, medians of rounds:");
    for subject in &subjects {
        let [p50, p99] = [0, 1].map(|which| {
            median(subject.rounds.iter().map(|round| round[which].as_secs_f64() * 1e6).collect())
        });
        let [of_p50, of_p99] = [0, 1].map(|which| {
            let pairs = subject.rounds.iter().zip(&subjects[0].rounds);
            median(pairs.map(|(own, base)| ratio(own[which], base[which])).collect())
        });
        let cpu = subject.cpu.as_secs_f64() * 1e6 / (ROUNDS * CALLS) as f64;
        println!(
            "  {:<26} {cpu:>5.1} µs of processor a call  p50 {p50:>6.0} µs  p99 {p99:>6.0} µs   to (a): p50 {of_p50:.3}, p99 {of_p99:.3}{}",
            subject.name,
            if of_p99 > GOAL { "  over the goal" } else { "" }
        );
    }
    println!("goal: p99 at most {GOAL} of (a)");
    for subject in &subjects {
        for name in ["octavia_authz_log_dropped_total", "octavia_authz_traces_dropped_total"] {
            println!("  {:<26} {name} {}", subject.name, subject.process.metric(name));
        }
    }
    drop(silent);
}

fn ratio(own: Duration, base: Duration) -> f64 {
    own.as_secs_f64() / base.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
