//! Runs the sidecar: opens the store, binds, serves, drains.
//!
//! The authorization listeners run on the workers, one current-thread runtime
//! each, and probes on a thread of their own; everything else runs on the
//! caller's runtime and cannot slow them.
//! INVARIANT: nothing is SERVING before the store is open, or after a stop was
//! asked for; the store is closed after the last call is answered.

mod api;
mod body;
mod bound;
mod call;
mod connection;
mod connections;
mod error;
mod gauges;
mod handshake;
mod health;
mod limits;
mod listener;
mod open;
mod ops;
mod pepper;
mod phase;
mod refusal;
mod reload;
mod retention;
mod routes;
mod serve;
mod socket_file;
mod tls;
mod worker;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::timeout};
use tokio_stream::{Stream, StreamExt as _};

pub use self::{
    api::{Api, Protocol},
    connection::Socket,
    error::ServerError,
    listener::{BindError, Listener},
    pepper::PepperMismatch,
    worker::{Drain, Workers},
};
use self::{
    bound::Bound,
    open::{Files, Opened},
    ops::Ops,
    phase::{Lifecycle, Phase},
    serve::Queue,
};
use crate::{
    audit::Auditor,
    clock::Clock,
    config::{Address, Config},
    dashboard::{Dashboard, Reading, Sessions},
    decision_log::DecisionLog,
    gateway::Gateway,
    grpc::{Admin, Audit, GuardSignIns, Maintenance},
    keyring::Keyring,
    metrics::Metrics,
    sign_ins::SignIns,
    store::{Recovery, Store as _},
    telemetry::Traces,
    tls::{Certificate, Reloader},
};

/// So long after the drain time-out a worker that has not ended hangs.
const HUNG: Duration = Duration::from_secs(2);

/// A sidecar that is bound and ready to run. What probes ask for is answered already.
pub struct Server {
    opened: Opened,
    authorization: Bound,
    /// Admin, AuthZEN and dashboard: they run beside the workers.
    others: Vec<Bound>,
    ops: Ops,
    lifecycle: Lifecycle,
    tls: Option<Reloader>,
    stopping: watch::Sender<bool>,
    config: Config,
    clock: Clock,
    metrics: Arc<Metrics>,
    traces: Option<Traces>,
    started: Started,
}

/// What a start is told to people.
#[derive(Clone, Debug)]
pub struct Started {
    /// Where the data lies.
    pub data_dir: PathBuf,
    /// What opening the store had to do.
    pub recovery: Recovery,
    /// How many keys there are.
    pub key_count: u64,
    /// The newest revision.
    pub revision: u64,
    /// Where the authorization API listens: real ports.
    pub listen: Vec<Address>,
    /// Where the admin API listens; empty is nowhere.
    pub admin_listen: Vec<Address>,
    /// Where the AuthZEN API listens; empty is nowhere.
    pub authzen_listen: Vec<Address>,
    /// Where probes and metrics are; empty is nowhere.
    pub ops_listen: Vec<Address>,
    /// Where the dashboard is; empty is nowhere.
    pub dashboard_listen: Vec<Address>,
    /// Where the operator token lies.
    pub operator_token_file: PathBuf,
    /// The policy's digest.
    pub policy_digest: [u8; 32],
    /// The certificate of the TCP addresses; `None` is plain text.
    pub tls: Option<Certificate>,
    /// Threads of the authorization path.
    pub workers: usize,
}

impl Server {
    /// Reads what the configuration names, answers probes from then on, opens the store and
    /// binds every listener; nothing else is answered yet.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        let clock = Clock::System;
        let metrics = Arc::new(Metrics::default());
        let handles = metrics.handles();
        // Configuration is read before anything is made.
        let files = Files::read(&config, &metrics, &clock)?;
        let tls = files.tls.clone();
        let traces = config.otlp.as_ref().map(Traces::start).transpose()?;
        let traced = traces.as_ref();
        let lifecycle = Lifecycle::new(handles.ready.clone()).await;
        let ops = Ops::start(&config, &lifecycle, &metrics).await?;
        let opening = {
            let (config, metrics, clock) = (config.clone(), Arc::clone(&metrics), clock.clone());
            move || files.open(&config, &metrics, &clock)
        };
        let opened = match tokio::task::spawn_blocking(opening).await {
            Ok(opened) => opened?,
            Err(defect) => return Err(ServerError::Workers(defect.into())),
        };
        let Opened { store, usage, authorizer, keyring, operator, .. } = &opened;

