//! Sign-ins to the admin API that fail: who fails too often is not listened to, and nobody else is
//! troubled.

use std::time::{Duration, Instant};

use octavia_authz::pb::v1::{
    BackupRequest, GetStatusRequest, ListApiKeysRequest, ListApiKeysResponse,
    ListAuditEventsRequest, ListRolesRequest, WatchAuditEventsRequest,
    api_key_service_client::ApiKeyServiceClient, audit_service_client::AuditServiceClient,
    maintenance_service_client::MaintenanceServiceClient, role_service_client::RoleServiceClient,
};
use tempfile::TempDir;
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;

use crate::{
    command_line::{admin, program, run},
    ops::value,
    sidecar::{Bearer, PATIENCE, Sidecar, connect, step},
};

const WRONG: &str = "octo_0000000000000000000000000000000000000000000";
const FAILED: &str = "octavia_authz_admin_sign_ins_failed_total";

async fn list(address: &str, credential: &str) -> Result<ListApiKeysResponse, Status> {
    let channel = connect(address).await;
    let mut keys = ApiKeyServiceClient::with_interceptor(channel, Bearer::new(credential));
    keys.list_api_keys(ListApiKeysRequest::default()).await.map(tonic::Response::into_inner)
}

/// Fails until nobody listens any more. Gives how often it failed.
async fn fail(address: &str) -> u32 {
    let mut failed = 0;
    loop {
        match list(address, WRONG).await.unwrap_err().code() {
            Code::Unauthenticated => failed += 1,
            Code::ResourceExhausted => return failed,
            other => panic!("{other:?}"),
        }
    }
}

/// A sidecar whose admin API is on a Unix socket, too, and that socket.
fn start(temporary: &TempDir, per_minute: &str) -> (Sidecar, String) {
    let socket = format!("unix:{}", temporary.path().join("admin.sock").display());
    let args = ["--max-failed-sign-ins", per_minute, "--admin-listen", &socket];
    let sidecar = Sidecar::start_on(&temporary.path().join("data"), &args);
    (sidecar, socket)
}

