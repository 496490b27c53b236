//! Update, rotate and revoke: what they change, what they leave, and when they
//! are refused.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use octavia_authz::pb::v1::{
    ApiKey, DecisionReason as Reason, GetApiKeyRequest, KeyStatus, RevokeApiKeyRequest,
    RotateApiKeyRequest, UpdateApiKeyRequest,
};
use tokio::task::JoinSet;
use tonic::Code;

use super::{create, invalid_fields, new_key, update};
use crate::sidecar::{Sidecar, without_usage};

/// New values for every field that can be updated, and others that cannot.
fn values() -> ApiKey {
    let soon = SystemTime::now() + Duration::from_secs(3600);
    ApiKey {
        id: "0000000000".into(),
        name: "renamed".into(),
        team: "apps".into(),
        service: "shop".into(),
        role: "admin".into(),
        grants: vec!["billing.read".into()],
        status: KeyStatus::Inactive.into(),
        // The store keeps milliseconds.
        expire_time: Some(prost_types::Timestamp { nanos: 0, ..soon.into() }),
        subject: "ana".into(),
        description: "what it is for".into(),
        labels: HashMap::from([("env".into(), "prod".into())]),
        created_by: "key:0000000000".into(),
        etag: "1".into(),
        ..Default::default()
    }
}

/// Puts one field of `from` into `to`.
fn put(to: &mut ApiKey, from: &ApiKey, path: &str) {
    let from = from.clone();
    match path {
        "name" => to.name = from.name,
        "role" => to.role = from.role,
        "grants" => to.grants = from.grants,
        "expire_time" => to.expire_time = from.expire_time,
        "status" => to.status = from.status,
        "subject" => to.subject = from.subject,
        "description" => to.description = from.description,
        "labels" => to.labels = from.labels,
        other => panic!("`{other}`"),
    }
}

const PATHS: [&str; 8] =
    ["name", "role", "grants", "expire_time", "status", "subject", "description", "labels"];

#[tokio::test]
async fn an_update_changes_what_its_mask_names_and_nothing_else() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    for path in PATHS {
        // Of another role than the new values', except where only that one takes the value.
        let role = if path == "grants" { "admin" } else { "writer" };
        let (before, _) = create(&sidecar, new_key(role, "web")).await;
        let request = update(&before.id, &[path, path], values());
        let after = keys.update_api_key(request).await.unwrap().into_inner().api_key.unwrap();
        assert!(after.etag != before.etag, "{path}");
        let time = |key: &ApiKey| SystemTime::try_from(key.update_time.unwrap()).unwrap();
        assert!(time(&after) >= time(&before));
        let mut expected = before.clone();
        put(&mut expected, &values(), path);
        expected.etag.clone_from(&after.etag);
        expected.update_time = after.update_time;
        // The hour that `values` speaks of moves on with the clock.
        expected.expire_time = expected.expire_time.and(after.expire_time);
        assert_eq!(after, expected, "{path}");
        let read = keys.get_api_key(GetApiKeyRequest { id: before.id }).await.unwrap();
        assert_eq!(read.into_inner().api_key.unwrap(), after);
    }

    let (before, _) = create(&sidecar, new_key("writer", "web")).await;
    let all = update(&before.id, &PATHS, values());
    let full = keys.update_api_key(all).await.unwrap().into_inner().api_key.unwrap();
    assert_eq!((full.team.as_str(), full.service.as_str()), ("web", "ai-cms"));
    assert_eq!((full.role.as_str(), full.created_by.as_str()), ("admin", "operator"));

    // What a mask names and the key does not hold is taken away.
    let paths = ["grants", "expire_time", "subject", "description", "labels"];
    let bare = update(&before.id, &paths, ApiKey::default());
    let bare = keys.update_api_key(bare).await.unwrap().into_inner().api_key.unwrap();
    assert_eq!((bare.expire_time, bare.subject.as_str()), (None, before.id.as_str()));
    assert!(bare.grants.is_empty() && bare.description.is_empty() && bare.labels.is_empty());
    assert_eq!((bare.status(), bare.name.as_str()), (KeyStatus::Inactive, "renamed"));
    sidecar.finish().await;
}