        let maintenance = Maintenance::new(
            keyring.clone(),
            Arc::clone(authorizer),
            operator.clone(),
            Arc::clone(store),
            usage.clone(),
            clock.clone(),
        );
        let stopping = watch::Sender::new(false);
        let auditor = Auditor::new(keyring.clone(), store.clone());
        let audit = Audit::new(auditor.clone(), operator.clone(), stopping.subscribe());
        let admin = Admin::new(keyring.clone(), Arc::clone(authorizer), operator.clone());

        let (limits, health) = (config.limits, lifecycle.health());
        let bind = |name, addresses: &[Address], protocol, router, limits| {
            let api = Api::new(name, protocol, router, limits, handles.listeners.of(name));
            Bound::new(api, addresses, tls.as_ref())
        };
        let log = DecisionLog::new(config.log_allows, opened.policy.clone(), traced.is_some());
        let gateway = Gateway::new(Arc::clone(authorizer), config.key_headers.clone());
        let router = routes::authorization(gateway, health, &limits, log.clone(), traced)?;
        let authorization = bind("authorization", &config.listen, Protocol::Grpc, router, limits)?;
        let failed = handles.sign_ins_failed.clone();
        let sign_ins = Arc::new(SignIns::new(config.limits.max_failed_sign_ins, failed));
        let guard = GuardSignIns::new(Arc::clone(&sign_ins), operator.clone());
        let calls = handles.admin.clone();
        let router = routes::admin(admin, maintenance, audit, health, calls, guard, traced)?;
        let admin = bind("admin", &config.admin_listen, Protocol::Grpc, router, limits.aside())?;
        let max = limits.max_message_bytes;
        let router = routes::authzen(Arc::clone(authorizer), log, max, traced);
        let authzen = bind("authzen", &config.authzen_listen, Protocol::Http, router, limits)?;

        let dashboard = Dashboard {
            keyring: keyring.clone(),
            auditor,
            authorizer: Arc::clone(authorizer),
            operator: operator.clone(),
            sign_ins,
            sessions: Sessions::new(config.session_times),
            reading: Reading::default(),
            clock: clock.clone(),
            stopping: stopping.subscribe(),
        };
        let router = routes::dashboard(dashboard, traced);
        let dashboard =
            bind("dashboard", &config.dashboard_listen, Protocol::Http, router, limits.aside())?;

