//! Runs the sidecar: opens the store, binds, serves, drains.
//!
//! The authorization listeners run on the workers, one current-thread runtime
//! each; everything else runs on the caller's runtime and cannot slow them.
//! INVARIANT: nothing is SERVING before the store is open, or after a stop was
//! asked for; the store is closed after the last call is answered.

mod connection;
mod error;
mod gauges;
mod health;
mod http;
mod limits;
mod listener;
mod pepper;
mod reload;
mod retention;
mod routes;
mod secure;
mod socket_file;
mod worker;

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_stream::{Stream, wrappers::UnboundedReceiverStream};
use tonic::service::Routes;
use tonic_health::ServingStatus;

use self::{connection::Open, gauges::Gauges, health::Health, http::Http};
pub use self::{
    connection::Socket,
    error::ServerError,
    listener::{BindError, Listener},
    pepper::PepperMismatch,
    worker::{Drain, Workers},
};
use crate::{
    audit::Auditor,
    authorizer::Authorizer,
    authzen,
    clock::Clock,
    config::{Address, Config},
    digest::{Digester, Pepper},
    grpc::{Admin, Audit, Maintenance},
    keyring::Keyring,
    metrics::Metrics,
    operator::OperatorToken,
    policy::{CurrentPolicy, Policy},
    store::{Embedded, Recovery, Store as _},
    tls,
    usage::Usage,
};

/// A sidecar that is bound and ready to run.
pub struct Server {
    store: Arc<Embedded>,
    authorizer: Arc<Authorizer>,
    policy_file: Option<PathBuf>,
    keyring: Keyring,
    usage: Usage,
    usage_flush_interval: Duration,
    authorization: Bound,
    admin: Bound,
    authzen: Bound<Router>,
    health: Health,
    tls: Option<tls::Reloader>,
    stopping: watch::Sender<bool>,
    workers: usize,
    drain_timeout: Duration,
    audit_retention: Option<Duration>,
    clock: Clock,
    metrics: Arc<Metrics>,
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
    /// Where the operator token lies.
    pub operator_token_file: PathBuf,
    /// The policy's digest.
    pub policy_digest: [u8; 32],
    /// The certificate of the TCP addresses; `None` is plain text.
    pub tls: Option<tls::Certificate>,
    /// Threads of the authorization path.
    pub workers: usize,
}

impl Server {
    /// Opens the store and binds every listener; nothing is answered yet. Must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// [`ServerError`]
    pub fn start(config: Config) -> Result<Self, ServerError> {
        let clock = Clock::System;
        let policy = match &config.policy {
            Some(path) => Policy::load(path)?,
            None => Policy::built_in()?,
        };
        let policy_digest = *policy.digest();
        let policy = CurrentPolicy::new(policy);
        let named = config.operator_token_file.map(|path| {
            OperatorToken::read(&path)
                .map(|operator| (operator, path))
                .map_err(ServerError::OperatorTokenFile)
        });
        // Configuration is read before anything is made.
        let named = named.transpose()?;
        let pepper = |path: &Option<PathBuf>| path.as_deref().map(Pepper::read).transpose();
        let digester =
            Digester::new(pepper(&config.pepper_file)?, pepper(&config.previous_pepper_file)?);
        let tls = config.tls.map(|files| tls::Reloader::load(files, clock.clone())).transpose()?;
        let mut metrics = Metrics::default();
        let handles = metrics.handles().clone();
        let store = Arc::new(Embedded::open_metered(&config.data_dir, handles.store)?);
        let (operator, operator_token_file) = match named {
            Some(named) => named,
            None => {
                let path = config.data_dir.join("operator.token");
                (OperatorToken::read_or_generate(&path)?, path)
            }
        };
        pepper::check(&store, &digester, &config.data_dir)?;
        let usage = Usage::open(&config.data_dir.join("usage"), clock.clone())?;
        let authorizer = Authorizer::new(
            store.clone(),
            policy.clone(),
            digester.clone(),
            usage.clone(),
            config.cache_capacity,
            clock.clone(),
        );
        let authorizer = Arc::new(authorizer.with_metrics(handles.decisions));
        let keyring = Keyring::new(store.clone(), policy, digester, usage.clone(), clock.clone());
        metrics.collect(Box::new(Gauges::new(&store, &authorizer, &keyring, &usage)));
        let maintenance = Maintenance::new(
            keyring.clone(),
            Arc::clone(&authorizer),
            operator.clone(),
            Arc::clone(&store),
            usage.clone(),
            clock.clone(),
        );
        let stopping = watch::Sender::new(false);
        let auditor = Auditor::new(keyring.clone(), store.clone());
        let audit = Audit::new(auditor, operator.clone(), stopping.subscribe());
        let admin = Admin::new(keyring.clone(), Arc::clone(&authorizer), operator);

        let health = Health::new();
        let bound = |addresses: &[Address], routes| Bound::new(addresses, tls.as_ref(), routes);
        let authzen = Bound::new(
            &config.authzen_listen,
            tls.as_ref(),
            authzen::router(Arc::clone(&authorizer)),
        )?;
        let routes = routes::authorization(Arc::clone(&authorizer), config.key_headers, &health)?;
        let authorization = bound(&config.listen, routes)?;
        let routes = routes::admin(admin, maintenance, audit, &health, handles.admin)?;
        let admin = bound(&config.admin_listen, routes)?;
        let summary = store.summary();
        let started = Started {
            data_dir: config.data_dir,
            recovery: store.recovery().clone(),
            key_count: summary.key_count,
            revision: summary.revision,
            listen: authorization.addresses(),
            admin_listen: admin.addresses(),
            authzen_listen: authzen.addresses(),
            operator_token_file,
            tls: tls.as_ref().map(|tls| tls.sets().borrow().certificate().clone()),
            policy_digest,
            workers: config.workers,
        };
        let (workers, drain_timeout) = (config.workers, config.drain_timeout);
        let audit_retention = config.audit_retention;
        Ok(Self {
            store,
            authorizer,
            policy_file: config.policy,
            keyring,
            usage,
            usage_flush_interval: config.usage_flush_interval,
            authorization,
            admin,
            authzen,
            health,
            tls,
            stopping,
            workers,
            drain_timeout,
            audit_retention,
            clock,
            metrics: Arc::new(metrics),
            started,
        })
    }

