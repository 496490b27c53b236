//! Probes over gRPC, on the same port as those over HTTP.

use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use prost::Message as _;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus::Serving, health_client::HealthClient,
};

use super::{health, wait_for_readiness};
use crate::{
    command_line::{program, run},
    ext_authz, raw,
    sidecar::{Sidecar, connect},
};

const SERVICES: [&str; 6] = [
    "",
    "startup",
    "readiness",
    "liveness",
    "octavia.authz.v1.AuthorizationService",
    "octavia.authz.v1.ApiKeyService",
];

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn the_whole_the_probes_and_every_service_are_serving() {
    let sidecar = Sidecar::start();
    wait_for_readiness(&sidecar.ops_listen, 200);
    for address in [&sidecar.ops_listen, &sidecar.listen, &sidecar.admin_listen] {
        for service in SERVICES {
            assert_eq!(health(address, service).await, Serving, "{service} at {address}");
        }
        let mut client = HealthClient::new(connect(address).await);
        let status = client.check(of("readyz")).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        let mut watch = client.watch(of("readiness")).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), Serving);
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn every_other_call_is_unimplemented_and_nothing_is_decided_there() {
    let sidecar = Sidecar::start();
    let (_, text) = sidecar.create("super_admin").await;
    let channel = connect(&sidecar.ops_listen).await;
    let question = [raw::field(1, &text), raw::field(2, "articles.create")].concat();
    for path in [
        raw::AUTHORIZE,
        raw::BATCH,
        "/octavia.authz.v1.ApiKeyService/ListApiKeys",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Nothing",
        "/no.Service/Nothing",
        "/x",
    ] {
        let bearer = sidecar.operator_token();
        let status = raw::unary(&channel, path, &bearer, question.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status}");
    }
    // A proxy that asks at the wrong door lets nothing pass, either.
    let answer = raw::unary(&channel, ext_authz::CHECK, "", question).await.unwrap();
    let denied = ext_authz::Told::of(CheckResponse::decode(&*answer).unwrap());
    assert_eq!((denied.status, &*denied.metadata["reason"]), (503, "UNAVAILABLE"));
    sidecar.finish().await;
}

#[tokio::test]
async fn the_health_command_asks_there_too() {
    let sidecar = Sidecar::start();
    wait_for_readiness(&sidecar.ops_listen, 200);
    let ask = |service: &str| {
        let mut command = program();
        command.args(["health", "--server", &format!("http://{}", sidecar.ops_listen)]);
        run({
            command.args(["--service", service]);
            command
        })
    };
    for service in SERVICES {
        assert_eq!(ask(service).with(0), "SERVING\n", "{service}");
    }
    assert_eq!(ask("no.such").with(1), "SERVICE_UNKNOWN\n");
    sidecar.finish().await;
}
