//! "Managing keys".

use std::time::{Duration, Instant};

use octavia_authz::pb::v1::{
    ApiKey, AuthorizeRequest, DecisionReason as Reason, GetApiKeyRequest, KeyFilter, KeyStatus,
    ListApiKeysRequest, RevokeApiKeyRequest, RotateApiKeyRequest, UpdateApiKeyRequest,
    authorization_service_client::AuthorizationServiceClient,
};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::Code;

use super::{Guide, new_key, update};
use crate::{
    golden,
    sidecar::{PATIENCE, Sidecar, connect},
};

/// "Rotate & edit: Rename keys, change roles, update expiration (date ↔ lifetime), and flip
/// Active/Inactive status anytime."
#[tokio::test]
async fn rotate_and_edit_rename_keys_change_roles_update_expiration_and_flip_status_anytime() {
    let mut guide = Guide::start().await;
    let (key, mut text) = guide.key_of("super_admin").await;
    // Anytime: again and again, in any state that the edits before have left.
    for (round, role) in golden::ROLES.iter().enumerate() {
        let rotate = RotateApiKeyRequest { id: key.id.clone(), ..Default::default() };
        let rotated = guide.keys.rotate_api_key(rotate).await.unwrap().into_inner();
        assert_eq!(rotated.api_key.unwrap().id, key.id);
        assert_eq!(guide.reason(&text, "media.read").await, Reason::KeyUnknown);
        text = rotated.key;

        let name = format!("name {round}");
        let named = ApiKey { name: name.clone(), ..Default::default() };
        guide.change(update(&key.id, &["name"], named)).await.unwrap();
        let of_role = ApiKey { role: (*role).into(), ..Default::default() };
        guide.change(update(&key.id, &["role"], of_role)).await.unwrap();
        let bound = round % 2 == 0;
        let expiration = if bound { "2099-01-31" } else { "lifetime" }.to_owned();
        let request = update(&key.id, &["expire_time"], ApiKey::default());
        guide.change(UpdateApiKeyRequest { expiration, ..request }).await.unwrap();
        let shown = guide.shown(&key.id).await;
        assert_eq!((&shown.name, shown.role.as_str()), (&name, *role));
        assert_eq!(shown.expire_time.is_some(), bound);

        // Every other round leaves it switched off for the next one's edits.
        let status = if bound { KeyStatus::Inactive } else { KeyStatus::Active };
        let before = if bound { Reason::Allowed } else { Reason::KeyInactive };
        let after = if bound { Reason::KeyInactive } else { Reason::Allowed };
        assert_eq!(guide.reason(&text, "media.read").await, before, "{role}");
        let flipped = ApiKey { status: status.into(), ..Default::default() };
        guide.change(update(&key.id, &["status"], flipped)).await.unwrap();
        assert_eq!(guide.shown(&key.id).await.status(), status);
        assert_eq!(guide.reason(&text, "media.read").await, after, "{role}");
    }
    guide.sidecar.finish().await;
}

/// "Revoke: Permanently delete a key to invalidate it immediately across all clients."
#[tokio::test]
async fn revoke_permanently_delete_a_key_to_invalidate_it_immediately_across_all_clients() {
    let temporary = TempDir::new().unwrap();
    let (dir, socket) = (temporary.path().join("data"), temporary.path().join("a.sock"));
    let socket = format!("unix:{}", socket.display());
    let args = ["--listen", &socket, "--workers", "4"];
    let mut guide = Guide::on(Sidecar::start_on(&dir, &args)).await;

    // Each a connection of its own.
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(guide.sidecar.authorization().await);
    }
    for _ in 0..4 {
        clients.push(AuthorizationServiceClient::new(connect(&socket).await));
    }
    for round in 0..10 {
        let (key, text) = guide.key_of("super_admin").await;
        let request = AuthorizeRequest {
            key: text.clone(),
            action: "articles.create".into(),
            ..Default::default()
        };
        // One that asks on a stream which is open all the while.
        let (ask, questions) = mpsc::channel(1);
        let mut streaming = clients[round].clone();
        let stream = streaming.stream_authorize(ReceiverStream::new(questions));
        ask.send(request.clone()).await.unwrap();
        let mut stream = stream.await.unwrap().into_inner();
        assert!(stream.next().await.unwrap().unwrap().allowed);
        let mut admin = guide.sidecar.keys_as(&text).await;
        admin.list_api_keys(ListApiKeysRequest::default()).await.unwrap();
        for client in &mut clients {
            assert!(client.authorize(request.clone()).await.unwrap().into_inner().allowed);
        }

        let revoke = RevokeApiKeyRequest { id: key.id.clone(), ..Default::default() };
        guide.keys.revoke_api_key(revoke.clone()).await.unwrap();

        // Immediately, across all clients, in any order.
        ask.send(request.clone()).await.unwrap();
        let answer = stream.next().await.unwrap().unwrap();
        assert_eq!((answer.allowed, answer.reason()), (false, Reason::KeyUnknown));
        clients.rotate_left(5);
        for client in &mut clients {
            let answer = client.authorize(request.clone()).await.unwrap().into_inner();
            assert_eq!((answer.allowed, answer.reason()), (false, Reason::KeyUnknown));
            assert!(answer.key_id.is_empty(), "{answer:?}");
        }
        let status = admin.list_api_keys(ListApiKeysRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);

        // Permanently: there is nothing left that could be brought back.
        let on = ApiKey { status: KeyStatus::Active.into(), ..Default::default() };
        let rotate = RotateApiKeyRequest { id: key.id.clone(), ..Default::default() };
        for answer in [
            guide.keys.get_api_key(GetApiKeyRequest { id: key.id.clone() }).await.map(drop),
            guide.change(update(&key.id, &["status"], on)).await.map(drop),
            guide.keys.rotate_api_key(rotate).await.map(drop),
            guide.keys.revoke_api_key(revoke).await.map(drop),
        ] {
            assert_eq!(answer.unwrap_err().code(), Code::NotFound);
        }
        assert!(guide.list(ListApiKeysRequest::default()).await.is_empty());
        if round == 9 {
            drop((clients, ask, stream));
            guide.sidecar.finish().await;
            let again = Sidecar::start_on(&dir, &args);
            assert_eq!(
                again.authorize(&text, "articles.create").await.reason(),
                Reason::KeyUnknown
            );
            again.finish().await;
            break;
        }
    }
}

