//! What a page of keys costs in process, and what the catalog behind it: time at
//! the start, and memory. `cargo bench --bench list`; with
//! `OCTAVIA_BENCH_KEYS=1000000` on as many keys.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    reason = "a benchmark that fails shall stop where it fails, and says what it found"
)]

use std::{
    collections::BTreeMap,
    env, fs,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use octavia_authz::{
    change::{Actor, Change, ChangeKind, Effect, Origin},
    clock::{Clock, Timestamp},
    digest::Digester,
    keyring::{By, Caller, Filter, Identity, Keyring, Order, PageRequest},
    policy::{CurrentPolicy, Policy},
    record::{KeyRecord, SecretRecord},
    store::{Embedded, Store as _},
    token::{KeyId, Token},
    usage::Usage,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const DAY: i64 = 24 * 60 * 60 * 1000;
const ROLES: [&str; 5] = ["admin", "writer", "read_only", "publisher", "editor"];

/// Key `number` of many: every name another, labels on every fourth.
fn record(number: usize, digester: &Digester) -> KeyRecord {
    let id = KeyId::generate().unwrap();
    let at = |days: usize| Timestamp(NOW.0 - i64::try_from(days).unwrap() * DAY);
    let label = |name: &str, value: String| (name.to_owned(), value);
    let labels = match number % 4 {
        0 => BTreeMap::from([
            label("env", format!("stage-{}", number % 3)),
            label("owner", format!("squad-{}", number % 500)),
        ]),
        _ => BTreeMap::new(),
    };
    KeyRecord {
        id,
        name: format!("{} key {number}", ROLES[number % 3]),
        team: format!("team-{}", number % 200),
        service: "ai-cms".to_owned(),
        role: ROLES[number % 5].to_owned(),
        grants: Vec::new(),
        active: !number.is_multiple_of(10),
        expires: number.is_multiple_of(3).then_some(Timestamp(NOW.0 + DAY)),
        created: at(number % 700),
        updated: at(number % 300),
        subject: id.to_string(),
        description: String::new(),
        labels,
        created_by: Actor::Operator,
        revision: 0,
        secrets: vec![SecretRecord::new(&Token::generate(id).unwrap(), 1, digester, at(700))],
        imported: None,
    }
}

fn fill(store: &Embedded, count: usize, digester: &Digester) {
    let change = |key: KeyRecord| Change {
        kind: ChangeKind::Create,
        time: NOW,
        origin: Origin {
            actor: Actor::Operator,
            peer: "bench".to_owned(),
            request_id: String::new(),
        },
        key_id: Some(key.id),
        team: key.team.clone(),
        service: key.service.clone(),
        effect: Effect::Put(Box::new(key)),
    };
    let runtime = runtime();
    for first in (0..count).step_by(1000) {
        let numbers = first..count.min(first + 1000);
        let changes: Vec<_> = numbers.map(|number| change(record(number, digester))).collect();
        runtime.block_on(store.commit(Box::new(move |_| Ok(changes.clone())))).unwrap();
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn lists(criterion: &mut Criterion) {
    let count = env::var("OCTAVIA_BENCH_KEYS").map_or(100_000, |count| count.parse().unwrap());
    let (dir, digester) = (TempDir::new().unwrap(), Digester::new(None, None));
    fill(&Embedded::open(dir.path()).unwrap(), count, &digester);
    // Opened anew, as at a start; read once, so that sled's cache is full.
    let store = Arc::new(Embedded::open(dir.path()).unwrap());
    let reading = Instant::now();
    assert_eq!(store.scan(None).filter(Result::is_ok).count(), count);
    let (reading, before) = (reading.elapsed(), resident());
    let building = Instant::now();
    let policy = CurrentPolicy::new(Policy::built_in().unwrap());
    let clock = Clock::test(NOW);
    let usage = Usage::open(&dir.path().join("usage"), clock.clone()).unwrap();
    let keyring = Keyring::new(store, policy, digester, usage, clock);
    let caller = Caller {
        identity: Identity::Operator,
        peer: "bench".to_owned(),
        request_id: String::new(),
    };
    let runtime = runtime();
    let list =
        |request| runtime.block_on(keyring.list(caller.clone(), black_box(request))).unwrap();
    // Waits until all keys were read.
    list(PageRequest::default());
    let (building, after) = (building.elapsed(), resident());
    eprintln!(
        "{count} keys: read alone in {reading:.0?} by one thread; keyring made in {building:.0?} beside it; \
         {} bytes a key",
        after.saturating_sub(before) / count
    );

    let mut group = criterion.benchmark_group(format!("list, {count} keys"));
    let mut bench = |name: &str, request: PageRequest| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| list(request.clone()));
        });
    };
    let ordered =
        |by, descending| PageRequest { order: Order { by, descending }, ..PageRequest::default() };
    let filtered = |filter| PageRequest { filter, ..PageRequest::default() };
    bench("first page", PageRequest::default());
    let token = list(PageRequest::default()).next;
    bench("second page", PageRequest { token, ..PageRequest::default() });
    bench("first page of 1000", PageRequest { size: 1000, ..PageRequest::default() });
    let nothing = Some("no such name".to_owned());
    bench("a name that none has", filtered(Filter { name_contains: nothing, ..Filter::default() }));
    bench("by name desc", ordered(By::Name, true));
    let first = list(ordered(By::Name, true));
    bench(
        "by name desc, second page",
        PageRequest { token: first.next, ..ordered(By::Name, true) },
    );
    bench("by create_time", ordered(By::Created, false));
    bench("by last_used_time", ordered(By::LastUsed, false));
    let year = Some(Duration::from_secs(365 * 24 * 60 * 60));
    bench("unused_for", filtered(Filter { unused_for: year, ..Filter::default() }));
    let labels = BTreeMap::from([
        ("env".to_owned(), "stage-1".to_owned()),
        ("owner".to_owned(), "squad-4".to_owned()),
    ]);
    bench("labels", filtered(Filter { labels, ..Filter::default() }));
    let team = Some("team-7".to_owned());
    bench("a team", filtered(Filter { team, ..Filter::default() }));
    group.bench_function(format!("keys counted by status, {count} keys"), |bencher| {
        // A new one remembers no look.
        bencher.iter(|| keyring.tally().counts().unwrap());
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots().sample_size(20).warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = lists
}
criterion_main!(benches);
