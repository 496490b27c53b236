//! What a visitor does to the key that it is signed in with: it is asked first, and done last.

use octavia_authz::pb::v1::{ApiKey, KeyStatus};

use super::{browser::Browser, edit, keys, make};
use crate::sidecar::Sidecar;

async fn status(sidecar: &Sidecar, key: &ApiKey) -> KeyStatus {
    keys(sidecar).await.into_iter().find(|found| found.id == key.id).unwrap().status()
}

#[tokio::test]
async fn of_many_keys_the_own_one_is_done_last_and_its_end_is_told_before() {
    let sidecar = Sidecar::start();
    let (own, text) = make(&sidecar, "web", "super_admin", &[]).await;
    let mut others = Vec::new();
    for _ in 0..8 {
        others.push(make(&sidecar, "web", "writer", &[]).await.0);
    }
    let mut browser = Browser::signed_in(&sidecar, &text);
    // The own one comes first in the list.
    let all: Vec<_> = std::iter::once(&own).chain(&others).collect();
    let mut form = vec![("action", "disable".to_owned())];
    form.extend(all.iter().map(|key| ("key", key.id.clone())));
    let preview = browser.post("/keys/bulk", &form);
    assert_eq!(preview.status, 200, "{preview:?}");
    assert!(preview.body.contains("this signs you out"), "{preview:?}");
    let without: Vec<_> = form.iter().filter(|(_, value)| *value != own.id).cloned().collect();
    assert!(!browser.post("/keys/bulk", &without).body.contains("signs you out"));
    let mut form = vec![("action", "disable".to_owned()), ("confirmed", "yes".to_owned())];
    form.extend(all.iter().map(|key| ("key", format!("{}:{}", key.id, key.etag))));
    let done = browser.post("/keys/bulk", &form);
    assert!(done.body.contains("9 keys were disabled"), "{done:?}");
    for key in all {
        assert_eq!(status(&sidecar, key).await, KeyStatus::Inactive);
    }
    assert!(browser.get("/keys").asks_to_sign_in());
    sidecar.finish().await;
}

#[tokio::test]
async fn nobody_switches_off_the_own_key_without_being_asked() {
    let sidecar = Sidecar::start();
    let (own, text) = make(&sidecar, "web", "super_admin", &[]).await;
    let (other, _) = make(&sidecar, "web", "writer", &[]).await;
    let mut browser = Browser::signed_in(&sidecar, &text);
    let mut disable = |key: &ApiKey, more: &[(&str, &str)]| {
        let form = [&[("etag", key.etag.as_str()), ("status", "inactive")], more].concat();
        browser.post(&format!("/keys/{}/status", key.id), &form)
    };
    assert_eq!(disable(&other, &[]).status, 303);
    let asks = disable(&own, &[]);
    assert_eq!(asks.status, 200, "{asks:?}");
    assert!(asks.body.contains("disabling it signs you out"), "{asks:?}");
    assert_eq!(status(&sidecar, &own).await, KeyStatus::Active);
    assert_eq!(disable(&own, &[("confirmed", "yes")]).status, 303);
    assert_eq!(status(&sidecar, &own).await, KeyStatus::Inactive);
    assert!(browser.get("/keys").asks_to_sign_in());
    sidecar.finish().await;
}

#[tokio::test]
async fn who_is_signed_in_with_a_key_that_ends_today_makes_one_that_lasts_as_long() {
    let sidecar = Sidecar::start();
    let (key, _) = make(&sidecar, "web", "super_admin", &[]).await;
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(600);
    let mut operator = super::operator(&sidecar);
    let request = octavia_authz::pb::v1::CreateApiKeyRequest {
        name: "short".into(),
        role: "super_admin".into(),
        expire_time: Some(soon.into()),
        ..Default::default()
    };
    let made = sidecar.keys().await.create_api_key(request).await.unwrap().into_inner();
    let mut browser = Browser::signed_in(&sidecar, &made.key);
    let page = browser.page("/keys/new");
    assert!(page.contains("value=\"own\" checked"), "{page}");
    let mut form = super::new_key("as long", "writer");
    form.retain(|(name, _)| *name != "expires");
    form.push(("expires", "own".to_owned()));
    assert_eq!(browser.post("/keys/new", &form).status, 200);
    let keys = keys(&sidecar).await;
    let ends = |name: &str| keys.iter().find(|key| key.name == name).unwrap().expire_time;
    assert_eq!(ends("as long"), ends("short"));
    // Who never expires has no such choice.
    assert!(!operator.page(&format!("/keys/{}", key.id)).contains("value=\"own\""));
    assert_eq!(operator.post("/keys/new", &form).status, 422);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_change_that_ends_the_own_session_is_shown_before_it_is_saved() {
    let sidecar = Sidecar::start();
    let (own, text) = make(&sidecar, "web", "super_admin", &[]).await;
    let mut browser = Browser::signed_in(&sidecar, &text);
    let path = format!("/keys/{}", own.id);
    let form = |changed: &[(&'static str, &str)]| {
        let mut form = edit(&own);
        form.retain(|(name, _)| *name != "reviewed" && changed.iter().all(|(new, _)| new != name));
        form.push(("name", own.name.clone()));
        form.extend(changed.iter().map(|(name, value)| (*name, (*value).to_owned())));
        form
    };
    for (changed, told) in
        [(("role", "writer"), "saving this signs you out"), (("expires", "30d"), "it ends earlier")]
    {
        let shown = browser.post(&path, &form(&[changed]));
        assert_eq!(shown.status, 200, "{shown:?}");
        assert!(shown.body.contains(told), "{shown:?}");
    }
    let found = keys(&sidecar).await.pop().unwrap();
    assert_eq!(found.etag, own.etag);
    // On the way back nothing that was typed is lost.
    let back = browser.post(&path, &form(&[("role", "writer"), ("edit", "yes")]));
    assert_eq!(back.status, 200, "{back:?}");
    assert!(back.body.contains("value=\"writer\" checked"), "{back:?}");
    let saved = browser.post(&path, &form(&[("expires", "30d"), ("reviewed", "yes")]));
    assert_eq!(saved.status, 303, "{saved:?}");
    sidecar.finish().await;
}
