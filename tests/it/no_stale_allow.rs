//! Once a change is acknowledged, no decision stands on what was before it; and
//! nothing undecided is an allow. In process: a store that fails and waits on
//! demand, and a clock that stands still.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use octavia_authz::{
    authorizer::{Authorizer, Decision, Outcome, Question, Reason},
    clock::{Clock, Timestamp},
    digest::{Digest, Digester},
    expiration::Expiration,
    gateway::{Gateway, HttpRequest, KeyHeaders},
    keyring::{Caller, Identity, Keyring, NewKey, Patch},
    metrics::{Counted, DecisionMetrics, NONE},
    policy::{Attributes, CurrentPolicy, Policy},
    record::KeyRecord,
    store::{
        CommitError, Committed, Embedded, Reader, Revision, Rule, Store, StoreError, Subscriber,
        Summary,
    },
    token::{KeyId, Token},
    usage::Usage,
};
use tempfile::TempDir;

/// A sidecar's parts, without its sockets.
struct Parts {
    _dir: TempDir,
    faults: Arc<FaultyStore>,
    authorizer: Arc<Authorizer>,
    keyring: Keyring,
    policy: CurrentPolicy,
    clock: Clock,
}

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn parts() -> Parts {
    parts_with(Policy::built_in().unwrap())
}

fn parts_with(policy: Policy) -> Parts {
    let dir = TempDir::new().unwrap();
    let store = Embedded::open(dir.path()).unwrap();
    let faults =
        Arc::new(FaultyStore { store, fault: Mutex::new(Fault::None), changed: Condvar::new() });
    let policy = CurrentPolicy::new(policy);
    let clock = Clock::test(NOW);
    let digester = Digester::new(None, None);
    let usage = Usage::open(&dir.path().join("usage"), clock.clone()).unwrap();
    Parts {
        authorizer: Arc::new(Authorizer::new(
            faults.clone(),
            policy.clone(),
            digester.clone(),
            usage.clone(),
            1000,
            clock.clone(),
        )),
        keyring: Keyring::new(faults.clone(), policy.clone(), digester, usage, clock.clone()),
        policy,
        faults,
        clock,
        _dir: dir,
    }
}

impl Parts {
    async fn create(&self, new: NewKey) -> (KeyRecord, Token) {
        let new = NewKey { name: "a key".to_owned(), ..new };
        self.keyring.create(operator(), new).await.unwrap()
    }

    async fn writer(&self) -> (KeyRecord, Token) {
        self.create(NewKey { role: "writer".to_owned(), ..NewKey::default() }).await
    }

    fn decide(&self, token: &Token) -> Result<Decision, StoreError> {
        decide(&self.authorizer, token)
    }

    fn outcome(&self, token: &Token) -> Outcome {
        self.decide(token).unwrap().outcome
    }
}

fn decide(authorizer: &Authorizer, token: &Token) -> Result<Decision, StoreError> {
    let (key, action) = (token.reveal(), "articles.create");
    authorizer.authorize(&Question { key, action, service: "", attributes: Attributes::default() })
}

fn operator() -> Caller {
    Caller { identity: Identity::Operator, peer: "test".to_owned(), request_id: String::new() }
}

/// The embedded store, with faults in its reads.
struct FaultyStore {
    store: Embedded,
    fault: Mutex<Fault>,
    changed: Condvar,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Fault {
    None,
    /// The next read waits, with what it read, until it is let go.
    Hold,
    /// A read waits.
    Held,
    /// Reads fail.
    Fail,
}

impl FaultyStore {
    fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
        self.changed.notify_all();
    }

    fn wait_for(&self, fault: Fault) {
        let held = self.fault.lock().unwrap();
        let patience = crate::sidecar::PATIENCE;
        let (_held, timeout) =
            self.changed.wait_timeout_while(held, patience, |now| *now != fault).unwrap();
        assert!(!timeout.timed_out());
    }
}

impl Reader for FaultyStore {
    fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let read = self.store.get(id);
        let mut fault = self.fault.lock().unwrap();
        match *fault {
            Fault::Fail => return Err(StoreError::Unavailable("a fault was injected")),
            Fault::Hold => {
                *fault = Fault::Held;
                self.changed.notify_all();
                drop(self.changed.wait_while(fault, |fault| *fault == Fault::Held).unwrap());
            }
            Fault::None | Fault::Held => {}
        }
        read
    }

    fn find(&self, digest: &Digest) -> Result<Option<KeyId>, StoreError> {
        self.store.find(digest)
    }
}

impl Store for FaultyStore {
    fn commit(
        &self,
        rule: Rule,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Committed>, CommitError>> + Send + '_>> {
        self.store.commit(rule)
    }

    fn scan(
        &self,
        after: Option<KeyId>,
    ) -> Box<dyn Iterator<Item = Result<KeyRecord, StoreError>> + Send + '_> {
        self.store.scan(after)
    }

    fn subscribe(&self, subscriber: Subscriber) {
        self.store.subscribe(subscriber);
    }

    fn revision(&self) -> Revision {
        self.store.revision()
    }

    fn summary(&self) -> Summary {
        self.store.summary()
    }
}

