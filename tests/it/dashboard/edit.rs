//! Each field of a key is edited on its page.

use octavia_authz::pb::v1::{ApiKey, DecisionReason as Reason, UpdateApiKeyRequest};
use prost_types::FieldMask;

use super::{create, get, reason, start};

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn each_field_is_edited_on_the_page_of_the_key() {
    let (sidecar, browser) = start().await;
    let (key, _) = create(&sidecar, "shop", "writer").await;
    let id = key.id.as_str();
    browser.press("API Keys").await;
    browser.press("shop").await;
    browser.heading("shop").await;
    browser.press("Save").await;
    browser.sees("Nothing was changed: everything is as it was.").await;
    browser.fill("Name", "shop-frontend").await;
    browser.press("Save").await;
    browser.sees("Saved: name.").await;
    browser.heading("shop-frontend").await;
    assert_eq!(get(&sidecar, id).await.name, "shop-frontend");

    assert_eq!(get(&sidecar, id).await.expire_time, None);
    browser.add("End date", "12312037").await;
    browser.press("Save").await;
    browser.sees("Saved: expiration.").await;
    browser.sees("through 31 Dec 2037, UTC").await;
    assert_eq!(get(&sidecar, id).await.expire_time.unwrap().seconds, 2_145_916_800);
    assert_eq!(browser.value("End date").await, "2037-12-31");
    browser.choose("Lifetime (no expiry)").await;
    browser.press("Save").await;
    browser.sees("Never: lifetime").await;
    assert_eq!(get(&sidecar, id).await.expire_time, None);

    browser.fill("Description", "Reads for the shop's pages.").await;
    browser.fill("Subject", "shop").await;
    browser.fill("Labels", "env=production\nregion=eu").await;
    browser.press("Save").await;
    browser.sees("Saved: description, subject, labels.").await;
    let edited = get(&sidecar, id).await;
    assert_eq!(edited.description, "Reads for the shop's pages.");
    assert_eq!(edited.subject, "shop");
    assert_eq!((edited.labels.len(), &*edited.labels["region"]), (2, "eu"));
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn a_change_of_role_is_shown_before_it_is_saved() {
    let (sidecar, browser) = start().await;
    let (key, text) = create(&sidecar, "shop", "writer").await;
    // What the API says that it would change.
    let request = UpdateApiKeyRequest {
        id: key.id.clone(),
        api_key: Some(ApiKey { role: "publisher".into(), ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["role".into()] }),
        dry_run: true,
        ..Default::default()
    };
    let would = sidecar.keys().await.update_api_key(request).await.unwrap().into_inner();
    let (mut gained, mut lost) = (Vec::new(), Vec::new());
    for change in would.right_changes {
        let is_none = |right: Option<_>| right == Some(Default::default());
        match (is_none(change.before), is_none(change.after)) {
            (true, _) => gained.push(change.action),
            (_, true) => lost.push(change.action),
            _ => {}
        }
    }
    assert!(!gained.is_empty() && !lost.is_empty());

    browser.open(&format!("/keys/{}", key.id)).await;
    browser.choose("Publisher").await;
    browser.press("Save").await;
    browser.heading("Review the changes").await;
    assert_eq!(browser.texts(".diff.gained code").await, gained);
    assert_eq!(browser.texts(".diff.lost code").await, lost);
    assert_eq!(get(&sidecar, &key.id).await.etag, key.etag, "it is not saved yet");
    browser.press("Back to editing").await;
    browser.heading("shop").await;
    assert!(browser.is_chosen("Publisher").await);
    browser.press("Save").await;
    browser.heading("Review the changes").await;
    browser.press("Cancel").await;
    browser.heading("shop").await;
    assert_eq!(get(&sidecar, &key.id).await.etag, key.etag);

    browser.choose("Publisher").await;
    browser.press("Save").await;
    browser.heading("Review the changes").await;
    browser.press("Save these changes").await;
    browser.sees("Saved: role.").await;
    assert_eq!(get(&sidecar, &key.id).await.role, "publisher");
    assert_eq!(reason(&sidecar, &text, "articles.publish").await, Reason::Allowed);
    assert_eq!(reason(&sidecar, &text, "articles.create").await, Reason::ActionDenied);
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn single_actions_are_granted_to_an_admin_and_taken_back() {
    let (sidecar, browser) = start().await;
    let (key, text) = create(&sidecar, "team", "admin").await;
    let (others, _) = create(&sidecar, "others", "writer").await;
    assert_eq!(reason(&sidecar, &text, "billing.read").await, Reason::ActionDenied);
    browser.open(&format!("/keys/{}", key.id)).await;
    browser.press("Grant additional actions").await;
    browser.choose("billing.read").await;
    browser.choose("api_keys.read").await;
    browser.press("Save").await;
    browser.heading("Review the changes").await;
    browser.sees("It gains 2 actions").await;
    browser.press("Save these changes").await;
    browser.sees("Saved: grants.").await;
    browser.sees("with 2 grants").await;
    assert_eq!(get(&sidecar, &key.id).await.grants, ["api_keys.read", "billing.read"]);
    assert_eq!(reason(&sidecar, &text, "billing.read").await, Reason::Allowed);

    // It may look at keys of its team now, and not change them.
    browser.press("Sign out").await;
    browser.sees("You are signed out.").await;
    browser.sign_in(&text).await;
    browser.press("others").await;
    browser.heading("others").await;
    for change in ["Disable", "Rotate…", "Revoke…", "Save"] {
        assert!(!browser.offers(change).await, "{change}");
    }
    for path in ["rotate", "revoke"] {
        browser.open(&format!("/keys/{}/{path}", others.id)).await;
        browser.heading("You may not do this").await;
    }
    browser.open("/keys/new").await;
    browser.heading("You may not do this").await;

    browser.press("Sign out").await;
    browser.sign_in(&sidecar.operator_token()).await;
    browser.press("team").await;
    // They are not hidden where there are some.
    browser.choose("billing.read").await;
    browser.press("Save").await;
    browser.sees("It loses 1 action").await;
    browser.press("Save these changes").await;
    browser.sees("Saved: grants.").await;
    assert_eq!(reason(&sidecar, &text, "billing.read").await, Reason::ActionDenied);
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn a_key_that_was_changed_meanwhile_is_not_overwritten() {
    let (sidecar, browser) = start().await;
    let (key, _) = create(&sidecar, "shop", "writer").await;
    browser.open(&format!("/keys/{}", key.id)).await;
    browser.fill("Description", "typed").await;
    let request = UpdateApiKeyRequest {
        id: key.id.clone(),
        api_key: Some(ApiKey { name: "market".into(), ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["name".into()] }),
        ..Default::default()
    };
    sidecar.keys().await.update_api_key(request).await.unwrap();
    browser.press("Save").await;
    browser.sees("The key was changed since you opened the page.").await;
    assert_eq!(get(&sidecar, &key.id).await.name, "market");
    // What was typed is still there.
    assert_eq!(browser.value("Description").await, "typed");
    browser.press("Save").await;
    // Nothing that others have changed is overwritten without a look.
    browser.heading("Review the changes").await;
    browser.sees("market").await;
    browser.press("Save these changes").await;
    browser.sees("Saved: ").await;
    assert_eq!(get(&sidecar, &key.id).await.description, "typed");
    sidecar.finish().await;
}
