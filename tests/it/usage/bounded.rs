//! However many calls there are, a flush writes each key once at most: exactly in
//! process, and of a real sidecar by what its files say.
//!
//! `OCTAVIA_TEST_CALLS` (200000) is how many calls on 1000 keys there are.

use std::{
    env, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use octavia_authz::{
    authorizer::{Authorizer, Outcome, Question},
    clock::Clock,
    digest::Digester,
    keyring::{Caller, Identity, Keyring, NewKey},
    pb::v1::AuthorizeRequest,
    policy::{CurrentPolicy, Policy},
    store::Embedded,
    usage::Usage,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{ALLOWED, asks, foreign, import, list};
use crate::sidecar::{PATIENCE, STEP, Sidecar};

const KEYS: usize = 1000;
const INTERVAL_MS: u64 = 500;
/// The rows of one write; a flush of all keys takes ten.
const ROWS_IN_A_WRITE: u64 = 100;
/// More than a row takes in sled's log.
const ROW_SIZE: u64 = 256;

/// As many for every key.
fn calls() -> u64 {
    let calls = env::var("OCTAVIA_TEST_CALLS").map_or(200_000, |calls| calls.parse().unwrap());
    calls / (2 * KEYS as u64) * 2 * KEYS as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_on_a_thousand_keys_write_at_most_a_thousand_rows_a_flush_however_many_they_are() {
    const FLUSHES: u64 = 10;
    let calls = calls();
    let dir = TempDir::new().unwrap();
    let store = Arc::new(Embedded::open(dir.path()).unwrap());
    let policy = CurrentPolicy::new(Policy::built_in().unwrap());
    let (digester, clock) = (Digester::new(None, None), Clock::System);
    let usage = Usage::open(&dir.path().join("usage"), clock.clone()).unwrap();
    let keyring =
        Keyring::new(store.clone(), policy.clone(), digester.clone(), usage.clone(), clock.clone());
    let mut creating = JoinSet::new();
    for _ in 0..KEYS {
        let new = NewKey { name: "a key".into(), role: "writer".into(), ..NewKey::default() };
        let caller =
            Caller { identity: Identity::Operator, peer: String::new(), request_id: String::new() };
        let keyring = keyring.clone();
        creating.spawn(async move { keyring.create(caller, new).await.unwrap() });
    }
    let keys = creating.join_all().await;
    let authorizer = Authorizer::new(store, policy, digester, usage.clone(), 10_000, clock);
    let done = AtomicU64::new(0);
    let started = Instant::now();
    thread::scope(|scope| {
        for half in 0..2 {
            let (done, authorizer, keys) = (&done, &authorizer, &keys);
            scope.spawn(move || {
                for call in 0..calls / 2 {
                    let (_, token) = &keys[(call as usize * 2 + half) % KEYS];
                    let question =
                        Question { key: token.reveal(), action: ALLOWED, ..Question::default() };
                    let decision = authorizer.authorize(&question).unwrap();
                    assert_eq!(decision.outcome, Outcome::Allow);
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let mut flushes = 0;
        while flushes < FLUSHES {
            if done.load(Ordering::SeqCst) >= (flushes + 1) * calls / (FLUSHES + 1) {
                let before = usage.written();
                usage.flush().unwrap();
                assert!(usage.written() - before <= KEYS as u64);
                flushes += 1;
            }
            assert!(started.elapsed() < 4 * PATIENCE, "the calls have stopped");
            thread::sleep(STEP);
        }
    });
    usage.flush().unwrap();
    assert!(usage.written() <= (FLUSHES + 1) * KEYS as u64, "{}", usage.written());
    for (key, _) in &keys {
        assert_eq!(usage.of(key.id).unwrap().allowed, calls / KEYS as u64);
    }
    // Nobody calls: nothing is written.
    let before = usage.written();
    usage.flush().unwrap();
    assert_eq!(usage.written(), before);
}

/// How many writes were ever made durable, as the file `synced` says.
fn writes(dir: &Path) -> u64 {
    let bytes = fs::read(dir.join("usage/synced")).unwrap();
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                size(&path)
            } else {
                fs::metadata(path).map_or(0, |file| file.len())
            }
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_writes_each_of_a_thousand_keys_at_most_once_a_flush_interval() {
    let per_key = calls() as usize / KEYS;
    let dir = TempDir::new().unwrap();
    let interval = format!("{INTERVAL_MS}ms");
    let sidecar = Sidecar::start_on(dir.path(), &["--usage-flush-interval", &interval]);
    let text = |number: usize| format!("the text of key {number}");
    import(&sidecar, (0..KEYS).map(|number| foreign(&text(number))).collect()).await;
    let (before, size_before) = (writes(dir.path()), size(&dir.path().join("usage")));
    let started = Instant::now();
    let mut streams = JoinSet::new();
    for half in 0..2 {
        let mut client = sidecar.authorization().await;
        let requests: Vec<AuthorizeRequest> =
            (0..KEYS / 2).map(|number| asks(&text(number * 2 + half), ALLOWED)).collect();
        streams.spawn(async move {
            let requests = (0..per_key).flat_map(move |_| requests.clone());
            let answers = client.stream_authorize(tokio_stream::iter(requests)).await.unwrap();
            let mut answers = answers.into_inner();
            let mut allowed = 0;
            while let Some(answer) = answers.message().await.unwrap() {
                allowed += usize::from(answer.allowed);
            }
            allowed
        });
    }
    let allowed: usize = streams.join_all().await.into_iter().sum();
    assert_eq!(allowed, per_key * KEYS);
    let keys = list(&sidecar, "").await;
    assert!(keys.iter().all(|key| key.allowed_count == per_key as u64));
    sidecar.finish().await;
    // One for each interval that has passed, and the one at the stop.
    let flushes = started.elapsed().as_millis() as u64 / INTERVAL_MS + 2;
    let writes = writes(dir.path()) - before;
    let grown = size(&dir.path().join("usage")).saturating_sub(size_before);
    let allowed = flushes * KEYS as u64 * ROW_SIZE;
    assert!(grown <= allowed, "{grown} bytes in {flushes} flushes");
    assert!(writes <= flushes * KEYS as u64 / ROWS_IN_A_WRITE, "{writes} in {flushes} flushes");
}