#[tokio::test]
async fn whoever_fails_too_often_is_not_listened_to_and_others_are() {
    let temporary = TempDir::new().unwrap();
    let (sidecar, socket) = start(&temporary, "3");
    let tcp = sidecar.admin_listen.split(", ").next().unwrap().to_owned();
    let operator = sidecar.operator_token();
    let (_, good) = sidecar.create("super_admin").await;
    // Who gets it right in between is not held to account for it.
    for _ in 0..3 {
        assert_eq!(list(&tcp, WRONG).await.unwrap_err().code(), Code::Unauthenticated);
        list(&tcp, &good).await.unwrap();
    }
    assert_eq!(list(&tcp, WRONG).await.unwrap_err().code(), Code::Unauthenticated);
    // The operator is never kept from revoking a key.
    list(&tcp, &operator).await.unwrap();
    for credential in [WRONG, &good, "", "octv_no_key"] {
        let status = list(&tcp, credential).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        let details = status.get_error_details();
        let wait = details.retry_info().unwrap().retry_delay.unwrap();
        assert!(wait > Duration::from_secs(5) && wait <= Duration::from_secs(20), "{wait:?}");
        assert!(status.message().contains("too many sign-ins from here"), "{status}");
        assert!(!status.message().contains(&good[16..]), "{status}");
    }
    // Refusals are no failures: nothing that is refused makes it longer.
    assert_eq!(value(&sidecar.ops_listen, FAILED), Some(4.0));
    list(&socket, &operator).await.unwrap();
    assert_eq!(fail(&socket).await, 4);
    assert_eq!(list(&socket, &good).await.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(value(&sidecar.ops_listen, FAILED), Some(8.0));
    // Decisions are no sign-ins.
    let mut authorization = sidecar.authorization().await;
    for _ in 0..20 {
        authorization
            .authorize(octavia_authz::pb::v1::AuthorizeRequest {
                key: "octv_no_key".into(),
                action: "articles.read".into(),
                ..Default::default()
            })
            .await
            .unwrap();
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn whoever_shows_no_credential_and_whoever_asks_for_health_is_never_refused_for_it() {
    let sidecar = Sidecar::start_with(&["--max-failed-sign-ins", "3"]);
    let channel = connect(&sidecar.admin_listen).await;
    let mut keys = ApiKeyServiceClient::new(channel.clone());
    let mut health = HealthClient::new(channel.clone());
    let mut with_wrong = HealthClient::with_interceptor(channel.clone(), Bearer::new(WRONG));
    let is_serving = HealthCheckRequest::default;
    for _ in 0..20 {
        let status = keys.list_api_keys(ListApiKeysRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        health.check(is_serving()).await.unwrap();
        with_wrong.check(is_serving()).await.unwrap();
    }
    assert_eq!(value(&sidecar.ops_listen, FAILED), Some(20.0));
    list(&sidecar.admin_listen, &sidecar.operator_token()).await.unwrap();

    assert_eq!(fail(&sidecar.admin_listen).await, 4);
    let status = keys.list_api_keys(ListApiKeysRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    // A tool may send its credential with everything.
    for answer in [health.check(is_serving()).await, with_wrong.check(is_serving()).await] {
        assert_eq!(answer.unwrap().into_inner().status(), ServingStatus::Serving);
    }
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest,
    };
    let mut reflection = ServerReflectionClient::with_interceptor(channel, Bearer::new(WRONG));
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection.server_reflection_info(tokio_stream::iter([request])).await;
    assert!(answers.unwrap().into_inner().message().await.unwrap().is_some());
    sidecar.finish().await;
}

/// One call of each service of the admin API, with a credential.
async fn one_of_each(channel: &Channel, credential: &str) -> Vec<Status> {
    let bearer = || Bearer::new(credential);
    let mut keys = ApiKeyServiceClient::with_interceptor(channel.clone(), bearer());
    let mut roles = RoleServiceClient::with_interceptor(channel.clone(), bearer());
    let mut audit = AuditServiceClient::with_interceptor(channel.clone(), bearer());
    let mut maintenance = MaintenanceServiceClient::with_interceptor(channel.clone(), bearer());
    let import = tokio_stream::iter([]);
    [
        keys.list_api_keys(ListApiKeysRequest::default()).await.err(),
        keys.import_api_keys(import).await.err(),
        roles.list_roles(ListRolesRequest::default()).await.err(),
        audit.list_audit_events(ListAuditEventsRequest::default()).await.err(),
        audit.watch_audit_events(WatchAuditEventsRequest::default()).await.err(),
        maintenance.get_status(GetStatusRequest {}).await.err(),
        maintenance.backup(BackupRequest {}).await.err(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[tokio::test]
async fn a_failure_counts_whatever_was_called_and_so_does_the_refusal() {
    let sidecar = Sidecar::start_with(&["--max-failed-sign-ins", "6"]);
    let (_, good) = sidecar.create("super_admin").await;
    let channel = connect(&sidecar.admin_listen).await;
    let statuses = one_of_each(&channel, WRONG).await;
    let codes: Vec<_> = statuses.iter().map(Status::code).collect();
    assert_eq!(codes, [Code::Unauthenticated; 7]);
    let statuses = one_of_each(&channel, &good).await;
    let codes: Vec<_> = statuses.iter().map(Status::code).collect();
    assert_eq!(codes, [Code::ResourceExhausted; 7]);
    sidecar.finish().await;
}

#[tokio::test]
async fn after_the_time_that_it_was_told_a_source_is_listened_to_again() {
    let sidecar = Sidecar::start_with(&["--max-failed-sign-ins", "60"]);
    let (_, key) = sidecar.create("super_admin").await;
    assert!(fail(&sidecar.admin_listen).await >= 61);
    let began = Instant::now();
    loop {
        match list(&sidecar.admin_listen, &key).await {
            Ok(_) => break,
            Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status}"),
        }
        assert!(began.elapsed() < PATIENCE);
        step().await;
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // And may fail once more; how often it fails shows when it does.
    assert!((1..=2).contains(&fail(&sidecar.admin_listen).await));
    sidecar.finish().await;
}

#[tokio::test]
async fn the_command_line_says_what_is_wrong_and_the_log_no_more_than_a_line_a_second() {
    let sidecar = Sidecar::start_with(&["--max-failed-sign-ins", "3"]);
    let (_, good) = sidecar.create("super_admin").await;
    let status = |credential: &str| {
        let mut command = program();
        command.args(["status", "--server", &format!("http://{}", sidecar.admin_listen)]);
        command.env("OCTAVIA_AUTHZ_TOKEN", credential);
        run(command).said()
    };
    let began = Instant::now();
    let said: Vec<_> = (0..5).map(|_| status(WRONG)).collect();
    assert!(said[4].contains("too many sign-ins from here have failed"), "{said:#?}");
    let right = status(&good);
    assert!(right.contains("mend the credential of whoever tries"), "{right}");
    let operator = run(admin(&sidecar, &["status"])).said();
    assert!(operator.contains("revision"), "{operator}");
    let lines = sidecar.log().matches("a call was not authenticated").count();
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!((1..=seconds + 1).contains(&lines), "{lines} in {seconds} s");
    let log = sidecar.finish().await;
    assert!(!log.contains(WRONG), "{log}");
}
