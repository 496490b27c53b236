//! SIGHUP: the policy file is read anew, and felt by the next call.

use std::{fs, path::Path, time::Instant};

use octavia_authz::pb::v1::{CreateApiKeyRequest, DecisionReason, ListRolesRequest};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::sidecar::{PATIENCE, Sidecar, step};

const REFUNDS: &str = r#"
    [services.shop]
    actions.orders = { read = "read an order", refund = "pay it back" }
    roles.clerk.allow = ["orders.read", "orders.refund"]
"#;
const NO_REFUNDS: &str = r#"
    [services.shop]
    actions.orders = { read = "read an order", refund = "pay it back" }
    roles.clerk.allow = ["orders.read"]
"#;

fn sidecar(file: &Path) -> Sidecar {
    Sidecar::start_with(&["--policy", file.to_str().unwrap()])
}

async fn clerk(sidecar: &Sidecar) -> String {
    let (name, service, role) = ("a till".to_owned(), "shop".to_owned(), "clerk".to_owned());
    let request = CreateApiKeyRequest { name, service, role, ..Default::default() };
    sidecar.keys().await.create_api_key(request).await.unwrap().into_inner().key
}

async fn refund(sidecar: &Sidecar, key: &str) -> DecisionReason {
    let request = octavia_authz::pb::v1::AuthorizeRequest {
        key: key.to_owned(),
        action: "orders.refund".to_owned(),
        service: "shop".to_owned(),
        ..Default::default()
    };
    sidecar.authorization().await.authorize(request).await.unwrap().into_inner().reason()
}

/// Sends SIGHUP, and waits until the log has `said` for the `count`th time.
async fn reload(sidecar: &Sidecar, said: &str, count: usize) {
    let pid = Pid::from_raw(i32::try_from(sidecar.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    let started = Instant::now();
    while sidecar.log().matches(said).count() < count {
        assert!(started.elapsed() < PATIENCE, "{}", sidecar.log());
        step().await;
    }
}

#[tokio::test]
async fn a_policy_that_is_read_anew_is_felt_by_the_next_call() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("policy.toml");
    fs::write(&file, REFUNDS).unwrap();
    let sidecar = sidecar(&file);
    let key = clerk(&sidecar).await;
    assert_eq!(refund(&sidecar, &key).await, DecisionReason::Allowed);

    fs::write(&file, NO_REFUNDS).unwrap();
    reload(&sidecar, "is in force", 1).await;
    assert_eq!(refund(&sidecar, &key).await, DecisionReason::ActionDenied);

    fs::write(&file, REFUNDS).unwrap();
    reload(&sidecar, "is in force", 2).await;
    assert_eq!(refund(&sidecar, &key).await, DecisionReason::Allowed);
    let log = sidecar.finish().await;
    let digests: Vec<String> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|event| event["message"].as_str().is_some_and(|said| said.contains("anew")))
        .map(|event| event["digest"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(digests.len(), 2);
    assert_ne!(digests[0], digests[1]);
}

#[tokio::test]
async fn a_service_that_comes_with_a_reload_can_be_used_at_once() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("policy.toml");
    fs::write(&file, "").unwrap();
    let sidecar = sidecar(&file);
    fs::write(&file, REFUNDS).unwrap();
    reload(&sidecar, "is in force", 1).await;
    let key = clerk(&sidecar).await;
    assert_eq!(refund(&sidecar, &key).await, DecisionReason::Allowed);
    let request = ListRolesRequest { service: "shop".to_owned() };
    let mut roles = sidecar.roles_as(&sidecar.operator_token()).await;
    let roles = roles.list_roles(request).await.unwrap().into_inner();
    assert_eq!(roles.services[0].roles[0].role, "clerk");

    // Gone again: its keys may do nothing.
    fs::write(&file, "").unwrap();
    reload(&sidecar, "is in force", 2).await;
    assert_eq!(refund(&sidecar, &key).await, DecisionReason::ActionUnknown);
}

#[tokio::test]
async fn a_policy_file_that_is_wrong_leaves_the_last_good_one_in_force() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("policy.toml");
    fs::write(&file, REFUNDS).unwrap();
    let sidecar = sidecar(&file);
    let key = clerk(&sidecar).await;
    fs::write(&file, REFUNDS.replace("orders.refund", "orders.refnd")).unwrap();
    reload(&sidecar, "stays in force", 1).await;
    assert_eq!(refund(&sidecar, &key).await, DecisionReason::Allowed);
    assert!(sidecar.log().contains("did you mean `orders.refund`"), "{}", sidecar.log());
    fs::remove_file(&file).unwrap();
    reload(&sidecar, "stays in force", 2).await;
    assert_eq!(refund(&sidecar, &key).await, DecisionReason::Allowed);
}

#[tokio::test]
async fn without_a_policy_file_sighup_changes_nothing() {
    let sidecar = Sidecar::start();
    let (_, key) = sidecar.create("read_only").await;
    reload(&sidecar, "no policy file", 1).await;
    assert!(sidecar.authorize(&key, "tags.read").await.allowed);
    sidecar.finish().await;
}