#[tokio::test]
async fn a_mask_names_at_least_one_field_that_can_be_changed() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let (key, _) = sidecar.create("writer").await;
    let none = UpdateApiKeyRequest { update_mask: None, ..update(&key.id, &[], values()) };
    for request in [none, update(&key.id, &[], values())] {
        let status = keys.update_api_key(request).await.unwrap_err();
        assert_eq!(invalid_fields(&status), ["update_mask"]);
    }
    for path in [
        "",
        "*",
        "id",
        "team",
        "service",
        "etag",
        "secrets",
        "created_by",
        "create_time",
        "Name",
        "expireTime",
        "labels.env",
        "api_key.name",
        "name,role",
        " name",
    ] {
        let status = keys.update_api_key(update(&key.id, &[path], values())).await.unwrap_err();
        assert_eq!(invalid_fields(&status), ["update_mask"], "{path:?}");
        let status =
            keys.update_api_key(update(&key.id, &["name", path], values())).await.unwrap_err();
        assert_eq!(invalid_fields(&status), ["update_mask"], "{path:?}");
    }
    for path in ["name", "role", "status"] {
        let empty = update(&key.id, &[path], ApiKey::default());
        let status = keys.update_api_key(empty).await.unwrap_err();
        assert_eq!(invalid_fields(&status), [path]);
    }
    let same = keys.get_api_key(GetApiKeyRequest { id: key.id.clone() }).await.unwrap();
    assert_eq!(same.into_inner().api_key.unwrap(), key);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_stale_etag_aborts_and_a_fresh_one_does_not() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let (first, text) = sidecar.create("writer").await;
    let id = first.id.clone();
    let rename = |name: &str, etag: &str| {
        let values = ApiKey { name: name.into(), ..Default::default() };
        UpdateApiKeyRequest { etag: etag.into(), ..update(&id, &["name"], values) }
    };
    let second = keys.update_api_key(rename("b", &first.etag)).await.unwrap().into_inner();
    let second = second.api_key.unwrap();
    for stale in [first.etag.as_str(), "nonsense", &second.etag.to_uppercase(), " "] {
        if stale == second.etag {
            continue;
        }
        let rotate =
            RotateApiKeyRequest { id: id.clone(), etag: stale.into(), ..Default::default() };
        let revoke = RevokeApiKeyRequest { id: id.clone(), etag: stale.into() };
        for answer in [
            keys.update_api_key(rename("c", stale)).await.map(drop),
            keys.rotate_api_key(rotate).await.map(drop),
            keys.revoke_api_key(revoke).await.map(drop),
        ] {
            let status = answer.unwrap_err();
            assert_eq!(status.code(), Code::Aborted, "{stale:?}");
            assert!(status.message().contains(&second.etag), "{status}");
        }
    }
    assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    let rotate = RotateApiKeyRequest { id: id.clone(), etag: second.etag, ..Default::default() };
    let third = keys.rotate_api_key(rotate).await.unwrap().into_inner().api_key.unwrap();
    let revoke = RevokeApiKeyRequest { id: id.clone(), etag: third.etag };
    keys.revoke_api_key(revoke).await.unwrap();
    sidecar.finish().await;
}

#[tokio::test]
async fn of_changes_at_once_on_one_etag_one_is_made() {
    let sidecar = Sidecar::start();
    let (key, _) = sidecar.create("writer").await;
    let keys = sidecar.keys().await;
    let mut racing = JoinSet::new();
    for n in 0..32 {
        let mut keys = keys.clone();
        let values = ApiKey { name: format!("by {n}"), ..Default::default() };
        let request = update(&key.id, &["name"], values);
        let request = UpdateApiKeyRequest { etag: key.etag.clone(), ..request };
        racing.spawn(async move { keys.update_api_key(request).await });
    }
    let answers = racing.join_all().await;
    let made: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    assert_eq!(made.len(), 1);
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(refused.code(), Code::Aborted);
    }
    let now = sidecar.keys().await.get_api_key(GetApiKeyRequest { id: key.id }).await.unwrap();
    assert_eq!(now.into_inner().api_key, made[0].get_ref().api_key);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_rotation_keeps_everything_but_the_secret() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let (new, old_text) = create(&sidecar, new_key("writer", "web")).await;
    let mut full = values();
    full.status = KeyStatus::Active.into();
    let before = keys.update_api_key(update(&new.id, &PATHS, full)).await.unwrap().into_inner();
    let before = before.api_key.unwrap();
    let rotate = RotateApiKeyRequest { id: new.id.clone(), ..Default::default() };
    let rotated = keys.rotate_api_key(rotate).await.unwrap().into_inner();
    let (after, text) = (rotated.api_key.unwrap(), rotated.key);
    assert!(text != old_text && text[..16] == old_text[..16]);
    assert!(after.etag != before.etag);
    assert_eq!(after.secrets.len(), 1);
    assert!(after.secrets[0].hint.ends_with(&text[50..]) && after.secrets != before.secrets);
    let expected = ApiKey {
        secrets: after.secrets.clone(),
        etag: after.etag.clone(),
        update_time: after.update_time,
        ..before
    };
    assert_eq!(after, expected);
    assert_eq!(sidecar.authorize(&old_text, "media.read").await.reason(), Reason::KeyUnknown);
    assert!(sidecar.authorize(&text, "billing.read").await.allowed);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_revocation_gives_the_key_as_it_was_and_is_for_good() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let (key, text) = sidecar.create("writer").await;
    assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    let revoke = RevokeApiKeyRequest { id: key.id.clone(), ..Default::default() };
    let revoked = keys.revoke_api_key(revoke.clone()).await.unwrap().into_inner();
    let revoked = revoked.api_key.unwrap();
    assert_eq!((revoked.allowed_count, revoked.denied_count), (1, 0));
    assert_eq!(without_usage(revoked), without_usage(key.clone()));
    assert_eq!(sidecar.authorize(&text, "articles.create").await.reason(), Reason::KeyUnknown);
    let rotate = RotateApiKeyRequest { id: key.id.clone(), ..Default::default() };
    for answer in [
        keys.get_api_key(GetApiKeyRequest { id: key.id.clone() }).await.map(drop),
        keys.update_api_key(update(&key.id, &["name"], values())).await.map(drop),
        keys.rotate_api_key(rotate).await.map(drop),
        keys.revoke_api_key(revoke).await.map(drop),
    ] {
        assert_eq!(answer.unwrap_err().code(), Code::NotFound);
    }
    sidecar.finish().await;
}
