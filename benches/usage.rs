//! What recording the use of a key costs a request, and what a flush costs.
//! `cargo bench --bench usage`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark that fails shall stop where it fails"
)]

use std::{
    hint::black_box,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use octavia_authz::{
    change::Actor,
    clock::{Clock, Timestamp},
    digest::Digester,
    record::{KeyRecord, SecretRecord},
    token::{KeyId, Token},
    usage::{Cell, Usage},
};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn key() -> KeyRecord {
    let id = KeyId::generate().unwrap();
    let token = Token::generate(id).unwrap();
    KeyRecord {
        id,
        name: String::new(),
        team: String::new(),
        service: String::new(),
        role: String::new(),
        grants: Vec::new(),
        active: true,
        expires: None,
        created: NOW,
        updated: NOW,
        subject: String::new(),
        description: String::new(),
        labels: Default::default(),
        created_by: Actor::Operator,
        revision: 1,
        secrets: vec![SecretRecord::new(&token, 1, &Digester::new(None, None), NOW)],
        imported: None,
    }
}

/// The time that `iterations` records take on each of two threads.
fn on_two_threads(cells: [&Arc<Cell>; 2], iterations: u64) -> Duration {
    let barrier = &Barrier::new(2);
    thread::scope(|scope| {
        let threads = cells.map(|cell| {
            scope.spawn(move || {
                barrier.wait();
                let started = Instant::now();
                for _ in 0..iterations {
                    black_box(cell).record(black_box(1), black_box(NOW), black_box(true));
                }
                started.elapsed()
            })
        });
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    })
}

fn usage(criterion: &mut Criterion) {
    let dir = TempDir::new().unwrap();
    let usage = Usage::open(dir.path(), Clock::System).unwrap();
    let (cell, other) = (usage.cell(&key()), usage.cell(&key()));
    let mut group = criterion.benchmark_group("usage");
    group.throughput(Throughput::Elements(1));

    group.bench_function("record", |bencher| {
        bencher.iter(|| black_box(&cell).record(black_box(1), black_box(NOW), black_box(true)));
    });
    let mut now = NOW.0;
    group.bench_function("record, a millisecond later each", |bencher| {
        bencher.iter(|| {
            now += 1;
            black_box(&cell).record(black_box(1), black_box(Timestamp(now)), black_box(true));
        });
    });
    group.bench_function("record, two threads, same key", |bencher| {
        bencher.iter_custom(|iterations| on_two_threads([&cell, &cell], iterations));
    });
    group.bench_function("record, two threads, different keys", |bencher| {
        bencher.iter_custom(|iterations| on_two_threads([&cell, &other], iterations));
    });
    group.bench_function("record and collect", |bencher| {
        bencher.iter(|| {
            cell.record(1, NOW, true);
            usage.collect()
        });
    });

    let cells: Vec<_> = (0..10_000).map(|_| usage.cell(&key())).collect();
    group.sample_size(10);
    group.bench_function("flush of 10,000 used keys", |bencher| {
        bencher.iter(|| {
            cells.iter().for_each(|cell| cell.record(1, NOW, true));
            usage.flush().unwrap();
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots().warm_up_time(Duration::from_secs(1));
    targets = usage
}
criterion_main!(benches);
