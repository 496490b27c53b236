//! What is shown for the last time shows how it was used.

use octavia_authz::pb::v1::RevokeApiKeyRequest;

use super::{ALLOWED, DENIED, Use, counted, millis, rotate, shown};
use crate::sidecar::Sidecar;

#[tokio::test]
async fn a_revoked_key_is_shown_as_it_was_and_not_as_never_used() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("writer").await;
    sidecar.authorize(&text, ALLOWED).await;
    sidecar.authorize(&text, DENIED).await;
    let before = counted(&sidecar, &key.id, (1, 1)).await;
    let request = RevokeApiKeyRequest { id: key.id.clone(), ..Default::default() };
    let revoked = sidecar.keys().await.revoke_api_key(request).await.unwrap().into_inner();
    let revoked = revoked.api_key.unwrap();
    // Either as it was, or without a word of its use.
    assert!(
        revoked.usage_since_time.is_none() || Use::of(&revoked) == before,
        "{before:?} {revoked:?}"
    );
    sidecar.finish().await;
}

#[tokio::test]
async fn a_secret_that_is_dropped_is_shown_with_its_last_use() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("writer").await;
    sidecar.authorize(&text, ALLOWED).await;
    let before = shown(&sidecar, &key.id).await;
    let rotated = rotate(&sidecar, &key.id, 0).await;
    let [dropped] = rotated.dropped_secrets.as_slice() else { panic!("{rotated:?}") };
    assert_eq!(dropped.last_used_time.map(millis), before.secret(1), "{dropped:?}");
    sidecar.finish().await;
}
