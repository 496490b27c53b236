//! Who may call: the operator token, and keys that are valid and have the right.

use std::time::Instant;

use octavia_authz::pb::v1::{
    GetApiKeyRequest, GetStatusRequest, ListApiKeysRequest, ListRolesRequest, RevokeApiKeyRequest,
    RotateApiKeyRequest, api_key_service_client::ApiKeyServiceClient,
    maintenance_service_client::MaintenanceServiceClient, role_service_client::RoleServiceClient,
};
use tonic::{Code, Request, Status};

use super::{create, new_key, switched_off, update};
use crate::{
    golden::{self, Right},
    sidecar::{PATIENCE, Sidecar, connect},
};

/// What each method of the admin API answers to a call with these headers.
async fn every_method(
    sidecar: &Sidecar,
    id: &str,
    headers: &[String],
) -> Vec<(&'static str, Code)> {
    fn with<T>(message: T, headers: &[String]) -> Request<T> {
        let mut request = Request::new(message);
        for header in headers {
            request.metadata_mut().append("authorization", header.parse().unwrap());
        }
        request
    }
    fn code<T>(answer: Result<T, Status>) -> Code {
        answer.err().map_or(Code::Ok, |status| status.code())
    }
    let channel = connect(&sidecar.admin_listen).await;
    let mut keys = ApiKeyServiceClient::new(channel.clone());
    let mut roles = RoleServiceClient::new(channel.clone());
    let mut maintenance = MaintenanceServiceClient::new(channel);
    let named =
        |name: &str| octavia_authz::pb::v1::ApiKey { name: name.into(), ..Default::default() };
    let (id, etag) = (id.to_owned(), "not the etag".to_owned());
    // None of these changes the key, whoever asks: the etag is stale.
    let get = with(GetApiKeyRequest { id: id.clone() }, headers);
    let list = with(ListApiKeysRequest::default(), headers);
    let create = with(new_key("no_such_role", ""), headers);
    let mut update = update(&id, &["name"], named("renamed"));
    update.etag.clone_from(&etag);
    let rotate = with(
        RotateApiKeyRequest { id: id.clone(), etag: etag.clone(), ..Default::default() },
        headers,
    );
    let revoke = with(RevokeApiKeyRequest { id, etag }, headers);
    vec![
        ("api_keys.read", code(keys.get_api_key(get).await)),
        ("api_keys.read", code(keys.list_api_keys(list).await)),
        ("api_keys.create", code(keys.create_api_key(create).await)),
        ("api_keys.update", code(keys.update_api_key(with(update, headers)).await)),
        ("api_keys.rotate", code(keys.rotate_api_key(rotate).await)),
        ("api_keys.revoke", code(keys.revoke_api_key(revoke).await)),
        ("roles", code(roles.list_roles(with(ListRolesRequest::default(), headers)).await)),
        ("status", code(maintenance.get_status(with(GetStatusRequest {}, headers)).await)),
    ]
}

/// What a caller gets that is let in: the calls themselves are wrong or stale.
fn let_in(right: &str) -> Code {
    match right {
        "api_keys.create" => Code::InvalidArgument,
        "api_keys.update" | "api_keys.rotate" | "api_keys.revoke" => Code::Aborted,
        _ => Code::Ok,
    }
}

#[tokio::test]
async fn without_one_good_credential_every_method_is_unauthenticated() {
    let sidecar = Sidecar::start_with(&["--max-failed-sign-ins", "100000"]);
    let (key, text) = sidecar.create("super_admin").await;
    let token = sidecar.operator_token();
    let (_, revoked) = {
        let (key, text) = sidecar.create("super_admin").await;
        let request = RevokeApiKeyRequest { id: key.id.clone(), ..Default::default() };
        sidecar.keys().await.revoke_api_key(request).await.unwrap();
        (key, text)
    };
    let (inactive, inactive_text) = sidecar.create("super_admin").await;
    let off = update(&inactive.id, &["status"], switched_off());
    sidecar.keys().await.update_api_key(off).await.unwrap();
    let (rotated, old_text) = sidecar.create("super_admin").await;
    let request = RotateApiKeyRequest { id: rotated.id, ..Default::default() };
    sidecar.keys().await.rotate_api_key(request).await.unwrap();

    let bearer = |credential: &str| format!("Bearer {credential}");
    let refused: Vec<Vec<String>> = vec![
        vec![],
        vec![String::new()],
        vec!["Bearer".into()],
        vec![bearer("")],
        vec![bearer("octo_")],
        vec![bearer(&token[..token.len() - 1])],
        vec![bearer(&format!("{token}x"))],
        vec![bearer(&token.to_uppercase())],
        vec![bearer(&text[..53])],
        vec![bearer("octv_0000000000_00000000000000000000000000000000000000")],
        vec![token.clone()],
        vec![format!("Basic {token}")],
        vec![format!("Bearer{token}")],
        vec![format!("Bearer,{token}")],
        vec![bearer(&revoked)],
        vec![bearer(&inactive_text)],
        vec![bearer(&old_text)],
        // Which of two is meant? Neither.
        vec![bearer(&token), bearer(&token)],
        vec![bearer(&token), bearer("nonsense")],
        vec![bearer("nonsense"), bearer(&token)],
        vec![bearer(&text), bearer(&token)],
        vec![bearer(&format!("{token}, Bearer {token}"))],
    ];
    for headers in &refused {
        for (right, code) in every_method(&sidecar, &key.id, headers).await {
            assert_eq!(code, Code::Unauthenticated, "{right} with {headers:?}");
        }
    }
    for accepted in [bearer(&token), format!("bearer {token}"), format!("BEARER {token}")] {
        let answers = every_method(&sidecar, &key.id, &[accepted]).await;
        for (right, code) in answers {
            assert_eq!(code, let_in(right), "{right}");
        }
    }
    let same = GetApiKeyRequest { id: key.id.clone() };
    let same = sidecar.keys().await.get_api_key(same).await.unwrap().into_inner();
    assert_eq!(same.api_key.unwrap(), key);
    sidecar.finish().await;
}

