//! What a decision costs in process: on a cached key, and on one that has to be
//! read from the state. `cargo bench --bench decision`; with
//! `OCTAVIA_BENCH_KEYS=1000000` on as many keys.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark that fails shall stop where it fails"
)]

use std::{
    env,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use octavia_authz::{
    authorizer::{Authorizer, Question},
    clock::Clock,
    digest::Digester,
    keyring::{Caller, Identity, Keyring, NewKey},
    policy::{Attributes, CurrentPolicy, Policy},
    store::{Embedded, Reader as _},
    token,
    usage::Usage,
};
use tempfile::TempDir;

// The program's own: with another one, allocations cost other times.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

struct Setup {
    _dir: TempDir,
    store: Arc<Embedded>,
    policy: CurrentPolicy,
    usage: Usage,
    keys: Vec<String>,
}

fn setup(count: usize) -> Setup {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(Embedded::open(dir.path()).unwrap());
    let policy = CurrentPolicy::new(Policy::built_in().unwrap());
    let digester = Digester::new(None, None);
    let usage = Usage::open(&dir.path().join("usage"), Clock::System).unwrap();
    let keyring =
        Keyring::new(store.clone(), policy.clone(), digester.clone(), usage.clone(), Clock::System);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let keys = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..256 {
            let keyring = keyring.clone();
            tasks.spawn(async move {
                let mut texts = Vec::new();
                for number in (writer..count).step_by(256) {
                    let caller = Caller {
                        identity: Identity::Operator,
                        peer: "bench".to_owned(),
                        request_id: String::new(),
                    };
                    let name = format!("key {number}");
                    let new = NewKey { name, role: "writer".to_owned(), ..NewKey::default() };
                    let (_, token) = keyring.create(caller, new).await.unwrap();
                    texts.push(token.reveal().to_owned());
                }
                texts
            });
        }
        tasks.join_all().await.into_iter().flatten().collect()
    });
    Setup { _dir: dir, store, policy, usage, keys }
}

fn authorizer(setup: &Setup) -> Authorizer {
    Authorizer::new(
        setup.store.clone(),
        setup.policy.clone(),
        Digester::new(None, None),
        setup.usage.clone(),
        setup.keys.len() as u64,
        Clock::System,
    )
}

fn question(key: &str) -> Question<'_> {
    Question { key, action: "articles.create", service: "", attributes: Attributes::default() }
}

fn decisions(criterion: &mut Criterion) {
    let count = env::var("OCTAVIA_BENCH_KEYS").map_or(10_000, |count| count.parse().unwrap());
    let setup = setup(count);
    let mut group = criterion.benchmark_group("decision");
    group.throughput(Throughput::Elements(1));

    group.bench_function("token parsed and digested", |bencher| {
        let digester = Digester::new(None, None);
        bencher.iter(|| digester.present(black_box(&setup.keys[0])));
    });

    let warm = authorizer(&setup);
    assert!(warm.authorize(&question(&setup.keys[0])).unwrap().key.is_some());
    group.bench_function("cached key", |bencher| {
        bencher.iter(|| warm.authorize(black_box(&question(&setup.keys[0]))));
    });

    let hot: Vec<_> = setup.keys.iter().take(1000).collect();
    for key in &hot {
        warm.authorize(&question(key)).unwrap();
    }
    let mut next = hot.iter().cycle();
    group.bench_function("cached key, one of 1000", |bencher| {
        bencher.iter(|| warm.authorize(black_box(&question(next.next().unwrap()))));
    });

    let ids: Vec<_> = setup.keys.iter().map(|key| token::id_in(key).unwrap()).collect();
    let mut next = ids.iter().cycle();
    group.bench_function(format!("record read, {count} keys"), |bencher| {
        bencher.iter(|| setup.store.get(black_box(*next.next().unwrap())).unwrap());
    });

    let mut cold = authorizer(&setup);
    let mut at = 0;
    group.bench_function(format!("miss, {count} keys"), |bencher| {
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            let mut left = usize::try_from(iterations).unwrap();
            while left > 0 {
                if at == setup.keys.len() {
                    (cold, at) = (authorizer(&setup), 0);
                    // As the flusher would: not the request's work.
                    setup.usage.collect().unwrap();
                }
                let now = left.min(setup.keys.len() - at);
                let started = Instant::now();
                for key in &setup.keys[at..at + now] {
                    black_box(cold.authorize(&question(key)).unwrap());
                }
                spent += started.elapsed();
                (at, left) = (at + now, left - now);
            }
            spent
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots().warm_up_time(Duration::from_secs(1));
    targets = decisions
}
criterion_main!(benches);
