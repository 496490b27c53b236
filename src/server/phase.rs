//! Where a sidecar stands between its start and its end, and what probes are told of it.
//!
//! INVARIANT: it is ready only while it can decide: not before the store is open, not while keys
//! cannot be read, and not once a stop was asked for.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    sync::{Mutex, watch},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{health::Health, worker::Workers};
use crate::{authorizer::Authorizer, metrics::Ready};

/// How often it is tried whether keys can be read.
const PERIOD: Duration = Duration::from_secs(1);
/// A worker that is silent for longer than this is stuck.
const STUCK: Duration = Duration::from_secs(15);

/// A key is read within this.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a probe is told: that all is well, or why not.
pub(super) type Probe = Result<(), String>;

/// Where it stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The store is not open yet.
    Starting,
    /// It decides.
    Serving,
    /// It runs, but keys cannot be read.
    Undecided,
    /// A stop was asked for.
    Stopping,
}

/// Says where it stands to all who ask. Clones are the same.
#[derive(Clone)]
pub(super) struct Lifecycle(Arc<Inner>);

struct Inner {
    phase: watch::Sender<Phase>,
    entering: Mutex<()>,
    health: Health,
    ready: Ready,
    workers: OnceLock<Workers>,
}

impl Lifecycle {
    /// Of one that starts.
    pub(super) async fn new(ready: Ready) -> Self {
        let (phase, health) = (watch::Sender::new(Phase::Starting), Health::new());
        health.set(Phase::Starting).await;
        let workers = OnceLock::new();
        Self(Arc::new(Inner { phase, entering: Mutex::default(), health, ready, workers }))
    }

    /// What gRPC is told.
    pub(super) fn health(&self) -> &Health {
        &self.0.health
    }

    /// Its workers run from now on.
    pub(super) fn runs_on(&self, workers: Workers) {
        // Once for each start.
        let _ = self.0.workers.set(workers);
    }

    /// It stands there from now on; nothing comes after a stop.
    pub(super) async fn enter(&self, phase: Phase) {
        // Held until all are told: what was told last is how it stands.
        let _entering = self.0.entering.lock().await;
        let was = *self.0.phase.borrow();
        if was == phase || was == Phase::Stopping {
            return;
        }
        self.0.health.set(phase).await;
        self.0.ready.set(phase == Phase::Serving);
        // Last: whoever sees this one has them all.
        self.0.phase.send_replace(phase);
    }

    /// Looks again and again whether the workers are alive, and whether `authorizer` can decide.
    pub(super) async fn watch(self, authorizer: Arc<Authorizer>) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.0.health.set_alive(self.liveness().is_ok()).await;
            let asked = Arc::clone(&authorizer);
            let tried = tokio::task::spawn_blocking(move || asked.can_decide());
            let failed = match timeout(PATIENCE, tried).await {
                Ok(Ok(Ok(()))) => None,
                Ok(Ok(Err(error))) => Some(error.to_string()),
                Ok(Err(_)) => Some("a defect".to_owned()),
                Err(_) => Some(format!("it takes longer than {PATIENCE:?}")),
            };
            let was = *self.0.phase.borrow();
            match (was, failed) {
                (Phase::Serving, Some(error)) => {
                    tracing::error!(error, "keys cannot be read: not ready");
                    self.enter(Phase::Undecided).await;
                }
                (Phase::Undecided, None) => {
                    tracing::info!("keys can be read again: ready");
                    self.enter(Phase::Serving).await;
                }
                _ => {}
            }
        }
    }

    /// Whether the store is open: from then on the other two count.
    pub(super) fn startup(&self) -> Probe {
        match *self.0.phase.borrow() {
            Phase::Starting => Err("starting: the store is being opened".to_owned()),
            Phase::Serving | Phase::Undecided | Phase::Stopping => Ok(()),
        }
    }

    /// Whether it can decide.
    pub(super) fn readiness(&self) -> Probe {
        match *self.0.phase.borrow() {
            Phase::Serving => Ok(()),
            Phase::Starting => Err("not ready: the store is being opened".to_owned()),
            Phase::Undecided => Err("not ready: keys cannot be read, see the log".to_owned()),
            Phase::Stopping => Err("not ready: stopping, calls in flight are answered".to_owned()),
        }
    }

    /// Whether a restart would not help.
    pub(super) fn liveness(&self) -> Probe {
        // A worker that has drained is silent, too.
        if *self.0.phase.borrow() == Phase::Stopping {
            return Ok(());
        }
        match self.0.workers.get().and_then(|workers| workers.stuck(STUCK)) {
            None => Ok(()),
            Some((number, silent)) => {
                let seconds = silent.as_secs();
                Err(format!("stuck: worker {number} has done nothing for {seconds} s"))
            }
        }
    }
}
