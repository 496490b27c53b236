//! What a cluster asks of a sidecar, from its start to its end: probes over HTTP and gRPC, and
//! metrics; and that clients which honour its health lose no call when it is restarted.

mod failing;
mod grpc;
mod http;
mod in_flight;
mod lameduck;
mod metrics;
mod opening;
mod rolling;
mod stuck;

use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    authzen::client::{Answer, Client},
    sidecar::{Sidecar, connect, wait_until},
};

/// The answer to a GET on a connection of its own.
pub fn get(address: &str, path: &str) -> Answer {
    Client::at(address).ask("GET", path, &[], "")
}

/// The statuses of /startupz, /readyz and /livez.
fn probes(address: &str) -> [u16; 3] {
    ["/startupz", "/readyz", "/livez"].map(|path| get(address, path).status)
}

/// What gRPC is told of one service.
async fn health(address: &str, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.into() };
    HealthClient::new(connect(address).await).check(request).await.unwrap().into_inner().status()
}

/// The value of a series.
pub fn value(address: &str, series: &str) -> Option<f64> {
    let answer = get(address, "/metrics");
    let line =
        answer.text().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

/// Waits until a series has a value.
pub fn wait_for(sidecar: &Sidecar, series: &str, expected: f64) {
    wait_until(&format!("{series} {expected}"), || {
        value(&sidecar.ops_listen, series) == Some(expected)
    });
}

/// Waits until it is, or is not, ready.
fn wait_for_readiness(address: &str, status: u16) {
    wait_until("readiness to change", || get(address, "/readyz").status == status);
}
