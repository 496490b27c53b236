//! What a cluster asks a sidecar, over plain HTTP: probes and metrics. It carries no secret.
//!
//! Sources: the paths that Kubernetes' own components answer (`/livez`, `/readyz`), and
//! Prometheus' `/metrics`. An answer of 200 is a yes, 503 a no with the reason in words.

use std::sync::Arc;

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
use tokio::sync::Semaphore;
use tonic::{Status, service::Routes};

use super::phase::{Lifecycle, Probe};
use crate::metrics::{Exposition, Metrics};

#[derive(Clone)]
struct Ops {
    lifecycle: Lifecycle,
    metrics: Arc<Metrics>,
    scrapes: Arc<Semaphore>,
}

const INDEX: &str = "\
octavia-authz
/startupz  200 once the store is open
/readyz    200 while decisions can be made
/livez     200 unless a restart would help
/metrics   for Prometheus: OpenMetrics, or its classic text
gRPC health (grpc.health.v1.Health) with the services startup, readiness, liveness
";

/// What answers on the ops listener for `lifecycle` and `metrics`.
pub(super) fn router(lifecycle: Lifecycle, metrics: Arc<Metrics>) -> Router {
    let health = Routes::new(lifecycle.health().service()).into_axum_router();
    let ops = Ops { lifecycle, metrics, scrapes: Arc::new(Semaphore::new(1)) };
    let ours = Router::new()
        .route("/", get(INDEX))
        .route("/startupz", get(async |State(ops): State<Ops>| said(ops.lifecycle.startup())))
        .route("/readyz", get(async |State(ops): State<Ops>| said(ops.lifecycle.readiness())))
        .route("/livez", get(async |State(ops): State<Ops>| said(ops.lifecycle.liveness())))
        .route("/metrics", get(scrape))
        .with_state(ops);
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

async fn scrape(State(ops): State<Ops>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let exposition = Exposition::accepted(accept);
    let metrics = ops.metrics;
    // One after the other: they read directories, and may look at every key. It never closes.
    let turn = ops.scrapes.acquire_owned().await;
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