    /// What to tell people.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// What a scraper is told, while it runs and after.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Serves until `stop` ends or the store fails, then drains: what is in
    /// flight is answered within the drain time-out, and the store is closed. The
    /// policy file is read anew for each of `reload`.
    ///
    /// # Errors
    /// [`ServerError::Store`] when the store failed.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        reload: impl Stream<Item = ()> + Send + 'static,
    ) -> Result<(), ServerError> {
        let Self { store, keyring, authorization, admin, authzen, health, stopping, .. } = self;
        let (workers, drain_timeout) = (self.workers, self.drain_timeout);
        let flusher =
            self.usage.start_flusher(self.usage_flush_interval).map_err(ServerError::Workers)?;
        let mut background = JoinSet::new();
        background.spawn(renew(keyring));
        let reloads = self.metrics.handles().policy_reloads.clone();
        background.spawn(reload::run(reload, self.policy_file, self.authorizer, reloads));
        if let Some(tls) = self.tls {
            background.spawn(tls.run());
        }
        if let Some(age) = self.audit_retention {
            background.spawn(retention::run(Arc::clone(&store), age, self.clock));
        }
        let (draining, drain) = watch::channel(None);
        let workers =
            Workers::start(workers, &authorization.routes, &drain).map_err(ServerError::Workers)?;
        let workers = Arc::new(workers);
        let (connections, incoming) = mpsc::unbounded_channel();
        let admin_server = tokio::spawn(worker::serve(
            admin.routes,
            UnboundedReceiverStream::new(incoming),
            drain.clone(),
        ));
        let (http, authzen_server) = Http::start(authzen.routes, drain);
        let http = Arc::new(http);

        // Before anybody can ask: no service is unknown, and none is told twice.
        health.set(ServingStatus::Serving).await;
        let mut acceptors = JoinSet::new();
        for listener in authorization.listeners {
            let workers = Arc::clone(&workers);
            acceptors.spawn(listener.accept(move |socket| workers.dispatch(socket)));
        }
        for listener in admin.listeners {
            let (connections, open) = (connections.clone(), Arc::default());
            acceptors.spawn(listener.accept(move |socket| {
                // A server that drains takes no more: the socket closes.
                let _ = connections.send((socket, Open::new(&open)));
            }));
        }
        for listener in authzen.listeners {
            let http = Arc::clone(&http);
            acceptors.spawn(listener.accept(move |socket| http.dispatch(socket)));
        }

        let result = tokio::select! {
            () = stop => Ok(()),
            failure = store.failed() => Err(ServerError::Store(failure)),
        };
        health.set(ServingStatus::NotServing).await;
        background.shutdown().await;
        acceptors.shutdown().await;
        draining.send_replace(Some(drain_timeout));
        stopping.send_replace(true);
        health.end_watches().await;
        let drained = tokio::task::spawn_blocking(move || workers.join());
        let _ = tokio::join!(drained, admin_server, authzen_server);
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

/// Listeners, and what answers on them.
struct Bound<R = Routes> {
    listeners: Vec<Listener>,
    routes: R,
}

impl<R> Bound<R> {
    fn new(
        addresses: &[Address],
        tls: Option<&tls::Reloader>,
        routes: R,
    ) -> Result<Self, BindError> {
        let bind = |address| Ok(Listener::bind(address)?.with_tls(tls.cloned()));
        let listeners = addresses.iter().map(bind).collect::<Result<_, BindError>>()?;
        Ok(Self { listeners, routes })
    }

    fn addresses(&self) -> Vec<Address> {
        self.listeners.iter().map(|listener| listener.address().clone()).collect()
    }
}
