//! What ends a session: time, and what is done to the key that is signed in.

use std::time::{Duration, Instant, SystemTime};

use octavia_authz::pb::v1::{
    ApiKey, KeyStatus, RevokeApiKeyRequest, RotateApiKeyRequest, UpdateApiKeyRequest,
};
use prost_types::FieldMask;

use super::{
    browser::{Answer, Browser},
    operator,
};
use crate::sidecar::{PATIENCE, Sidecar};

#[tokio::test]
async fn a_session_in_which_nothing_is_done_ends_and_asking_for_news_is_nothing() {
    const IDLE: Duration = Duration::from_secs(3);
    let sidecar = Sidecar::start_with(&["--dashboard-idle-timeout", "3s"]);
    sidecar.create("writer").await;
    let (mut idle, mut busy) = (operator(&sidecar), operator(&sidecar));
    let (began, mut last) = (Instant::now(), Instant::now());
    let answer = loop {
        assert!(began.elapsed() < PATIENCE, "news keeps a session alive");
        let answer = idle.get("/audit/news?after=0");
        let (now, before) = (Instant::now(), last);
        let page = busy.get("/roles");
        // If this machine has let it wait for that long, nothing can be said.
        if before.elapsed() < IDLE {
            assert_eq!(page.status, 200, "{page:?}");
            last = now;
        }
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(idle.get("/roles").asks_to_sign_in());
    sidecar.finish().await;
}

#[tokio::test]
async fn a_session_ends_after_its_longest_time_whatever_is_done() {
    let sidecar = Sidecar::start_with(&["--dashboard-session-timeout", "2s"]);
    let mut browser = operator(&sidecar);
    let began = Instant::now();
    loop {
        let answer = browser.get("/roles");
        if answer.status != 200 {
            assert_eq!(answer.location(), "/sign-in?next=%2Froles&why=ended");
            break;
        }
        assert!(began.elapsed() < PATIENCE, "it goes on");
    }
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
    sidecar.finish().await;
}

async fn update(sidecar: &Sidecar, key: &ApiKey, path: &str, values: ApiKey) {
    let request = UpdateApiKeyRequest {
        id: key.id.clone(),
        api_key: Some(values),
        update_mask: Some(FieldMask { paths: vec![path.to_owned()] }),
        ..Default::default()
    };
    sidecar.keys().await.update_api_key(request).await.unwrap();
}

fn of_role(role: &str) -> ApiKey {
    ApiKey { role: role.into(), ..Default::default() }
}

fn of_status(status: KeyStatus) -> ApiKey {
    ApiKey { status: status.into(), ..Default::default() }
}

/// Somebody signed in with a new key.
async fn signed_in(sidecar: &Sidecar) -> (ApiKey, Browser) {
    let (key, text) = sidecar.create("super_admin").await;
    let mut browser = Browser::signed_in(sidecar, &text);
    browser.page("/keys");
    (key, browser)
}

fn is_refused(answer: &Answer) -> bool {
    answer.asks_to_sign_in() && answer.location().ends_with("why=refused")
}

#[tokio::test]
async fn a_key_that_is_not_accepted_any_more_is_signed_out_with_the_next_request() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let (key, mut browser) = signed_in(&sidecar).await;
    let mut form = browser.clone();
    let revoke = RevokeApiKeyRequest { id: key.id, ..Default::default() };
    keys.revoke_api_key(revoke).await.unwrap();
    assert!(is_refused(&browser.get("/roles")));
    let answer = form.post("/keys/new", &super::new_key("too late", "writer"));
    assert!(answer.asks_to_sign_in(), "{answer:?}");
    assert!(super::keys(&sidecar).await.is_empty());

    let (key, mut browser) = signed_in(&sidecar).await;
    let mut twin = browser.clone();
    update(&sidecar, &key, "status", of_status(KeyStatus::Inactive)).await;
    let answer = browser.get("/audit/news?after=0");
    assert_eq!(answer.status, 401, "{answer:?}");
    // It does not come back to life with its key.
    update(&sidecar, &key, "status", of_status(KeyStatus::Active)).await;
    assert!(twin.get("/roles").asks_to_sign_in());

    let (key, mut browser) = signed_in(&sidecar).await;
    let rotate = |seconds| RotateApiKeyRequest {
        id: key.id.clone(),
        overlap: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..Default::default()
    };
    keys.rotate_api_key(rotate(3600)).await.unwrap();
    browser.page("/roles");
    keys.rotate_api_key(rotate(0)).await.unwrap();
    assert!(is_refused(&browser.get("/roles")));

    let (key, mut browser) = signed_in(&sidecar).await;
    let at = SystemTime::now() + Duration::from_secs(2);
    let expires = ApiKey { expire_time: Some(at.into()), ..Default::default() };
    update(&sidecar, &key, "expire_time", expires).await;
    loop {
        let answer = browser.get("/roles");
        let late = SystemTime::now().duration_since(at).unwrap_or_default();
        if answer.status != 200 {
            assert!(is_refused(&answer), "{answer:?}");
            break;
        }
        assert!(late < Duration::from_secs(1), "it has expired {late:?} ago");
    }
    assert!(SystemTime::now() >= at);
    sidecar.finish().await;
}

#[tokio::test]
async fn another_role_counts_with_the_next_request() {
    let sidecar = Sidecar::start();
    let (other, _) = sidecar.create("writer").await;
    let (key, mut browser) = signed_in(&sidecar).await;
    assert_eq!(browser.get(&format!("/keys/{}/revoke", other.id)).status, 200);
    let before = super::state(&sidecar).await.1.len();
    update(&sidecar, &key, "role", of_role("writer")).await;
    let answer = browser.get("/keys");
    assert_eq!((answer.status, answer.location()), (303, "/sign-in?why=may_not"), "{answer:?}");
    for path in ["/keys/new", "/audit", "/roles"] {
        assert!(browser.get(path).asks_to_sign_in(), "{path}");
    }
    for (path, form) in super::forms(&other) {
        let answer = browser.post(&path, &form);
        assert!(answer.asks_to_sign_in(), "{path}: {answer:?}");
    }
    assert_eq!(super::state(&sidecar).await.1.len(), before);
    // The session has ended for good.
    update(&sidecar, &key, "role", of_role("super_admin")).await;
    assert!(browser.get("/keys").asks_to_sign_in());
    sidecar.finish().await;
}
