//! A sidecar under attack, and a client that behaves: it asks all the while on a
//! connection of its own, and on new ones.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use octavia_authz::pb::v1::{
    AuthorizeRequest, CreateApiKeyRequest, api_key_service_client::ApiKeyServiceClient,
    authorization_service_client::AuthorizationServiceClient,
};
use tokio::{runtime::Runtime, time::timeout};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::{MIB, hostile::Heard, vitals};
use crate::sidecar::{Bearer, PATIENCE, Sidecar, wait_until};

/// How long an answer may take during an attack, on a machine with two cores that runs
/// the attackers and a debug build, too. Less than what the sidecar gives a client that
/// is slow, so that nobody waits for one of those.
const ANSWERED_WITHIN: Duration = Duration::from_secs(4);
/// How often the client that behaves makes a new connection. Each leaves a port that is
/// taken for a minute.
const NEW_EVERY: Duration = Duration::from_millis(20);
/// So many new connections are answered during an attack, at least.
const ROUNDS: u64 = 5;
/// What the log may say during an attack: it must not be a way to fill a disk.
const LOG_LIMIT: usize = 256 << 10;

/// One attack at a time, so that figures are comparable.
static ALONE: Mutex<()> = Mutex::new(());

pub struct Siege {
    sidecar: Sidecar,
    door: Door,
    honest: Arc<Honest>,
    asking: JoinHandle<()>,
    /// Resident memory, sockets, and the log's length.
    before: (u64, usize, usize),
    _alone: MutexGuard<'static, ()>,
}

/// What a client that behaves needs.
#[derive(Clone)]
pub struct Door {
    address: String,
    ca: Option<String>,
    key: String,
    /// A new connection that is turned away is tried again.
    persistent: bool,
}

/// What the client that behaves has seen. Times are in microseconds.
#[derive(Default)]
struct Honest {
    over: AtomicBool,
    rounds: AtomicU64,
    answers: AtomicU64,
    slowest: AtomicU64,
    slowest_new: AtomicU64,
    turned_away: AtomicU64,
}

/// What an attack came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Frames, or whatever it sent.
    pub sent: u64,
    /// How many connections ended how.
    pub ends: BTreeMap<String, u64>,
}

impl Tally {
    /// No connection was still open when an attack gave it up.
    pub fn all_ended(&self) -> bool {
        self.ends.keys().all(|end| end.starts_with("GOAWAY") || end == "closed")
    }
}

impl Door {
    async fn dial(&self) -> Result<Channel, Box<dyn Error>> {
        dial(&self.address, self.ca.as_deref()).await
    }

    async fn ask(&self, channel: &Channel) -> Result<(), Box<dyn Error>> {
        let question = AuthorizeRequest {
            key: self.key.clone(),
            action: "articles.create".into(),
            ..Default::default()
        };
        let mut client = AuthorizationServiceClient::new(channel.clone());
        let answer = timeout(PATIENCE, client.authorize(question)).await??;
        assert!(answer.into_inner().allowed);
        Ok(())
    }

    async fn ask_anew(&self) -> Result<(), Box<dyn Error>> {
        self.ask(&timeout(PATIENCE, self.dial()).await??).await
    }

