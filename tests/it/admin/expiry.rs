//! An expiration is honoured to the instant, by every API.

use std::time::{Duration, Instant, SystemTime};

use octavia_authz::pb::v1::{
    ApiKey, CreateApiKeyRequest, DecisionReason as Reason, IntrospectRequest, ListApiKeysRequest,
};
use tonic::Code;

use super::{create, new_key, update};
use crate::sidecar::{PATIENCE, Sidecar};

#[tokio::test]
async fn a_key_is_accepted_until_the_instant_of_its_expiration() {
    let sidecar = Sidecar::start();
    let expires = SystemTime::now() + Duration::from_millis(1500);
    let new =
        CreateApiKeyRequest { expire_time: Some(expires.into()), ..new_key("super_admin", "web") };
    let (key, text) = create(&sidecar, new).await;
    // Kept to the millisecond below.
    let kept = SystemTime::try_from(key.expire_time.unwrap()).unwrap();
    assert!(kept <= expires && expires.duration_since(kept).unwrap() < Duration::from_millis(1));
    let mut keys = sidecar.keys_as(&text).await;
    keys.list_api_keys(ListApiKeysRequest::default()).await.unwrap();

    let started = Instant::now();
    let mut allowed = 0_u32;
    let denied = loop {
        let asked = SystemTime::now();
        let answer = sidecar.authorize(&text, "media.read").await;
        if !answer.allowed {
            break answer;
        }
        assert!(asked < kept, "allowed {:?} late", asked.duration_since(kept));
        allowed += 1;
        assert!(started.elapsed() < PATIENCE, "still allowed");
    };
    assert!(SystemTime::now() >= kept, "denied too early");
    assert!(allowed > 0);
    assert_eq!(denied.reason(), Reason::KeyExpired);
    // It has proven itself: it may be told who it was.
    assert_eq!((denied.key_id, denied.team), (key.id.clone(), "web".into()));

    let request = IntrospectRequest { key: text.clone(), service: String::new() };
    let said = sidecar.authorization().await.introspect(request).await.unwrap().into_inner();
    assert_eq!(said.reason(), Reason::KeyExpired);
    assert!(said.allowed_actions.is_empty());
    let status = keys.list_api_keys(ListApiKeysRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);

    // It can be changed without being extended, and extended.
    let mut operator = sidecar.keys().await;
    let renamed = ApiKey { name: "renamed".into(), ..Default::default() };
    operator.update_api_key(update(&key.id, &["name"], renamed)).await.unwrap();
    assert_eq!(sidecar.authorize(&text, "media.read").await.reason(), Reason::KeyExpired);
    let lifetime = update(&key.id, &["expire_time"], ApiKey::default());
    operator.update_api_key(lifetime).await.unwrap();
    assert!(sidecar.authorize(&text, "media.read").await.allowed);
    sidecar.finish().await;
}
