//! What a caller may do to which keys: its own team's, and never more than it
//! holds itself.

use std::fs;

use octavia_authz::pb::v1::{
    ApiKey, CreateApiKeyRequest, GetApiKeyRequest, KeyFilter, ListApiKeysRequest,
    RevokeApiKeyRequest, RotateApiKeyRequest,
};
use tempfile::TempDir;
use tonic::Code;

use super::{create, invalid_fields, new_key, switched_off, update};
use crate::{golden, sidecar::Sidecar};

fn with_grants(role: &str, team: &str, grants: &[&str]) -> CreateApiKeyRequest {
    let grants = grants.iter().map(|grant| (*grant).to_owned()).collect();
    CreateApiKeyRequest { grants, ..new_key(role, team) }
}

/// Tries every way to lay hands on a key: the code that each gets.
async fn lay_hands_on(sidecar: &Sidecar, credential: &str, id: &str) -> [Code; 3] {
    let mut keys = sidecar.keys_as(credential).await;
    let off = update(id, &["status"], switched_off());
    let rotate = RotateApiKeyRequest { id: id.into(), ..Default::default() };
    let revoke = RevokeApiKeyRequest { id: id.into(), ..Default::default() };
    let answers = [
        keys.update_api_key(off).await.map(drop),
        keys.rotate_api_key(rotate).await.map(drop),
        keys.revoke_api_key(revoke).await.map(drop),
    ];
    answers.map(|answer| answer.err().map_or(Code::Ok, |status| status.code()))
}

#[tokio::test]
async fn a_key_sees_and_changes_its_own_team_only() {
    let sidecar = Sidecar::start();
    let (own, text) = create(&sidecar, new_key("super_admin", "web")).await;
    let (other, other_text) = create(&sidecar, new_key("read_only", "apps")).await;
    let mut keys = sidecar.keys_as(&text).await;

    let status = keys.create_api_key(new_key("read_only", "apps")).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    for team in ["", "web"] {
        let created = keys.create_api_key(new_key("read_only", team)).await.unwrap().into_inner();
        let created = created.api_key.unwrap();
        assert_eq!(created.team, "web");
        assert_eq!(created.created_by, format!("key:{}", own.id));
    }

    let get = GetApiKeyRequest { id: other.id.clone() };
    let status = keys.get_api_key(get).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    // Word for word what a key that never was gets.
    let get = GetApiKeyRequest { id: "0000000000".into() };
    let never = keys.get_api_key(get).await.unwrap_err();
    assert_eq!(status.message().replace(&other.id, "0000000000"), never.message());
    assert_eq!(lay_hands_on(&sidecar, &text, &other.id).await, [Code::NotFound; 3]);
    assert!(sidecar.authorize(&other_text, "media.read").await.allowed);

    let of = |team: &str| ListApiKeysRequest {
        filter: Some(KeyFilter { team: team.into(), ..Default::default() }),
        ..Default::default()
    };
    for (team, count) in [("", 3), ("web", 3), ("apps", 0), ("default", 0)] {
        let page = keys.list_api_keys(of(team)).await.unwrap().into_inner();
        assert_eq!((page.api_keys.len(), page.total_size), (count, count as i64), "{team}");
        assert!(page.api_keys.iter().all(|key| key.team == "web"));
    }
    let all = sidecar.keys().await.list_api_keys(of("")).await.unwrap().into_inner();
    assert_eq!(all.total_size, 4);
    sidecar.finish().await;
}

