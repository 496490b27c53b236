//! What a cluster asks a sidecar, over plain HTTP: probes and metrics. It carries no secret.
//!
//! INVARIANT: it has a thread of its own, so that it is answered whatever others ask for.
//!
//! Sources: the paths that Kubernetes' own components answer (`/livez`, `/readyz`), and
//! Prometheus' `/metrics`. An answer of 200 is a yes, 503 a no with the reason in words.

use std::{io, sync::Arc, thread, time::Duration};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
};
use tokio::{
    runtime,
    sync::{Semaphore, oneshot, watch},
    task::JoinSet,
};
use tonic::{Status, service::Routes};

use super::{
    Api, Protocol, ServerError,
    bound::Bound,
    phase::{Lifecycle, Probe},
    serve::{self, Queue},
};
use crate::{
    config::{Address, Config, Limits},
    metrics::{Exposition, Metrics},
};

/// What is asked.
#[derive(Clone)]
struct Asked {
    lifecycle: Lifecycle,
    metrics: Arc<Metrics>,
    scrapes: Arc<Semaphore>,
}

/// What a prober or scraper may take at once, and how long.
const STREAMS: u32 = 16;
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last answers of the ops listener may take.
const DRAIN: Duration = Duration::from_millis(500);

const INDEX: &str = "\
octavia-authz
/startupz  200 once the store is open
/readyz    200 while decisions can be made
/livez     200 unless a restart would help
/metrics   for Prometheus: OpenMetrics, or its classic text
gRPC health (grpc.health.v1.Health) with the services startup, readiness, liveness
";

/// Probes and metrics, answered from before the store is open until it is closed.
pub(super) struct Ops {
    addresses: Vec<Address>,
    draining: watch::Sender<Option<Duration>>,
    ended: oneshot::Receiver<()>,
}

impl Ops {
    /// Begins to answer on the addresses of `config`.
    ///
    /// # Errors
    /// [`ServerError::Bind`], or a thread cannot be made.
    pub(super) async fn start(
        config: &Config,
        lifecycle: &Lifecycle,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, ServerError> {
        let router = router(lifecycle.clone(), Arc::clone(metrics));
        let counted = metrics.handles().listeners.of("ops");
        // Probes are not turned away: a sidecar that is busy is not to be killed for it.
        let limits = Limits {
            max_in_flight: usize::MAX,
            max_streams: STREAMS.min(config.limits.max_streams),
            request_timeout: TIMEOUT.min(config.limits.request_timeout),
            ..config.limits.aside()
        };
        let api = Api::new("ops", Protocol::Http, router, limits, counted);
        let listen = config.ops_listen.clone();
        let (draining, drain) = watch::channel(None);
        let ((bound, is_bound), (end, ended)) = (oneshot::channel(), oneshot::channel());
        let answering = move || {
            let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(bound.send(Err(ServerError::Workers(error)))),
            };
            runtime.block_on(answer(api, &listen, bound, drain));
            // A scrape that is still read is not waited for.
            runtime.shutdown_background();
            // Nobody is left to be told when the start was given up.
            let _ = end.send(());
        };
        let thread = thread::Builder::new().name("ops".to_owned()).spawn(answering);
        thread.map_err(ServerError::Workers)?;
        // One that panicked has said so already.
        let gone = |_| ServerError::Workers(io::ErrorKind::BrokenPipe.into());
        let addresses = is_bound.await.map_err(gone)??;
        Ok(Self { addresses, draining, ended })
    }

    /// Where it listens.
    pub(super) fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Ends it once what is asked is answered.
    pub(super) async fn stop(self) {
        self.draining.send_replace(Some(DRAIN));
        // One that panicked has said so already.
        let _ = self.ended.await;
    }
}

/// Binds `listen` for `api`, says so, and answers until `drain` turns.
async fn answer(
    api: Api,
    listen: &[Address],
    bound: oneshot::Sender<Result<Vec<Address>, ServerError>>,
    drain: watch::Receiver<Option<Duration>>,
) {
    // It carries no secret, and the kubelet's probes know no TLS.
    let Bound { api, listeners } = match Bound::new(api, listen, None) {
        Ok(bound) => bound,
        Err(error) => return drop(bound.send(Err(error.into()))),
    };
    let addresses = listeners.iter().map(|listener| listener.address().clone()).collect();
    let (queue, accepted) = Queue::new();
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        let (queue, api) = (queue.clone(), api.clone());
        acceptors.spawn(async move {
            listener.accept(|socket| queue.dispatch(socket, &api)).await;
        });
    }
    // A start that was given up drops the other end of both.
    let _ = bound.send(Ok(addresses));
    let mut stopping = drain.clone();
    let stop = async {
        let _ = stopping.wait_for(Option::is_some).await;
        acceptors.shutdown().await;
        api.drain();
    };
    tokio::join!(serve::all(accepted, drain), stop);
}

/// What answers on the ops listener for `lifecycle` and `metrics`.
fn router(lifecycle: Lifecycle, metrics: Arc<Metrics>) -> Router {
    let health = Routes::new(lifecycle.health().service()).into_axum_router();
    let asked = Asked { lifecycle, metrics, scrapes: Arc::new(Semaphore::new(1)) };
    let ours = Router::new()
        .route("/", get(INDEX))
        .route("/startupz", get(async |State(asked): State<Asked>| said(asked.lifecycle.startup())))
        .route("/readyz", get(async |State(asked): State<Asked>| said(asked.lifecycle.readiness())))
        .route("/livez", get(async |State(asked): State<Asked>| said(asked.lifecycle.liveness())))
        .route("/metrics", get(scrape))
        .with_state(asked);
    health.merge(ours).fallback(unknown)
}

async fn unknown(headers: HeaderMap) -> Response {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        return Status::unimplemented("only grpc.health.v1.Health is here").into_http();
    }
    (StatusCode::NOT_FOUND, INDEX).into_response()
}

fn said(probe: Probe) -> Response {
    let (status, text) = match probe {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    };
    (status, [(CACHE_CONTROL, "no-store")], text).into_response()
}

async fn scrape(State(asked): State<Asked>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let exposition = Exposition::accepted(accept);
    let metrics = asked.metrics;
    // One after the other: they read directories, and may look at every key. It never closes.
    let turn = asked.scrapes.acquire_owned().await;
    let encoded = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        metrics.encode(exposition)
    });
    let encoded = encoded.await;
    match encoded {
        Ok(Ok(text)) => {
            let kind = (CONTENT_TYPE, exposition.content_type());
            ([kind, (CACHE_CONTROL, "no-store")], text).into_response()
        }
        Ok(Err(_)) | Err(_) => {
            tracing::error!("the metrics could not be told: a defect");
            (StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be told\n").into_response()
        }
    }
}
