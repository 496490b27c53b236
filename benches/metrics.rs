//! What counting costs a decision: the same authorizer with metrics and without, in turns of a
//! millisecond, so that what else the machine does hits both. `cargo bench --bench metrics`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark that fails shall stop where it fails, and says what it found"
)]

use std::{
    hint::black_box,
    sync::{Arc, Barrier},
    thread,
    time::Instant,
};

use octavia_authz::{
    authorizer::{Authorizer, Question},
    clock::Clock,
    digest::Digester,
    keyring::{Caller, Identity, Keyring, NewKey},
    metrics::{Api, DecisionMetrics, Exposition, Metrics},
    policy::{CurrentPolicy, Policy},
    store::Embedded,
    usage::Usage,
};
use tempfile::TempDir;

// The program's own: with another one, allocations cost other times.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Decisions in one turn.
const TURN: u32 = 4000;
/// Turns of each.
const TURNS: usize = 1500;

struct Setup {
    _dir: TempDir,
    keys: Vec<String>,
    counted: Authorizer,
    not_counted: Authorizer,
    metrics: DecisionMetrics,
}

fn setup() -> Setup {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(Embedded::open(dir.path()).unwrap());
    let policy = CurrentPolicy::new(Policy::built_in().unwrap());
    let digester = Digester::new(None, None);
    let usage = Usage::open(&dir.path().join("usage"), Clock::System).unwrap();
    let (clock, runtime) = (Clock::System, tokio::runtime::Runtime::new().unwrap());
    let keyring =
        Keyring::new(store.clone(), policy.clone(), digester.clone(), usage.clone(), clock.clone());
    let create = |number: usize| {
        let peer = "bench".to_owned();
        let caller = Caller { identity: Identity::Operator, peer, request_id: String::new() };
        let (name, role) = (format!("key {number}"), "writer".to_owned());
        let new = NewKey { name, role, ..NewKey::default() };
        let (_, token) = runtime.block_on(keyring.create(caller, new)).unwrap();
        token.reveal().to_owned()
    };
    let keys = (0..2).map(create).collect();
    let authorizer = || {
        let (store, policy) = (store.clone(), policy.clone());
        Authorizer::new(store, policy, digester.clone(), usage.clone(), 100, clock.clone())
    };
    let metrics = DecisionMetrics::default();
    let counted = authorizer().with_metrics(metrics.clone());
    Setup { _dir: dir, keys, counted, not_counted: authorizer(), metrics }
}

/// Nanoseconds for one decision, timed as the gRPC service does.
fn turn(authorizer: &Authorizer, key: &str) -> f64 {
    let question = Question { key, action: "articles.create", ..Question::default() };
    let started = Instant::now();
    for _ in 0..TURN {
        let timer = authorizer.timer(Api::Authorize);
        black_box(authorizer.authorize(black_box(&question)).unwrap());
        drop(timer);
    }
    started.elapsed().as_nanos() as f64 / f64::from(TURN)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Both in turns on a thread for each of `keys`, which begin each turn together. Gives what the
/// slower thread takes, counted and not.
fn compare(setup: &Setup, keys: &[&str]) -> Vec<(f64, f64)> {
    let barrier = Barrier::new(keys.len());
    let run = |key: &str| -> Vec<(f64, f64)> {
        let mut times = Vec::with_capacity(TURNS);
        for number in 0..TURNS {
            let timed = |authorizer| {
                barrier.wait();
                turn(authorizer, key)
            };
            // Neither is always the first.
            times.push(if number % 2 == 0 {
                let counted = timed(&setup.counted);
                (counted, timed(&setup.not_counted))
            } else {
                let not_counted = timed(&setup.not_counted);
                (timed(&setup.counted), not_counted)
            });
        }
        times
    };
    thread::scope(|scope| {
        let threads: Vec<_> = keys.iter().map(|key| scope.spawn(move || run(key))).collect();
        let mut all = threads.into_iter().map(|thread| thread.join().unwrap());
        let mut slower = all.next().unwrap();
        for times in all {
            for (slow, time) in slower.iter_mut().zip(times) {
                *slow = (slow.0.max(time.0), slow.1.max(time.1));
            }
        }
        slower
    })
}

fn main() {
    let setup = setup();
    let [one, two] = [0, 1].map(|key| setup.keys[key].as_str());
    println!("ns a decision on a cached key, medians of {TURNS} turns of {TURN}:");
    println!("{:<34}{:>9}{:>13}{:>12}", "", "counted", "not counted", "difference");
    for (name, keys) in [
        ("one thread", &[one][..]),
        ("two threads, two keys of a role", &[one, two]),
        ("two threads, one key", &[one, one]),
    ] {
        let times = compare(&setup, keys);
        let counted = median(times.iter().map(|(counted, _)| *counted).collect());
        let not_counted = median(times.iter().map(|(_, not_counted)| *not_counted).collect());
        let difference = median(times.iter().map(|(counted, without)| counted - without).collect());
        println!("{name:<34}{counted:>9.1}{not_counted:>13.1}{difference:>12.1}");
    }
    let shown: u64 = setup.metrics.cache.hits();
    assert!(shown >= u64::from(TURN), "what is counted is counted");

    let metrics = Metrics::default();
    let started = Instant::now();
    let text = metrics.encode(Exposition::Classic).unwrap();
    println!("a scrape without gauges: {:?}, {} bytes", started.elapsed(), text.len());
}