    /// Asks until it is over, and counts.
    async fn keep_asking(&self, honest: &Honest) {
        let kept = self.dial().await.expect("the connection that it keeps");
        let mut new_at = Instant::now();
        while !honest.over.load(Ordering::Relaxed) {
            let asked = Instant::now();
            self.ask(&kept).await.expect("an answer on the connection that it had");
            honest.slowest.fetch_max(micros(asked), Ordering::Relaxed);
            honest.answers.fetch_add(1, Ordering::Relaxed);
            if new_at.elapsed() >= NEW_EVERY {
                new_at = Instant::now();
                while let Err(error) = self.ask_anew().await {
                    assert!(self.persistent, "on a new connection: {error:?}");
                    assert!(new_at.elapsed() < PATIENCE, "turned away again and again: {error:?}");
                    honest.turned_away.fetch_add(1, Ordering::Relaxed);
                }
                honest.slowest_new.fetch_max(micros(new_at), Ordering::Relaxed);
                honest.rounds.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap()
}

async fn dial(address: &str, ca: Option<&str>) -> Result<Channel, Box<dyn Error>> {
    let scheme = if ca.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).unwrap();
    if let Some(ca) = ca {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        endpoint = endpoint.tls_config(tls).unwrap();
    }
    Ok(endpoint.connect().await?)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What `count` comes to, once it does not change any more: connections are closed soon
/// after their clients have gone.
fn settled(count: impl Fn() -> usize) -> usize {
    const SAME: u32 = 100;
    let (mut last, mut same) = (count(), 0);
    wait_until("a number to settle", || {
        let now = count();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same == SAME
    });
    last
}

impl Siege {
    /// Of a new sidecar.
    pub fn new() -> Self {
        Self::of(&[], None, false)
    }

    /// Of a new sidecar with more arguments; with TLS if there is a `ca`. A `persistent`
    /// client that behaves tries again when a new connection is turned away.
    pub fn of(args: &[&str], ca: Option<&str>, persistent: bool) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let sidecar = Sidecar::start_with(args);
        let (token, runtime) = (sidecar.operator_token(), runtime());
        let key = runtime.block_on(async {
            let admin = dial(&sidecar.admin_listen, ca).await.unwrap();
            let mut keys = ApiKeyServiceClient::with_interceptor(admin, Bearer::new(&token));
            let new = CreateApiKeyRequest {
                name: "x".into(),
                role: "writer".into(),
                ..Default::default()
            };
            keys.create_api_key(new).await.unwrap().into_inner().key
        });
        let (address, ca) = (sidecar.listen.clone(), ca.map(str::to_owned));
        let door = Door { address, ca, key, persistent };
        runtime.block_on(async {
            for _ in 0..10 {
                door.ask_anew().await.unwrap();
            }
        });
        drop(runtime);
        let pid = sidecar.pid();
        let sockets = settled(|| vitals::sockets(pid));
        vitals::forget_peak(pid);
        let before = (vitals::resident(pid), sockets, sidecar.log().len());
        let honest = Arc::<Honest>::default();
        let (asks, counted) = (door.clone(), Arc::clone(&honest));
        let asking = thread::spawn(move || self::runtime().block_on(asks.keep_asking(&counted)));
        Self { sidecar, door, honest, asking, before, _alone: alone }
    }

    pub fn address(&self) -> &str {
        &self.door.address
    }

    /// The text of a writer's key.
    pub fn key(&self) -> &str {
        &self.door.key
    }

    /// How much more memory is resident than before, in bytes.
    pub fn grown(&self) -> u64 {
        vitals::resident(self.sidecar.pid()).saturating_sub(self.before.0)
    }

    /// How many more sockets it has open than before anybody had connected.
    pub fn connections(&self) -> usize {
        vitals::sockets(self.sidecar.pid()).saturating_sub(self.before.1)
    }

    /// The client that behaves is answered, on the connection that it has and on new ones,
    /// several times from now on.
    pub fn others_are_answered(&self) {
        wait_until("answers for others", self.next_rounds());
    }

    /// True when it was answered several times after this was called.
    fn next_rounds(&self) -> impl Fn() -> bool {
        // The one that is under way may have begun before.
        let enough = self.honest.rounds.load(Ordering::Relaxed) + 1 + ROUNDS;
        // One that has failed is found out at the end.
        move || self.honest.rounds.load(Ordering::Relaxed) >= enough || self.asking.is_finished()
    }

    /// Has `clients` attack at once, each again and again on new connections, until they
    /// have sent `at_least` and the client that behaves was answered several times. An
    /// attack gives how much it has sent, and what it has heard.
    pub fn attack(
        &self,
        clients: usize,
        at_least: u64,
        attack: impl Fn(&str) -> (u64, Heard) + Sync,
    ) -> Tally {
        let tally = Mutex::new(Tally::default());
        let answered = self.next_rounds();
        let begun = Instant::now();
        thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    while tally.lock().unwrap().sent < at_least || !answered() {
                        assert!(begun.elapsed() < PATIENCE, "the attack does not get on");
                        let (sent, heard) = attack(self.address());
                        let mut tally = tally.lock().unwrap();
                        tally.sent += sent;
                        *tally.ends.entry(heard.end()).or_default() += 1;
                    }
                });
            }
        });
        tally.into_inner().unwrap()
    }

    /// The attack is over: others were answered in time, the memory had not grown by more
    /// than `bound` bytes, and everything is as it was.
    pub fn lifted(self, what: &str, tally: &Tally, bound: u64) {
        let pid = self.sidecar.pid();
        self.honest.over.store(true, Ordering::Relaxed);
        self.asking.join().expect("the client that behaves");
        let grown = vitals::peak(pid).saturating_sub(self.before.0);
        let of = |time: &AtomicU64| Duration::from_micros(time.load(Ordering::Relaxed));
        let (slowest, slowest_new) = (of(&self.honest.slowest), of(&self.honest.slowest_new));
        let log = self.sidecar.log();
        let said = log.len() - self.before.2;
        println!(
            "{what}: {} sent, {:?}; {} answers, slowest {slowest:?}, {} new connections, {} \
             turned away, slowest {slowest_new:?}; {} MiB before, at most {} more; log {said} bytes",
            tally.sent,
            tally.ends,
            self.honest.answers.load(Ordering::Relaxed),
            self.honest.rounds.load(Ordering::Relaxed),
            self.honest.turned_away.load(Ordering::Relaxed),
            self.before.0 / MIB,
            grown / MIB,
        );
        if let Some(line) = log[self.before.2..].lines().next() {
            println!("{what}: the first line of it: {line}");
        }
        wait_until("the sockets to be closed", || vitals::sockets(pid) <= self.before.1);
        assert!(slowest < ANSWERED_WITHIN, "{what}: {slowest:?}");
        assert!(slowest_new < ANSWERED_WITHIN, "{what}: on a new connection {slowest_new:?}");
        assert!(grown <= bound, "{what}: {grown} bytes more, of {bound}");
        assert!(said <= LOG_LIMIT, "{what}: {said} bytes of log");
        runtime().block_on(async {
            self.door.ask_anew().await.unwrap();
            self.sidecar.terminate();
            self.sidecar.finish_after_stop().await;
        });
    }
}
