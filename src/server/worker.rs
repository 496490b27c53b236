//! The threads of the authorization path: one current-thread runtime each, with
//! connections of its own.
//!
//! INVARIANT: a connection stays on the worker that it was given to; workers
//! share nothing but the API. A new connection goes to the worker that has the fewest.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::MissedTickBehavior};

use super::{
    api::Api,
    connection::Socket,
    serve::{self, Queue},
};

/// Turns to the drain time-out when a stop was asked for.
pub type Drain = watch::Receiver<Option<Duration>>;

/// How often a worker shows that it is alive.
const BEAT: Duration = Duration::from_secs(1);

/// The workers, running. Clones are the same.
#[derive(Clone)]
pub struct Workers(Arc<Inner>);

struct Inner {
    workers: Vec<Worker>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Worker {
    queue: Queue,
    pulse: Arc<Pulse>,
}

/// When a worker was last seen alive.
struct Pulse {
    epoch: Instant,
    last: AtomicU64,
}

impl Workers {
    /// Starts `count` threads that serve until `drain` turns.
    ///
    /// # Errors
    /// A thread or runtime cannot be made.
    pub fn start(count: usize, drain: &Drain) -> io::Result<Self> {
        let mut workers = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let (queue, accepted) = Queue::new();
            let pulse = Arc::new(Pulse { epoch: Instant::now(), last: AtomicU64::new(0) });
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (serve, beating) = (serve::all(accepted, drain.clone()), Arc::clone(&pulse));
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            threads.push(thread.spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serve => {}
                        () = beating.beat() => {}
                    }
                });
            })?);
            workers.push(Worker { queue, pulse });
        }
        Ok(Self(Arc::new(Inner { workers, threads: Mutex::new(threads) })))
    }

    /// Gives `socket` of `api` to the worker with the fewest connections, of those that take them.
    pub async fn dispatch(&self, socket: Socket, api: &Api) {
        let load = |worker: &&Worker| (worker.queue.is_full(), worker.queue.open());
        if let Some(worker) = self.0.workers.iter().min_by_key(load) {
            worker.queue.dispatch(socket, api).await;
        }
    }

    /// The first worker that has shown no sign of life for longer than `limit`, and for how long.
    pub(super) fn stuck(&self, limit: Duration) -> Option<(usize, Duration)> {
        let silent = self.0.workers.iter().map(|worker| worker.pulse.silent());
        silent.enumerate().find(|(_, silent)| *silent > limit)
    }

    /// Waits until every worker has drained. Blocks.
    pub fn join(&self) {
        for thread in self.0.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A worker that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl Pulse {
    async fn beat(&self) {
        let mut ticks = tokio::time::interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.last.store(self.now(), Ordering::Relaxed);
        }
    }

    fn silent(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.last.load(Ordering::Relaxed)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