/// "Audit: Use the dashboard to review last-used timestamps and quickly identify unused keys."
#[tokio::test]
async fn audit_use_the_dashboard_to_review_last_used_timestamps_and_quickly_identify_unused_keys() {
    let mut guide = Guide::start().await;
    let (used, text) = guide.create(new_key("writer")).await;
    let (unused, _) = guide.create(new_key("editor")).await;
    for key in [&used, &unused] {
        assert_eq!(guide.shown(&key.id).await.last_used_time, None, "never used");
    }
    let time = |key: &ApiKey| {
        let time = key.last_used_time?;
        Some((time.seconds, time.nanos))
    };

    // Use shows, and later use as a later time.
    let mut last = None;
    for _ in 0..2 {
        let started = Instant::now();
        loop {
            assert_eq!(guide.reason(&text, "articles.create").await, Reason::Allowed);
            let shown = time(&guide.shown(&used.id).await);
            if shown > last {
                last = shown;
                break;
            }
            assert!(started.elapsed() < PATIENCE, "used, and not shown");
        }
    }
    let created = used.create_time.map(|time| (time.seconds, time.nanos));
    assert!(last >= created, "{last:?} {created:?}");
    assert_eq!(guide.shown(&unused.id).await.last_used_time, None);

    // The longest unused first: what to look at.
    let by_use = |order: &str| ListApiKeysRequest { order_by: order.into(), ..Default::default() };
    let ids = |keys: Vec<ApiKey>| keys.into_iter().map(|key| key.id).collect::<Vec<_>>();
    let longest_unused = [unused.id.clone(), used.id.clone()];
    assert_eq!(ids(guide.list(by_use("last_used_time")).await), longest_unused);
    let latest: Vec<_> = longest_unused.iter().rev().cloned().collect();
    assert_eq!(ids(guide.list(by_use("last_used_time desc")).await), latest);

    // The filter finds the one that is not used, and not the one that is; nor one that is too new
    // to be called unused.
    let unused_for = |seconds| {
        let unused_for = Some(Duration::from_secs(seconds).try_into().unwrap());
        let filter = Some(KeyFilter { unused_for, ..Default::default() });
        ListApiKeysRequest { filter, ..Default::default() }
    };
    assert!(guide.list(unused_for(3600)).await.is_empty());
    let started = Instant::now();
    loop {
        assert_eq!(guide.reason(&text, "articles.create").await, Reason::Allowed);
        let found = ids(guide.list(unused_for(10)).await);
        if found == [unused.id.clone()] {
            break;
        }
        assert!(found.is_empty(), "{found:?}");
        assert!(started.elapsed() < PATIENCE, "unused, and not found");
    }
    // Once it is used, it is not found any more.
    let rotate = RotateApiKeyRequest { id: unused.id.clone(), ..Default::default() };
    let text = guide.keys.rotate_api_key(rotate).await.unwrap().into_inner().key;
    let started = Instant::now();
    loop {
        guide.reason(&text, "articles.publish").await;
        if !ids(guide.list(unused_for(10)).await).contains(&unused.id) {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "used, and still found");
    }
    guide.sidecar.finish().await;
}
