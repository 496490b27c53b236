//! What was acknowledged stays, whenever the sidecar is killed.
//!
//! `OCTAVIA_TEST_KILLS` (50) is how often it is killed, `OCTAVIA_TEST_SEED` makes
//! the choices of a run again: not its timing, which is the machine's.

pub mod syscalls;

use std::{
    collections::BTreeSet,
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use octavia_authz::pb::v1::{
    ApiKey, AuthorizeRequest, BatchAuthorizeRequest, CreateApiKeyRequest, DecisionReason,
    GetApiKeyRequest, GetStatusRequest, KeyStatus, ListApiKeysRequest, RevokeApiKeyRequest,
    RotateApiKeyRequest, UpdateApiKeyRequest, api_key_service_client::ApiKeyServiceClient,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Status, transport::Channel};

use crate::sidecar::{Admin, PATIENCE, Sidecar, without_usage};

type Keys = ApiKeyServiceClient<Admin<Channel>>;

/// Changes keys of its own, and knows what was acknowledged of them.
struct Writer {
    number: u32,
    random: Random,
    keys: Vec<Key>,
    /// The name in a create that was not answered.
    creating: Option<String>,
    created: u32,
    acknowledged: u64,
}

/// What is known of a key.
#[derive(Clone)]
struct Key {
    id: String,
    /// As it was last acknowledged; `None` is revoked.
    record: Option<ApiKey>,
    /// Its text, if an answer with it arrived.
    text: Option<String>,
    /// Texts that must not be accepted any more.
    dead: Vec<String>,
    /// The change that was not answered.
    in_flight: Option<Change>,
}

#[derive(Copy, Clone, Debug, PartialEq)]
enum Change {
    Role(&'static str),
    Status(KeyStatus),
    Rotate,
    Revoke,
}

/// Kills a sidecar when enough was acknowledged.
struct Killer {
    process: Pid,
    left: AtomicU32,
    /// Turns to wait then; 0 kills at once.
    spin: usize,
    killed: AtomicBool,
}

/// SplitMix64: the choices of a run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

impl Killer {
    /// Counts an acknowledgement. The last one that is waited for kills, while
    /// other writers wait for theirs.
    fn acknowledged(self: &Arc<Self>) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            if self.spin == 0 {
                return self.kill();
            }
            let killer = Arc::clone(self);
            thread::spawn(move || {
                (0..killer.spin).for_each(|_| std::hint::spin_loop());
                killer.kill();
            });
        }
    }

    fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        kill_process(self.process, Signal::KILL).unwrap();
    }
}

impl Writer {
    fn new(number: u32, seed: u64) -> Self {
        let random = Random(seed ^ (u64::from(number) << 32));
        Self { number, random, keys: Vec::new(), creating: None, created: 0, acknowledged: 0 }
    }

    /// Changes keys until the sidecar is gone.
    async fn run(mut self, mut keys: Keys, killer: Arc<Killer>) -> Self {
        loop {
            match timeout(PATIENCE, self.change(&mut keys)).await.expect("an answer") {
                Ok(()) => {
                    self.acknowledged += 1;
                    killer.acknowledged();
                }
                Err(status) => {
                    assert!(
                        killer.killed.load(Ordering::SeqCst),
                        "refused by the living: {status}"
                    );
                    return self;
                }
            }
        }
    }

    async fn change(&mut self, client: &mut Keys) -> Result<(), Status> {
        let live: Vec<usize> =
            (0..self.keys.len()).filter(|key| self.keys[*key].record.is_some()).collect();
        if live.len() < 3 || self.random.below(8) == 0 {
            return self.create(client).await;
        }
        let key = &mut self.keys[live[self.random.below(live.len())]];
        let change = match self.random.below(10) {
            0..=1 => Change::Role("writer"),
            2..=3 => Change::Role("publisher"),
            4 => Change::Status(KeyStatus::Inactive),
            5..=6 => Change::Status(KeyStatus::Active),
            7..=8 => Change::Rotate,
            _ => Change::Revoke,
        };
        key.in_flight = Some(change);
        key.make(change, client).await?;
        key.in_flight = None;
        Ok(())
    }

    async fn create(&mut self, client: &mut Keys) -> Result<(), Status> {
        self.created += 1;
        let name = format!("writer {} key {}", self.number, self.created);
        self.creating = Some(name.clone());
        let role = "writer".to_owned();
        let request = CreateApiKeyRequest { name, role, ..Default::default() };
        let created = client.create_api_key(request).await?.into_inner();
        let record = created.api_key.unwrap();
        self.creating = None;
        self.keys.push(Key {
            id: record.id.clone(),
            record: Some(record),
            text: Some(created.key),
            dead: Vec::new(),
            in_flight: None,
        });
        Ok(())
    }
}

