//! A million keys: how fast they are imported, how long a start takes with them,
//! what an Authorize of a key costs that is in no cache, and how much memory that
//! takes. Starts real sidecars on loopback. `cargo bench --bench million`; fewer
//! keys by OCTAVIA_BENCH_KEYS.

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

#[path = "load/import.rs"]
mod import;
#[path = "load/process.rs"]
mod process;

use std::time::{Duration, Instant};

use octavia_authz::{
    pb::v1::{AuthorizeRequest, authorization_service_client::AuthorizationServiceClient},
    token::{KeyId, Token},
};
use tempfile::TempDir;
use tonic::transport::Endpoint;

use self::process::Process;

/// Single calls, one after the other, each for a key that was not asked for yet.
const COLD: usize = 20_000;

fn main() {
    let count = std::env::var("OCTAVIA_BENCH_KEYS").map_or(1_000_000, |n| n.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Beforehand: making and digesting the texts is not the sidecar's work.
    let texts: Vec<Token> =
        (0..count).map(|_| Token::generate(KeyId::generate().unwrap()).unwrap()).collect();
    let keys: Vec<_> =
        texts.iter().enumerate().map(|(number, text)| import::key(number, text)).collect();
    let messages = import::messages(&keys);

    let sidecar = Process::sidecar();
    let started = Instant::now();
    let imported = runtime.block_on(import::import(&sidecar, messages));
    assert_eq!(imported, count as u64);
    let took = started.elapsed();
    println!(
        "import:                   {:>9.0} keys/s ({count} keys in {:.1} s)",
        count as f64 / took.as_secs_f64(),
        took.as_secs_f64()
    );
    println!("memory after the import:  {:>9.0} MiB resident", sidecar.resident_mib());
    let dir = sidecar.stop();
    println!("on the disk:              {:>9.0} MiB", size(dir.path()));

    let dir = restarts(dir);
    let sidecar = Process::sidecar_on(dir);
    let resident = sidecar.resident_mib();
    println!("memory after a start:     {resident:>9.0} MiB resident");
    let mut took = runtime.block_on(cold(&sidecar, &texts));
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    println!(
        "cold Authorize:           p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us, worst {:.0} us",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    println!("memory after these:       {:>9.0} MiB resident", sidecar.resident_mib());
    let filled = runtime.block_on(fill(&sidecar, &texts));
    println!(
        "memory, cache full:       {:>9.0} MiB resident ({filled} keys asked for)",
        sidecar.resident_mib()
    );
}

/// Starts it three times; the files are in the system's cache.
fn restarts(mut dir: TempDir) -> TempDir {
    for _ in 0..3 {
        let sidecar = Process::sidecar_on(dir);
        println!("start:                    {:>9.2} s", sidecar.started_in.as_secs_f64());
        dir = sidecar.stop();
    }
    dir
}

/// One call after the other, each for another key.
async fn cold(sidecar: &Process, texts: &[Token]) -> Vec<Duration> {
    let channel = Endpoint::from_shared(format!("http://{}", sidecar.address)).unwrap();
    let mut client = AuthorizationServiceClient::new(channel.connect().await.unwrap());
    let step = (texts.len() / COLD).max(1);
    let mut took = Vec::new();
    for text in texts.iter().step_by(step) {
        let request = question(text);
        let started = Instant::now();
        assert!(client.authorize(request).await.unwrap().into_inner().allowed);
        took.push(started.elapsed());
    }
    took
}

/// More keys than the cache holds, in a stream.
async fn fill(sidecar: &Process, texts: &[Token]) -> usize {
    let channel = Endpoint::from_shared(format!("http://{}", sidecar.address)).unwrap();
    let mut client = AuthorizationServiceClient::new(channel.connect().await.unwrap());
    let asked: Vec<_> = texts.iter().rev().take(300_000).map(question).collect();
    let count = asked.len();
    let mut answers =
        client.stream_authorize(tokio_stream::iter(asked)).await.unwrap().into_inner();
    let mut allowed = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        allowed += usize::from(answer.allowed);
    }
    assert_eq!(allowed, count);
    count
}

fn question(text: &Token) -> AuthorizeRequest {
    AuthorizeRequest {
        key: text.reveal().to_owned(),
        action: "articles.create".to_owned(),
        ..Default::default()
    }
}

fn size(dir: &std::path::Path) -> f64 {
    let sizes = std::fs::read_dir(dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => size(&entry.path()),
            false => entry.metadata().unwrap().len() as f64 / f64::from(1 << 20),
        }
    });
    sizes.sum()
}
