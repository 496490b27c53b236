//! Health: SERVING while it serves, NOT_SERVING from the moment it is asked to
//! stop; for the whole and for each service, on both APIs.

use std::time::Instant;

use tokio::time::{Duration, timeout};
use tonic::{Code, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus::{NotServing, Serving},
    health_client::HealthClient,
};

use crate::sidecar::{PATIENCE, Sidecar, connect};

const SERVICES: [&str; 6] = [
    "",
    "octavia.authz.v1.AuthorizationService",
    "octavia.authz.v1.ApiKeyService",
    "octavia.authz.v1.AuditService",
    "octavia.authz.v1.RoleService",
    "octavia.authz.v1.MaintenanceService",
];

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

async fn next(watch: &mut Streaming<HealthCheckResponse>) -> Option<HealthCheckResponse> {
    timeout(PATIENCE, watch.message()).await.expect("no message").unwrap()
}

#[tokio::test]
async fn the_whole_and_every_service_are_serving_on_both_apis() {
    let sidecar = Sidecar::start();
    for address in [&sidecar.listen, &sidecar.admin_listen] {
        let mut health = HealthClient::new(connect(address).await);
        for service in SERVICES {
            let answer = health.check(of(service)).await.unwrap().into_inner();
            assert_eq!(answer.status(), Serving, "{service}");
        }
        let status = health.check(of("no.such.Service")).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn a_watcher_is_told_of_the_stop_and_does_not_hold_it_up() {
    let sidecar = Sidecar::start();
    let mut watches = Vec::new();
    for address in [&sidecar.listen, &sidecar.admin_listen] {
        let mut health = HealthClient::new(connect(address).await);
        for service in SERVICES {
            let mut watch = health.watch(of(service)).await.unwrap().into_inner();
            assert_eq!(next(&mut watch).await.unwrap().status(), Serving);
            watches.push(watch);
        }
    }
    let asked = Instant::now();
    sidecar.terminate();
    for watch in &mut watches {
        assert_eq!(next(watch).await.unwrap().status(), NotServing);
    }
    // The drain time-out is 10 s: a watch is no call that has an answer to wait for.
    assert_eq!(sidecar.wait().await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    for watch in &mut watches {
        assert!(timeout(PATIENCE, watch.message()).await.unwrap().is_ok_and(|end| end.is_none()));
    }
}