/// Holds a load open while `change` is made and acknowledged, lets the load go,
/// and gives what the next decision is.
async fn decision_after_a_load_that_began_before(change: Change) -> Outcome {
    let parts = parts();
    let (key, token) = parts.writer().await;
    parts.faults.set(Fault::Hold);
    thread::scope(|scope| {
        let loading = scope.spawn(|| parts.outcome(&token));
        parts.faults.wait_for(Fault::Held);
        thread::scope(|scope| {
            let changing = scope.spawn(|| block_on(change.make(&parts.keyring, &key)));
            changing.join().unwrap();
        });
        parts.faults.set(Fault::None);
        // It began before the change was acknowledged: either answer is right.
        loading.join().unwrap();
    });
    let outcome = parts.outcome(&token);
    assert_eq!(parts.outcome(&token), outcome, "the next one says the same");
    outcome
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[derive(Copy, Clone, Debug)]
enum Change {
    Revoke,
    Disable,
    Demote,
    Rotate,
}

impl Change {
    async fn make(self, keyring: &Keyring, key: &KeyRecord) {
        let (id, etag) = (key.id.as_str(), String::new());
        let patch = match self {
            Self::Revoke => {
                keyring.revoke(operator(), id, etag, false).await.unwrap();
                return;
            }
            Self::Rotate => {
                keyring.rotate(operator(), id, Duration::ZERO, etag).await.unwrap();
                return;
            }
            Self::Disable => Patch { active: Some(false), ..Patch::default() },
            Self::Demote => Patch { role: Some("read_only".to_owned()), ..Patch::default() },
        };
        keyring.update(operator(), id, patch, etag, false).await.unwrap();
    }

    fn denial(self) -> Outcome {
        Outcome::Deny(match self {
            Self::Revoke | Self::Rotate => Reason::KeyUnknown,
            Self::Disable => Reason::KeyInactive,
            Self::Demote => Reason::ActionDenied,
        })
    }
}

#[tokio::test]
async fn a_load_that_began_before_a_change_leaves_nothing_stale_behind() {
    for change in [Change::Revoke, Change::Disable, Change::Demote, Change::Rotate] {
        let outcome = decision_after_a_load_that_began_before(change).await;
        assert_eq!(outcome, change.denial(), "{change:?}");
    }
}

/// Keys that are changed together, so that their changes share an fdatasync.
const GROUP: usize = 25;
const ROUNDS: usize = 120;

#[test]
fn after_an_acknowledged_change_no_racing_thread_is_allowed() {
    struct Target {
        token: Token,
        changed: AtomicBool,
        allowed: AtomicBool,
    }
    let parts = parts();
    let targets: Mutex<Arc<Vec<Target>>> = Mutex::default();
    let (done, denied) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let targets = Arc::clone(&targets.lock().unwrap());
                    for target in targets.iter() {
                        let was_changed = target.changed.load(Ordering::SeqCst);
                        if parts.outcome(&target.token) == Outcome::Allow {
                            assert!(!was_changed, "a stale allow");
                            target.allowed.store(true, Ordering::SeqCst);
                        } else {
                            denied.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for round in 0..ROUNDS {
            let change = [Change::Revoke, Change::Disable, Change::Demote][round % 3];
            let created: Vec<_> = runtime.block_on(all((0..GROUP).map(|_| parts.writer())));
            let (keys, tokens): (Vec<_>, Vec<_>) = created.into_iter().unzip();
            let target = |token| Target {
                token,
                changed: AtomicBool::new(false),
                allowed: AtomicBool::new(false),
            };
            let group = Arc::new(tokens.into_iter().map(target).collect::<Vec<_>>());
            *targets.lock().unwrap() = Arc::clone(&group);
            // Let every key be allowed, so that there is something to go stale.
            crate::sidecar::wait_until("allows", || {
                group.iter().all(|target| target.allowed.load(Ordering::SeqCst))
            });
            runtime.block_on(all(keys.iter().zip(group.iter()).map(async |(key, target)| {
                change.make(&parts.keyring, key).await;
                target.changed.store(true, Ordering::SeqCst);
                for _ in 0..10 {
                    assert_eq!(parts.outcome(&target.token), change.denial(), "round {round}");
                }
            })));
        }
        done.store(true, Ordering::SeqCst);
    });
    assert!(denied.load(Ordering::Relaxed) > 0, "nobody raced");
}

/// Runs futures at once, on this thread.
async fn all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in futures.iter_mut().filter(|(_, output)| output.is_none()) {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(cx) {
                *output = Some(value);
            }
        }
        if futures.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    futures.into_iter().filter_map(|(_, output)| output).collect()
}

