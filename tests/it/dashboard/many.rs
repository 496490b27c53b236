//! Many keys at once: what would be done is shown first, and nothing else is done.

use octavia_authz::pb::v1::{ApiKey, KeyStatus, UpdateApiKeyRequest};
use prost_types::FieldMask;

use super::{Browser, create, get, keys, start};
use crate::sidecar::Sidecar;

async fn statuses(sidecar: &Sidecar) -> Vec<(String, KeyStatus)> {
    keys(sidecar).await.into_iter().map(|key| (key.name.clone(), key.status())).collect()
}

async fn select(browser: &Browser, names: &[&str]) {
    browser.open("/keys").await;
    for name in names {
        browser.choose(&format!("Select {name}")).await;
    }
    browser.sees(&format!("{} selected:", names.len())).await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn selected_keys_are_disabled_enabled_and_revoked_after_a_look_at_what_it_means() {
    let (sidecar, browser) = start().await;
    for name in ["a", "b", "c"] {
        create(&sidecar, name, "writer").await;
    }
    let all = |a, b, c| vec![("a".to_owned(), a), ("b".to_owned(), b), ("c".to_owned(), c)];
    use KeyStatus::{Active, Inactive};

    select(&browser, &["a", "c"]).await;
    browser.press("Disable…").await;
    browser.heading("Disable 2 keys?").await;
    assert_eq!(browser.texts("td.name bdi").await, ["a", "c"]);
    assert_eq!(statuses(&sidecar).await, all(Active, Active, Active));
    browser.press("Disable 2 keys").await;
    browser.heading("2 keys were disabled").await;
    assert_eq!(statuses(&sidecar).await, all(Inactive, Active, Inactive));

    browser.press("Back to API Keys").await;
    browser.choose("Select all on this page").await;
    browser.sees("3 selected:").await;
    browser.press("Enable…").await;
    browser.sees("b is enabled already.").await;
    browser.press("Enable 2 keys").await;
    browser.heading("2 keys were enabled").await;
    assert_eq!(statuses(&sidecar).await, all(Active, Active, Active));

    select(&browser, &["b", "c"]).await;
    browser.press("Revoke…").await;
    browser.fill("Type 2, the number of keys", "3").await;
    browser.press("Revoke 2 keys").await;
    browser.sees("This is not their number, so nothing was done.").await;
    assert_eq!(statuses(&sidecar).await, all(Active, Active, Active));
    browser.fill("Type 2, the number of keys", "2").await;
    browser.press("Revoke 2 keys").await;
    browser.heading("2 keys were revoked").await;
    assert_eq!(statuses(&sidecar).await, [("a".to_owned(), Active)]);
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn a_key_that_was_changed_since_it_was_shown_is_left_alone() {
    let (sidecar, browser) = start().await;
    browser.open("/keys").await;
    let (changed, _) = create(&sidecar, "a", "writer").await;
    let (other, _) = create(&sidecar, "b", "writer").await;
    browser.open("/keys").await;
    let idle = "return [...document.querySelectorAll('.bulk button')].every((one) => one.disabled)";
    assert_eq!(browser.run(idle).await, true, "nothing is selected");
    select(&browser, &["a", "b"]).await;
    browser.press("Disable…").await;
    browser.heading("Disable 2 keys?").await;
    let request = UpdateApiKeyRequest {
        id: changed.id.clone(),
        api_key: Some(ApiKey { description: "in use".into(), ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["description".into()] }),
        ..Default::default()
    };
    sidecar.keys().await.update_api_key(request).await.unwrap();
    browser.press("Disable 2 keys").await;
    browser.heading("1 key was disabled").await;
    browser.sees(&format!("{}: It was changed meanwhile, so it was left alone.", changed.id)).await;
    assert_eq!(get(&sidecar, &changed.id).await.status(), KeyStatus::Active);
    assert_eq!(get(&sidecar, &other.id).await.status(), KeyStatus::Inactive);
    sidecar.finish().await;
}
