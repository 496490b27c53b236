//! The way of a key: created, used, changed, rotated, revoked.

use octavia_authz::pb::v1::{
    ApiKey, DecisionReason, KeyStatus, Resource, RevokeApiKeyRequest, RotateApiKeyRequest,
    UpdateApiKeyRequest,
};

use crate::sidecar::Sidecar;

#[tokio::test]
async fn a_key_may_do_what_its_role_allows_until_it_is_revoked() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("writer").await;

    let allowed = sidecar.authorize(&text, "articles.create").await;
    assert!(allowed.allowed);
    assert_eq!(allowed.reason(), DecisionReason::Allowed);
    assert_eq!(
        (allowed.key_id, allowed.team, allowed.role),
        (key.id.clone(), "default".into(), "writer".into())
    );
    assert_eq!(allowed.revision, 1);

    let denied = sidecar.authorize(&text, "articles.publish").await;
    assert!(!denied.allowed);
    assert_eq!(denied.reason(), DecisionReason::ActionDenied);

    let request = RevokeApiKeyRequest { id: key.id, ..Default::default() };
    sidecar.keys().await.revoke_api_key(request).await.unwrap();
    let gone = sidecar.authorize(&text, "articles.create").await;
    assert_eq!(gone.reason(), DecisionReason::KeyUnknown);
    assert_eq!((gone.allowed, gone.key_id, gone.role), (false, String::new(), String::new()));
}

#[tokio::test]
async fn a_rotated_key_keeps_its_id_and_refuses_its_old_secret() {
    let sidecar = Sidecar::start();
    let (key, old) = sidecar.create("editor").await;
    assert!(sidecar.authorize(&old, "media.upload").await.allowed);

    let request = RotateApiKeyRequest { id: key.id.clone(), ..Default::default() };
    let rotated = sidecar.keys().await.rotate_api_key(request).await.unwrap().into_inner();
    assert_eq!(rotated.api_key.unwrap().id, key.id);
    assert_eq!(sidecar.authorize(&old, "media.upload").await.reason(), DecisionReason::KeyUnknown);
    assert!(sidecar.authorize(&rotated.key, "media.upload").await.allowed);
}

#[tokio::test]
async fn a_change_of_role_or_status_is_felt_by_the_next_call() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("publisher").await;
    assert!(sidecar.authorize(&text, "articles.publish").await.allowed);

    let update = |paths: &[&str], api_key| UpdateApiKeyRequest {
        id: key.id.clone(),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        api_key: Some(api_key),
        ..Default::default()
    };
    let mut keys = sidecar.keys().await;
    let writer = ApiKey { role: "writer".into(), ..Default::default() };
    keys.update_api_key(update(&["role"], writer)).await.unwrap();
    let denied = sidecar.authorize(&text, "articles.publish").await;
    assert_eq!((denied.reason(), denied.role.as_str()), (DecisionReason::ActionDenied, "writer"));

    let inactive = ApiKey { status: KeyStatus::Inactive.into(), ..Default::default() };
    keys.update_api_key(update(&["status"], inactive)).await.unwrap();
    assert_eq!(
        sidecar.authorize(&text, "articles.create").await.reason(),
        DecisionReason::KeyInactive
    );

    let active = ApiKey { status: KeyStatus::Active.into(), ..Default::default() };
    keys.update_api_key(update(&["status"], active)).await.unwrap();
    assert!(sidecar.authorize(&text, "articles.create").await.allowed);
}

#[tokio::test]
async fn an_unmet_condition_says_what_it_needs() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("writer").await;
    let unmet = sidecar.authorize(&text, "articles.update").await;
    assert_eq!(unmet.reason(), DecisionReason::ConditionUnmet);
    let needed: Vec<_> = unmet
        .conditions
        .iter()
        .map(|c| (c.attribute.as_str(), c.value.as_str(), c.alternative))
        .collect();
    assert_eq!(
        needed,
        [("resource.owner", key.subject.as_str(), 1), ("resource.state", "draft", 1)]
    );

    let draft =
        Resource { owner: key.subject.clone(), state: "draft".into(), ..Default::default() };
    assert!(sidecar.authorize_on(&text, "articles.update", draft).await.allowed);
    let foreign =
        Resource { owner: "somebody".into(), state: "draft".into(), ..Default::default() };
    assert_eq!(
        sidecar.authorize_on(&text, "articles.update", foreign).await.reason(),
        DecisionReason::ConditionUnmet
    );
}

#[tokio::test]
async fn an_orderly_stop_exits_0_and_loses_nothing() {
    let dir = tempfile::TempDir::new().unwrap();
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    let (_, text) = sidecar.create("writer").await;
    assert_eq!(sidecar.stop().await.code(), Some(0));
    let again = Sidecar::start_on(dir.path(), &[]);
    assert!(again.authorize(&text, "articles.create").await.allowed);
}