#[tokio::test]
async fn the_log_tells_of_calls_without_a_good_credential_and_never_the_credential() {
    let sidecar = Sidecar::start_with(&["--max-failed-sign-ins", "100000"]);
    let wrong = "octo_0123456789abcdefghijklmnopqrstuvwxyz0123456";
    let (key, revoked) = sidecar.create("super_admin").await;
    let request = RevokeApiKeyRequest { id: key.id, ..Default::default() };
    sidecar.keys().await.revoke_api_key(request).await.unwrap();
    let mut calls = 0_u64;
    let mut lines = Vec::new();
    let started = Instant::now();
    // One line at once; another within a second or so, of both kinds of refusal.
    while lines.len() < 2 {
        assert!(started.elapsed() < PATIENCE, "{}", sidecar.log());
        let credential = if calls == 0 { wrong } else { &revoked };
        let get = GetApiKeyRequest { id: "0000000000".into() };
        let status = sidecar.keys_as(credential).await.get_api_key(get).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        calls += 1;
        lines = refused_calls(&sidecar.log());
    }
    let took = started.elapsed();
    for line in &lines {
        assert_eq!(line["level"], "WARN");
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    }
    let reason = |line: &serde_json::Value| line["reason"].as_str().unwrap().to_owned();
    assert!(reason(&lines[0]).contains("neither the operator token nor"), "{}", lines[0]);
    assert!(reason(&lines[1]).contains("unknown or was revoked"), "{}", lines[1]);
    assert_eq!(lines[0]["unlogged"], 0);
    assert!(lines[1]["unlogged"].as_u64().unwrap() <= calls - 2, "{} of {calls}", lines[1]);
    let log = sidecar.finish().await;
    assert!(refused_calls(&log).len() <= 2 + took.as_secs() as usize, "{log}");
    for secret in [wrong, &revoked, &wrong[5..], &revoked[16..]] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// The lines of a log that tell of calls that were not authenticated.
fn refused_calls(log: &str) -> Vec<serde_json::Value> {
    let events = log.lines().filter_map(|line| serde_json::from_str(line).ok());
    let told = "a call was not authenticated";
    events.filter(|event: &serde_json::Value| event["message"] == told).collect()
}

#[tokio::test]
async fn a_key_may_call_what_its_role_has_the_right_to_and_never_the_status() {
    let sidecar = Sidecar::start();
    // It holds nothing that any of the callers does not.
    let (target, _) = sidecar.create("read_only").await;
    for role in golden::ROLES {
        let (_, text) = sidecar.create(role).await;
        let answers = every_method(&sidecar, &target.id, &[format!("Bearer {text}")]).await;
        for (right, code) in answers {
            let expected = match right {
                "roles" => Code::Ok,
                "status" => Code::PermissionDenied,
                right if golden::right(role, right) == Right::Always => let_in(right),
                _ => Code::PermissionDenied,
            };
            assert_eq!(code, expected, "{right} as {role}");
        }
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn a_granted_right_opens_its_calls_and_no_other() {
    let sidecar = Sidecar::start();
    let (target, _) = sidecar.create("read_only").await;
    for grant in [
        "api_keys.read",
        "api_keys.create",
        "api_keys.update",
        "api_keys.rotate",
        "api_keys.revoke",
    ] {
        let mut new = new_key("admin", "");
        new.grants = vec![grant.into()];
        let (_, text) = create(&sidecar, new).await;
        let answers = every_method(&sidecar, &target.id, &[format!("Bearer {text}")]).await;
        for (right, code) in answers {
            let expected = match right {
                "roles" => Code::Ok,
                right if right == grant => let_in(right),
                _ => Code::PermissionDenied,
            };
            assert_eq!(code, expected, "{right} with {grant}");
        }
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn a_refusal_names_the_right_that_is_missing() {
    let sidecar = Sidecar::start();
    let (_, text) = sidecar.create("editor").await;
    let mut keys = sidecar.keys_as(&text).await;
    let status = keys.create_api_key(new_key("writer", "")).await.unwrap_err();
    assert!(status.message().contains("`api_keys.create`"), "{status}");
    assert!(status.message().contains("`editor`"), "{status}");
    let mut maintenance = sidecar.maintenance_as(&text).await;
    let status = maintenance.get_status(GetStatusRequest {}).await.unwrap_err();
    assert!(status.message().contains("operator"), "{status}");
    let mut maintenance = sidecar.maintenance_as(&sidecar.operator_token()).await;
    let status = maintenance.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    // The refusal is recorded, too.
    assert_eq!((status.key_count, status.revision, status.store.as_str()), (1, 2, "embedded"));
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(status.data_dir, sidecar.dir().display().to_string());
    sidecar.finish().await;
}