impl Key {
    /// Has the change made; what is answered is what is known.
    async fn make(&mut self, change: Change, client: &mut Keys) -> Result<(), Status> {
        let id = self.id.clone();
        match change {
            Change::Role(_) | Change::Status(_) => {
                let (path, api_key) = match change {
                    Change::Role(role) => {
                        ("role", ApiKey { role: role.to_owned(), ..Default::default() })
                    }
                    Change::Status(status) => {
                        ("status", ApiKey { status: status.into(), ..Default::default() })
                    }
                    Change::Rotate | Change::Revoke => unreachable!(),
                };
                let request = UpdateApiKeyRequest {
                    id,
                    update_mask: Some(prost_types::FieldMask { paths: vec![path.to_owned()] }),
                    api_key: Some(api_key),
                    ..Default::default()
                };
                self.record = client.update_api_key(request).await?.into_inner().api_key;
            }
            Change::Rotate => {
                let request = RotateApiKeyRequest { id, ..Default::default() };
                let rotated = client.rotate_api_key(request).await?.into_inner();
                self.record = rotated.api_key;
                self.dead.extend(self.text.replace(rotated.key));
            }
            Change::Revoke => {
                let request = RevokeApiKeyRequest { id, ..Default::default() };
                client.revoke_api_key(request).await?;
                self.revoked();
            }
        }
        Ok(())
    }

    fn revoked(&mut self) {
        self.record = None;
        self.dead.extend(self.text.take());
    }

    /// Compares what is stored with what was acknowledged; the change in flight
    /// may have been made or not, and from now on is what it was found to be.
    fn settle(&mut self, found: Option<ApiKey>) {
        let in_flight = self.in_flight.take();
        // Use is written now and then, not with every change.
        self.record = self.record.take().map(without_usage);
        if found == self.record {
            return;
        }
        let change = in_flight.unwrap_or_else(|| {
            panic!("{}: {found:?} is stored, {:?} was acknowledged", self.id, self.record)
        });
        let (Some(before), Some(after)) = (&self.record, &found) else {
            assert_eq!((change, &found), (Change::Revoke, &None), "key {}", self.id);
            return self.revoked();
        };
        let revision = |key: &ApiKey| key.etag.parse::<u64>().unwrap();
        assert!(revision(after) > revision(before), "key {} went back", self.id);
        // What the change does not touch.
        let mut expected =
            ApiKey { etag: after.etag.clone(), update_time: after.update_time, ..before.clone() };
        match change {
            Change::Role(role) => expected.role = role.to_owned(),
            Change::Status(status) => expected.status = status.into(),
            Change::Rotate => {
                assert_ne!(after.secrets, before.secrets, "key {} has a new secret", self.id);
                expected.secrets.clone_from(&after.secrets);
                // Nobody was told the new one.
                self.dead.extend(self.text.take());
            }
            Change::Revoke => panic!("key {} was only half revoked", self.id),
        }
        assert_eq!(*after, expected, "change {change:?} in flight");
        self.record = found;
    }

    /// Its texts, and what publishing with each must come to.
    fn decisions(&self) -> impl Iterator<Item = (&String, DecisionReason)> {
        let reason = self.record.as_ref().map(|record| match record.status() {
            KeyStatus::Active if record.role == "publisher" => DecisionReason::Allowed,
            KeyStatus::Active => DecisionReason::ActionDenied,
            _ => DecisionReason::KeyInactive,
        });
        let living = self.text.iter().zip(reason);
        living.chain(self.dead.iter().map(|text| (text, DecisionReason::KeyUnknown)))
    }
}

/// Every key of every writer, against what the sidecar says.
async fn check(sidecar: &Sidecar, writers: &mut [Writer]) {
    let mut client = sidecar.keys().await;
    let listed = list(&mut client).await;
    for writer in writers.iter_mut() {
        // A create that was not answered may have been made, once.
        if let Some(name) = writer.creating.take()
            && let Some(record) = listed.iter().find(|key| key.name == name)
        {
            let (id, record) = (record.id.clone(), Some(record.clone()));
            writer.keys.push(Key { id, record, text: None, dead: Vec::new(), in_flight: None });
        }
        for key in &mut writer.keys {
            let request = GetApiKeyRequest { id: key.id.clone() };
            let found = match client.get_api_key(request).await {
                Ok(found) => found.into_inner().api_key.map(without_usage),
                Err(status) if status.code() == Code::NotFound => None,
                Err(status) => panic!("key {}: {status:?}\n{}", key.id, sidecar.log()),
            };
            key.settle(found);
        }
    }
    let keys = || writers.iter().flat_map(|writer| &writer.keys);
    let known: BTreeSet<_> = keys().filter_map(|key| Some(&key.record.as_ref()?.id)).collect();
    assert_eq!(listed.iter().map(|key| &key.id).collect::<BTreeSet<_>>(), known);

    let decisions: Vec<_> = keys().flat_map(Key::decisions).collect();
    for decisions in decisions.chunks(1000) {
        let requests = decisions.iter().map(|(text, _)| AuthorizeRequest {
            key: (*text).clone(),
            action: "articles.publish".to_owned(),
            ..Default::default()
        });
        let request = BatchAuthorizeRequest { requests: requests.collect() };
        let mut client = sidecar.authorization().await;
        let responses = client
            .batch_authorize(request)
            .await
            .unwrap_or_else(|status| panic!("{status:?}\n{}", sidecar.log()))
            .into_inner()
            .responses;
        assert_eq!(responses.len(), decisions.len());
        for (response, (text, reason)) in responses.iter().zip(decisions) {
            assert_eq!(response.reason(), *reason, "key {}", &text[..15]);
            assert_eq!(response.allowed, *reason == DecisionReason::Allowed);
        }
    }
}