#[tokio::test]
async fn a_key_expires_on_the_millisecond_cached_or_not() {
    let parts = parts();
    let expires = Timestamp(NOW.0 + 60_000);
    let new =
        NewKey { role: "writer".to_owned(), expires: Expiration::At(expires), ..NewKey::default() };
    let (_, token) = parts.create(new).await;
    for warm in [false, true] {
        assert_eq!(parts.authorizer.cached_keys(), u64::from(warm));
        for (offset, outcome) in [
            (-60_000, Outcome::Allow),
            (-1, Outcome::Allow),
            (0, Outcome::Deny(Reason::KeyExpired)),
            (1, Outcome::Deny(Reason::KeyExpired)),
            (-1, Outcome::Allow),
        ] {
            parts.clock.set(Timestamp(expires.0 + offset));
            assert_eq!(parts.outcome(&token), outcome, "{offset} ms, warm: {warm}");
        }
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_read_decides_nothing() {
    let mut parts = parts();
    let metrics = DecisionMetrics::default();
    parts.authorizer =
        Arc::new(Arc::into_inner(parts.authorizer).unwrap().with_metrics(metrics.clone()));
    let (_, token) = parts.writer().await;
    parts.faults.set(Fault::Fail);
    assert!(parts.decide(&token).is_err());
    assert_eq!(metrics.counts.count([NONE; 3], Counted::Unavailable), 1);
    parts.faults.set(Fault::None);
    assert_eq!(parts.outcome(&token), Outcome::Allow);
    // What is cached needs no store.
    parts.faults.set(Fault::Fail);
    assert_eq!(parts.outcome(&token), Outcome::Allow);
}

#[tokio::test]
async fn unknown_ids_never_enter_the_cache() {
    let parts = parts();
    let (_, token) = parts.writer().await;
    for _ in 0..1000 {
        let unknown = Token::generate(KeyId::generate().unwrap()).unwrap();
        assert_eq!(parts.outcome(&unknown), Outcome::Deny(Reason::KeyUnknown));
    }
    assert_eq!(parts.authorizer.cached_keys(), 0);
    assert_eq!(parts.outcome(&token), Outcome::Allow);
    assert_eq!(parts.authorizer.cached_keys(), 1);
}

#[tokio::test]
async fn a_wrong_secret_is_told_from_an_unknown_id_by_nothing() {
    let parts = parts();
    let (key, token) = parts.writer().await;
    let wrong = Token::generate(key.id).unwrap();
    let unknown = Token::generate(KeyId::generate().unwrap()).unwrap();
    for token in [&wrong, &unknown] {
        let decision = parts.decide(token).unwrap();
        assert_eq!(decision.outcome, Outcome::Deny(Reason::KeyUnknown));
        assert!(decision.key.is_none());
    }
    assert_eq!(parts.outcome(&token), Outcome::Allow);
}

#[tokio::test]
async fn a_decision_on_a_cached_key_allocates_nothing() {
    let parts = parts();
    let (_, token) = parts.writer().await;
    let published = Attributes { owner: "somebody", state: "published" };
    let questions = [
        ("articles.create", Attributes::default(), true),
        ("articles.read", published, true),
        ("articles.update", published, false),
        ("articles.publish", Attributes::default(), false),
        ("articles.unheard_of", Attributes::default(), false),
    ];
    parts.outcome(&token);
    let allocations = allocation_counter::measure(|| {
        for (action, attributes, allowed) in questions.iter().cycle().take(100_000) {
            let question = Question {
                key: token.reveal(),
                action,
                service: "ai-cms",
                attributes: *attributes,
            };
            let decision = parts.authorizer.authorize(&question).unwrap();
            assert_eq!(decision.outcome == Outcome::Allow, *allowed);
        }
    });
    assert_eq!(allocations.count_total, 0, "{allocations:?}");
}

#[tokio::test]
async fn a_request_is_decided_by_one_policy_while_another_takes_its_place() {
    // Either denies: one by what the route needs, the other by what the role may.
    let policy = |needs: &str, allows: &str| {
        let text = format!(
            r#"
            [services.shop]
            actions.orders = {{ read = "", refund = "" }}
            roles.clerk.allow = ["orders.{allows}"]
            routes."GET /orders" = "orders.{needs}"
            "#
        );
        Policy::overlay("policy.toml", &text).unwrap()
    };
    let parts = parts_with(policy("refund", "read"));
    let (service, role) = ("shop".to_owned(), "clerk".to_owned());
    let (_, token) = parts.create(NewKey { service, role, ..NewKey::default() }).await;
    let headers = KeyHeaders::new(["x-api-key".parse().unwrap()]);
    let gateway = Gateway::new(Arc::clone(&parts.authorizer), headers);
    let request = HttpRequest {
        method: "GET",
        target: "/orders",
        headers: vec![("x-api-key", token.reveal().as_bytes())],
        ..HttpRequest::default()
    };
    let outcome = || gateway.check(&request).outcome;
    let denied = Some(Outcome::Deny(Reason::ActionDenied));
    assert_eq!(outcome(), denied);
    // What a reload does first; what was resolved before is not forgotten yet.
    parts.policy.replace(policy("read", "refund"));
    assert_eq!(outcome(), denied);
    parts.policy.replace(policy("read", "read"));
    assert_eq!(outcome(), Some(Outcome::Allow));
}
