//! What a call costs the sidecar's process, beside an empty handler in the same
//! process layout in the same run; how many decisions a second a stream gives;
//! how long a start takes and how much memory it leaves. Starts real servers on
//! loopback. `cargo bench --bench load`

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
#[path = "load/empty.rs"]
mod empty;
#[path = "load/process.rs"]
mod process;

use std::time::{Duration, Instant};

use octavia_authz::pb::v1::AuthorizeRequest;

use self::{client::Call, process::Process};

const CONNECTIONS: usize = 8;
const STREAMS: usize = 16;
const CALLS: usize = 200_000;
const ROUNDS: usize = 5;
const STREAMED: usize = 2_000_000;

fn main() {
    if std::env::args().any(|arg| arg == "--empty-server") {
        return empty::serve();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let sidecar = Process::sidecar();
    println!("start, empty store:       ready after {:>5.1} ms", millis(sidecar.started_in));
    println!("memory, idle:             resident {:>8.1} MiB", sidecar.resident_mib());
    let key = sidecar.create_key("writer");
    let request =
        AuthorizeRequest { key, action: "articles.create".to_owned(), ..Default::default() };
    let call = Call::authorize(&request);
    let empty = Process::empty();

    // Once each, not measured: caches warm, connections known to work.
    runtime.block_on(client::unary(
        &sidecar.address,
        &call,
        CONNECTIONS,
        STREAMS,
        CALLS / 10,
        true,
    ));
    runtime.block_on(client::unary(&empty.address, &call, CONNECTIONS, STREAMS, CALLS / 10, false));

    println!(
        "\nunary Authorize, {CONNECTIONS} connections × {STREAMS} streams, {CALLS} calls a round:"
    );
    println!("  round   empty handler            sidecar                  ratio of server CPU");
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let baseline = measure(&runtime, &empty, &call, false);
        let measured = measure(&runtime, &sidecar, &call, true);
        let ratio = measured.cpu_micros / baseline.cpu_micros;
        println!("  {round:<8}{baseline}     {measured}     {ratio:.3}");
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("  median ratio {:.3} (goal: at most 1.25)", ratios[ROUNDS / 2]);

    println!("\nStreamAuthorize, 2 streams, {STREAMED} decisions a round:");
    let mut rates = [0.0; ROUNDS];
    for rate in &mut rates {
        let started = Instant::now();
        runtime.block_on(client::stream(&sidecar.address, &request, 2, STREAMED));
        *rate = STREAMED as f64 / started.elapsed().as_secs_f64();
        println!("  {rate:>9.0}/s");
    }
    rates.sort_by(f64::total_cmp);
    println!("  median {:.0}/s (goal: above 1000000)", rates[ROUNDS / 2]);
    println!("memory, after the load:   resident {:>8.1} MiB", sidecar.resident_mib());
}

struct Measured {
    rate: f64,
    cpu_micros: f64,
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>7.0}/s {:>5.2} µs/call", self.rate, self.cpu_micros)
    }
}

fn measure(
    runtime: &tokio::runtime::Runtime,
    server: &Process,
    call: &Call,
    allowed: bool,
) -> Measured {
    let (cpu, started) = (server.cpu(), Instant::now());
    runtime.block_on(client::unary(&server.address, call, CONNECTIONS, STREAMS, CALLS, allowed));
    Measured {
        rate: CALLS as f64 / started.elapsed().as_secs_f64(),
        cpu_micros: (server.cpu() - cpu).as_secs_f64() * 1e6 / CALLS as f64,
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