/// All keys.
async fn list(client: &mut Keys) -> Vec<ApiKey> {
    let mut keys = Vec::new();
    let mut request = ListApiKeysRequest { page_size: 1000, ..Default::default() };
    loop {
        let page = client.list_api_keys(request.clone()).await.unwrap().into_inner();
        keys.extend(page.api_keys);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return keys;
        }
    }
}

fn number_from_env(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_it_is_killed_no_acknowledged_change_is_missing() {
    const WRITERS: u32 = 8;
    let kills = number_from_env("OCTAVIA_TEST_KILLS").unwrap_or(50);
    let seed = number_from_env("OCTAVIA_TEST_SEED").unwrap_or_else(|| getrandom::u64().unwrap());
    println!("OCTAVIA_TEST_SEED={seed} OCTAVIA_TEST_KILLS={kills}");
    let mut random = Random(seed);
    let dir = TempDir::new().unwrap();
    let mut writers: Vec<_> = (0..WRITERS).map(|number| Writer::new(number, seed)).collect();

    for _ in 0..kills {
        let sidecar = Sidecar::start_on(dir.path(), &[]);
        check(&sidecar, &mut writers).await;
        let killer = Arc::new(Killer {
            process: Pid::from_raw(i32::try_from(sidecar.pid()).unwrap()).unwrap(),
            left: AtomicU32::new(u32::try_from(1 + random.below(60)).unwrap()),
            spin: [0, random.below(200_000)][random.below(2)],
            killed: AtomicBool::new(false),
        });
        let mut clients = Vec::new();
        for _ in &writers {
            clients.push(sidecar.keys().await);
        }
        let mut tasks = JoinSet::new();
        for (writer, client) in writers.drain(..).zip(clients) {
            tasks.spawn(writer.run(client, Arc::clone(&killer)));
        }
        writers = tasks.join_all().await;
        sidecar.kill();
    }
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    check(&sidecar, &mut writers).await;

    let acknowledged: u64 = writers.iter().map(|writer| writer.acknowledged).sum();
    let request = GetStatusRequest {};
    let mut maintenance = sidecar.maintenance_as(&sidecar.operator_token()).await;
    let status = maintenance.get_status(request).await.unwrap().into_inner();
    assert!(status.revision >= acknowledged, "{} of {acknowledged} changes", status.revision);
    assert!(status.revision <= acknowledged + kills * u64::from(WRITERS));
    let keys = writers.iter().flat_map(|writer| &writer.keys);
    let revoked = keys.filter(|key| key.record.is_none()).count();
    println!(
        "{kills} kills, {acknowledged} acknowledged changes, {} made, {} keys, {revoked} revoked",
        status.revision, status.key_count
    );
    assert_eq!(sidecar.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_writers_at_once_are_all_answered() {
    const WRITERS: usize = 100;
    const EACH: usize = 10;
    let sidecar = Sidecar::start();
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let mut client = sidecar.keys().await;
        tasks.spawn(async move {
            for key in 0..EACH {
                let name = format!("writer {writer} key {key}");
                let role = "writer".to_owned();
                let request = CreateApiKeyRequest { name, role, ..Default::default() };
                client.create_api_key(request).await.unwrap();
            }
        });
    }
    timeout(2 * PATIENCE, tasks.join_all()).await.expect("every writer is answered");
    let names: BTreeSet<_> =
        list(&mut sidecar.keys().await).await.into_iter().map(|key| key.name).collect();
    let wanted = (0..WRITERS)
        .flat_map(|writer| (0..EACH).map(move |key| format!("writer {writer} key {key}")));
    assert_eq!(names, wanted.collect());
    let stopped = timeout(Duration::from_secs(20), sidecar.stop()).await;
    assert_eq!(stopped.expect("the stop does not hang").code(), Some(0));
}