        let summary = store.summary();
        let started = Started {
            data_dir: config.data_dir.clone(),
            recovery: store.recovery().clone(),
            key_count: summary.key_count,
            revision: summary.revision,
            listen: authorization.addresses(),
            admin_listen: admin.addresses(),
            authzen_listen: authzen.addresses(),
            ops_listen: ops.addresses().to_vec(),
            dashboard_listen: dashboard.addresses(),
            operator_token_file: opened.operator_token_file.clone(),
            tls: tls.as_ref().map(|tls| tls.sets().borrow().certificate().clone()),
            policy_digest: *authorizer.policy().digest(),
            workers: config.workers,
        };
        let others = vec![admin, authzen, dashboard];
        Ok(Self {
            opened,
            authorization,
            others,
            ops,
            lifecycle,
            tls,
            stopping,
            config,
            clock,
            metrics,
            traces,
            started,
        })
    }

    /// What a scraper is told, while it runs and after.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Serves until `stops` has one or the store fails; `announce` is called once calls and probes are
    /// answered. At the end it says that it is not ready, and
    /// goes on for the lame-duck time, or until `stops` has another; then it drains: what is in
    /// flight is answered within the drain time-out, and the store is closed. The policy file is
    /// read anew for each of `reload`.
    ///
    /// # Errors
    /// [`ServerError::Store`] when the store failed.
    pub async fn run(
        self,
        mut stops: impl Stream<Item = ()> + Unpin,
        reload: impl Stream<Item = ()> + Send + 'static,
        announce: impl FnOnce(&Started),
    ) -> Result<(), ServerError> {
        let Self { opened, authorization, others, ops, lifecycle, stopping, config, .. } = self;
        let Opened { store, usage, authorizer, keyring, .. } = opened;
        let flusher =
            usage.start_flusher(config.usage_flush_interval).map_err(ServerError::Workers)?;
        let mut background = JoinSet::new();
        background.spawn(renew(keyring));
        let reloads = self.metrics.handles().policy_reloads.clone();
        background.spawn(reload::run(reload, config.policy, Arc::clone(&authorizer), reloads));
        background.spawn(lifecycle.clone().watch(authorizer));
        let all = || others.iter().chain([&authorization]);
        if let Some(tls) = self.tls {
            let secured = all().filter(|bound| bound.is_secure()).map(|bound| bound.api.clone());
            let metrics = self.metrics.handles().tls.clone();
            background.spawn(tls::follow(tls.sets(), secured.collect(), metrics));
            background.spawn(tls.run());
        }
        if let Some(age) = config.audit_retention {
            background.spawn(retention::run(Arc::clone(&store), age, self.clock));
        }
        let (draining, drain) = watch::channel(None);
        let workers = Workers::start(config.workers, &drain).map_err(ServerError::Workers)?;
        lifecycle.runs_on(workers.clone());
        let (queue, accepted) = Queue::new();
        let beside = tokio::spawn(serve::all(accepted, drain));
        let apis: Vec<_> = all().map(|bound| bound.api.clone()).collect();

        // Before anybody can ask: no service is unknown, and none is told twice.
        lifecycle.enter(Phase::Serving).await;
        let mut acceptors = JoinSet::new();
        for listener in authorization.listeners {
            let (workers, api) = (workers.clone(), authorization.api.clone());
            acceptors.spawn(async move {
                listener.accept(|socket| workers.dispatch(socket, &api)).await;
            });
        }
        for Bound { api, listeners } in others {
            for listener in listeners {
                let (queue, api) = (queue.clone(), api.clone());
                acceptors.spawn(async move {
                    listener.accept(|socket| queue.dispatch(socket, &api)).await;
                });
            }
        }

        announce(&self.started);
        let mut result = tokio::select! {
            _ = stops.next() => Ok(()),
            failure = store.failed() => Err(ServerError::Store(failure)),
        };
        lifecycle.enter(Phase::Stopping).await;
        if result.is_ok() {
            // Clients hear of it, and go elsewhere.
            result = tokio::select! {
                () = tokio::time::sleep(config.lameduck) => Ok(()),
                _ = stops.next() => Ok(()),
                failure = store.failed() => Err(ServerError::Store(failure)),
            };
        }
        background.shutdown().await;
        acceptors.shutdown().await;
        draining.send_replace(Some(config.drain_timeout));
        stopping.send_replace(true);
        for api in apis {
            api.drain();
        }
        lifecycle.health().end_watches().await;
        // Probes go on until the store is closed.
        lifecycle.health().set(Phase::Stopping).await;
        lifecycle.health().set_alive(true).await;
        let drained = tokio::task::spawn_blocking(move || workers.join());
        let drained = async { tokio::join!(drained, beside) };
        // Each has the drain time-out for itself, unless it hangs.
        if timeout(config.drain_timeout + HUNG, drained).await.is_err() {
            tracing::error!("a worker hangs; the store is closed without it");
        }
        let _ = tokio::task::spawn_blocking(move || {
            if let Err(error) = flusher.close() {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the last uses of keys could not be written"
                );
            }
            store.close();
        })
        .await;
        ops.stop().await;
        if let Some(traces) = self.traces {
            traces.close().await;
        }
        result
    }
}

/// Makes digests anew as they are asked for, as long as it is let.
async fn renew(keyring: Keyring) {
    loop {
        let renewals = keyring.digester().renewals().await;
        if let Err(error) = keyring.renew(renewals).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "digests could not be made anew; their keys' next use tries again"
            );
        }
    }
}
