//! Where a sidecar stands between its start and its end, and what probes are told of it.
//!
//! INVARIANT: it is ready only while it can decide: not before the store is open, not while keys
//! cannot be read or a worker is silent, and not once a stop was asked for.

mod trial;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    sync::{Mutex, watch},
    time::{MissedTickBehavior, interval},
};

use self::trial::Trial;
use super::{health::Health, worker::Workers};
use crate::{authorizer::Authorizer, metrics::Ready};

/// How often it is looked whether there can be decisions.
const PERIOD: Duration = Duration::from_secs(1);
/// Clients are sent elsewhere when a worker is silent for longer than this: a few beats.
const SILENT: Duration = Duration::from_secs(5);
/// A worker that is silent for longer than this is stuck.
const STUCK: Duration = Duration::from_secs(15);

/// What a probe is told: that all is well, or why not.
pub(super) type Probe = Result<(), String>;

/// Where it stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The store is not open yet.
    Starting,
    /// It decides.
    Serving,
    /// It runs, but keys cannot be read, or a worker is silent.
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
        let mut trial = Trial::new(move || authorizer.can_decide());
        loop {
            ticks.tick().await;
            self.0.health.set_alive(self.liveness().is_ok()).await;
            let unread = trial.failure(PERIOD).await;
            let unread = unread.map(|why| format!("keys cannot be read: {why}"));
            let was = *self.0.phase.borrow();
            match (was, self.silent(SILENT).or(unread)) {
                (Phase::Serving, Some(reason)) => {
                    tracing::error!(reason, "not ready");
                    self.enter(Phase::Undecided).await;
                }
                (Phase::Undecided, None) => {
                    tracing::info!("ready again");
                    self.enter(Phase::Serving).await;
                }
                _ => {}
            }
        }
    }

    /// The first worker that has been silent for longer than `limit`, in words.
    fn silent(&self, limit: Duration) -> Option<String> {
        let (number, silent) = self.0.workers.get()?.stuck(limit)?;
        Some(format!("worker {number} has done nothing for {} s", silent.as_secs()))
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
        let phase = *self.0.phase.borrow();
        match (phase, self.silent(SILENT)) {
            (Phase::Serving, None) => Ok(()),
            (Phase::Serving | Phase::Undecided, Some(silent)) => {
                Err(format!("not ready: {silent}"))
            }
            (Phase::Starting, _) => Err("not ready: the store is being opened".to_owned()),
            (Phase::Undecided, None) => {
                Err("not ready: keys cannot be read, see the log".to_owned())
            }
            (Phase::Stopping, _) => {
                Err("not ready: stopping, calls in flight are answered".to_owned())
            }
        }
    }

    /// Whether a restart would not help.
    pub(super) fn liveness(&self) -> Probe {
        // A worker that has drained is silent, too.
        if *self.0.phase.borrow() == Phase::Stopping {
            return Ok(());
        }
        self.silent(STUCK).map_or(Ok(()), |silent| Err(format!("stuck: {silent}")))
    }
}