#[tokio::test]
async fn nobody_creates_a_key_that_holds_more_than_they_do() {
    let sidecar = Sidecar::start();
    let mine = ["api_keys.create", "billing.read"];
    let (_, text) = create(&sidecar, with_grants("admin", "web", &mine)).await;
    let mut keys = sidecar.keys_as(&text).await;
    let more: [(&str, &[&str]); 4] = [
        ("super_admin", &[]),
        ("admin", &["api_keys.revoke"]),
        ("admin", &["api_keys.create", "billing.update"]),
        ("admin", &["api_keys.create", "billing.read", "api_keys.read"]),
    ];
    for (role, grants) in more {
        let status = keys.create_api_key(with_grants(role, "web", grants)).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{role} {grants:?}");
        assert!(status.message().contains("nobody can give"), "{status}");
    }
    for role in &golden::ROLES[1..] {
        keys.create_api_key(new_key(role, "web")).await.unwrap();
    }
    keys.create_api_key(with_grants("admin", "web", &mine)).await.unwrap();
    // The grant gives nothing but creating.
    let status = keys.list_api_keys(ListApiKeysRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    sidecar.finish().await;
}

#[tokio::test]
async fn nobody_raises_themselves() {
    let sidecar = Sidecar::start();
    let (own, text) = create(&sidecar, with_grants("admin", "web", &["api_keys.update"])).await;
    let mut keys = sidecar.keys_as(&text).await;
    let grants = |grants: &[&str]| ApiKey {
        grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
        ..Default::default()
    };
    let role = |role: &str| ApiKey { role: role.into(), ..Default::default() };
    for (path, values) in [
        ("grants", grants(&["api_keys.create", "api_keys.update"])),
        ("grants", grants(&["billing.read"])),
    ] {
        let status = keys.update_api_key(update(&own.id, &[path], values)).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{path}");
    }
    let raise = update(&own.id, &["role", "grants"], role("super_admin"));
    let status = keys.update_api_key(raise).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);

    // It may lower itself; then it has lost the right to come back.
    let lower = update(&own.id, &["role", "grants"], role("writer"));
    let lowered = keys.update_api_key(lower).await.unwrap().into_inner().api_key.unwrap();
    assert_eq!((lowered.role.as_str(), lowered.grants.len()), ("writer", 0));
    let back = update(&own.id, &["role"], role("admin"));
    assert_eq!(keys.update_api_key(back).await.unwrap_err().code(), Code::PermissionDenied);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_key_that_expires_gives_no_longer_life_than_its_own() {
    let sidecar = Sidecar::start();
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let (sooner, own, later) = (at(4_000_000_000), at(4_000_000_001), at(4_000_000_002));
    let until = |expire_time| CreateApiKeyRequest { expire_time, ..new_key("super_admin", "web") };
    let expires = |expire_time| ApiKey { expire_time, ..Default::default() };
    let (lifetime, _) = create(&sidecar, until(None)).await;
    let (caller, text) = create(&sidecar, until(own)).await;
    let mut keys = sidecar.keys_as(&text).await;
    for longer in [later, None] {
        let refused = [
            keys.create_api_key(until(longer)).await.map(drop),
            keys.update_api_key(update(&caller.id, &["expire_time"], expires(longer)))
                .await
                .map(drop),
        ];
        for status in refused.map(|refused| refused.unwrap_err()) {
            assert_eq!(status.code(), Code::PermissionDenied, "{longer:?}");
            assert!(status.message().contains("2096-10-02T07:06:41Z"), "{status}");
        }
    }
    for no_longer in [own, sooner] {
        keys.create_api_key(until(no_longer)).await.unwrap();
    }
    // What is left as it is may outlast the caller.
    for paths in [&["name"][..], &["name", "expire_time"]] {
        let named = ApiKey { name: "renamed".into(), ..Default::default() };
        keys.update_api_key(update(&lifetime.id, paths, named)).await.unwrap();
    }
    let longer = update(&lifetime.id, &["expire_time"], expires(later));
    let status = keys.update_api_key(longer).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    // Whoever rotates a key has its new text: that must not outlast the caller either.
    let rotate = |id: &String| RotateApiKeyRequest { id: id.clone(), ..Default::default() };
    let status = keys.rotate_api_key(rotate(&lifetime.id)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let (other, _) = create(&sidecar, until(own)).await;
    keys.rotate_api_key(rotate(&other.id)).await.unwrap();
    for no_longer in [own, sooner] {
        let shorter = update(&caller.id, &["expire_time"], expires(no_longer));
        keys.update_api_key(shorter).await.unwrap();
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn nobody_lays_hands_on_a_key_that_holds_more_than_they_do() {
    let sidecar = Sidecar::start();
    let every = ["api_keys.read", "api_keys.update", "api_keys.rotate", "api_keys.revoke"];
    let (_, text) = create(&sidecar, with_grants("admin", "web", &every)).await;
    for (role, grants) in [("super_admin", &[][..]), ("admin", &["api_keys.create"][..])] {
        let (higher, higher_text) = create(&sidecar, with_grants(role, "web", grants)).await;
        let answers = lay_hands_on(&sidecar, &text, &higher.id).await;
        assert_eq!(answers, [Code::PermissionDenied; 3], "{role}");
        // It may see it, and it is as it was.
        let get = GetApiKeyRequest { id: higher.id.clone() };
        let seen = sidecar.keys_as(&text).await.get_api_key(get).await.unwrap().into_inner();
        assert_eq!(seen.api_key.unwrap(), higher);
        assert!(sidecar.authorize(&higher_text, "media.read").await.allowed);
    }
    let (lower, _) = create(&sidecar, new_key("managing_editor", "web")).await;
    assert_eq!(lay_hands_on(&sidecar, &text, &lower.id).await, [Code::Ok; 3]);
    sidecar.finish().await;
}

#[tokio::test]
async fn grants_are_for_admins_and_of_single_actions_of_billing_and_api_keys() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let (writer, _) = sidecar.create("writer").await;
    for role in golden::ROLES {
        for grant in ["billing.read", "articles.publish", "billing.*", "no.such", ""] {
            let new = with_grants(role, "", &[grant]);
            match keys.create_api_key(new).await {
                Ok(_) => assert_eq!((role, grant), ("admin", "billing.read")),
                Err(status) => assert_eq!(invalid_fields(&status), ["grants"], "{role} {grant}"),
            }
        }
    }
    let twice = with_grants("admin", "", &["billing.read", "billing.read"]);
    assert_eq!(invalid_fields(&keys.create_api_key(twice).await.unwrap_err()), ["grants"]);
    let granted = ApiKey { grants: vec!["billing.read".into()], ..Default::default() };
    let status = keys.update_api_key(update(&writer.id, &["grants"], granted)).await.unwrap_err();
    assert_eq!(invalid_fields(&status), ["grants"]);

    // A key that is given another role must not keep grants that this one does not take.
    let (admin, text) = create(&sidecar, with_grants("admin", "", &["billing.read"])).await;
    assert!(sidecar.authorize(&text, "billing.read").await.allowed);
    assert!(!sidecar.authorize(&text, "billing.update").await.allowed);
    let lower = ApiKey { role: "editor".into(), ..Default::default() };
    let status =
        keys.update_api_key(update(&admin.id, &["role"], lower.clone())).await.unwrap_err();
    assert_eq!(invalid_fields(&status), ["grants"]);
    keys.update_api_key(update(&admin.id, &["role", "grants"], lower)).await.unwrap();
    assert!(!sidecar.authorize(&text, "billing.read").await.allowed);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_key_sees_and_changes_its_own_service_only() {
    let temporary = TempDir::new().unwrap();
    let policy = temporary.path().join("policy.toml");
    let shop = "[services.shop]\ntitle = 'Shop'\n[services.shop.actions.orders]\nread = 'read'\n\
                [services.shop.roles.clerk]\ntitle = 'Clerk'\nallow = ['orders.read']\n";
    fs::write(&policy, shop).unwrap();
    let sidecar = Sidecar::start_with(&["--policy", policy.to_str().unwrap()]);
    let (_, text) = create(&sidecar, new_key("super_admin", "web")).await;
    let clerk = CreateApiKeyRequest { service: "shop".into(), ..new_key("clerk", "web") };
    let mut keys = sidecar.keys_as(&text).await;
    let status = keys.create_api_key(clerk.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    let (clerk, _) = create(&sidecar, clerk).await;
    assert_eq!(lay_hands_on(&sidecar, &text, &clerk.id).await, [Code::NotFound; 3]);
    let get = GetApiKeyRequest { id: clerk.id.clone() };
    assert_eq!(keys.get_api_key(get).await.unwrap_err().code(), Code::NotFound);
    let listed = keys.list_api_keys(ListApiKeysRequest::default()).await.unwrap().into_inner();
    assert_eq!((listed.api_keys.len(), listed.total_size), (1, 1));
    assert!(listed.api_keys.iter().all(|key| key.service == "ai-cms"));

    let unknown = CreateApiKeyRequest { service: "no-shop".into(), ..new_key("clerk", "") };
    let status = sidecar.keys().await.create_api_key(unknown).await.unwrap_err();
    assert_eq!(invalid_fields(&status), ["service"]);
    let wrong = CreateApiKeyRequest { service: "shop".into(), ..new_key("writer", "") };
    let status = sidecar.keys().await.create_api_key(wrong).await.unwrap_err();
    assert_eq!(invalid_fields(&status), ["role"]);
    assert!(status.message().contains("`clerk`"), "{status}");
    sidecar.finish().await;
}
