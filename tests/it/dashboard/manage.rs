//! A key is switched off and on, rotated and revoked, and its page tells all of it.

use octavia_authz::pb::v1::{DecisionReason as Reason, KeyStatus};

use super::{create, get, keys, reason, start, text_shown};

const ACTION: &str = "articles.create";

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn a_key_is_disabled_and_enabled_and_its_page_tells_when_it_was_last_used() {
    let (sidecar, browser) = start().await;
    let (key, text) = create(&sidecar, "shop", "writer").await;
    browser.reload().await;
    assert!(browser.row("shop").await.contains("never"));
    browser.press("shop").await;
    browser.sees("not used yet").await;
    browser.press("Disable").await;
    browser.sees("shop is inactive: whoever uses it is refused.").await;
    assert_eq!(reason(&sidecar, &text, ACTION).await, Reason::KeyInactive);
    assert_eq!(get(&sidecar, &key.id).await.status(), KeyStatus::Inactive);
    browser.press("Enable").await;
    browser.sees("shop is active again.").await;
    assert_eq!(reason(&sidecar, &text, ACTION).await, Reason::Allowed);
    browser.reload().await;
    browser.sees("last used just now").await;
    browser.sees("In all 1 allowed, 1 denied").await;
    browser.press("API Keys").await;
    browser.heading("API Keys").await;
    let row = browser.row("shop").await;
    assert!(row.contains("Active") && row.contains("just now"), "{row}");
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn a_key_is_rotated_with_a_time_for_both_secrets_and_without() {
    let (sidecar, browser) = start().await;
    let (key, first) = create(&sidecar, "shop", "writer").await;
    browser.open(&format!("/keys/{}", key.id)).await;
    browser.press("Rotate…").await;
    browser.heading("Rotate shop").await;
    browser.choose("7 days").await;
    browser.press("Rotate").await;
    browser.heading("shop was rotated").await;
    browser.sees("The previous secret is accepted until").await;
    let second = text_shown(&browser).await;
    for text in [&first, &second] {
        assert_eq!(reason(&sidecar, text, ACTION).await, Reason::Allowed);
    }
    browser.press("I have copied it: show the key's page").await;
    browser.sees("accepted until").await;
    assert_eq!(browser.texts(".plain li").await.len(), 2);

    browser.press("Rotate…").await;
    browser.sees("its older secret is still accepted: that one stops now").await;
    browser.choose("Not at all").await;
    browser.press("Rotate").await;
    browser.sees("The previous secret is no longer accepted.").await;
    let third = text_shown(&browser).await;
    for text in [&first, &second] {
        assert_eq!(reason(&sidecar, text, ACTION).await, Reason::KeyUnknown);
    }
    assert_eq!(reason(&sidecar, &third, ACTION).await, Reason::Allowed);
    // Nobody rotates twice by accident.
    browser.reload().await;
    browser.heading("The key was changed meanwhile").await;
    assert!(browser.offers("Back to the key").await);
    assert!(!browser.source().await.contains(&third));
    assert_eq!(reason(&sidecar, &third, ACTION).await, Reason::Allowed);
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn a_key_is_revoked_once_its_name_is_typed_and_all_that_was_done_stays_told() {
    let (sidecar, browser) = start().await;
    let (key, text) = create(&sidecar, "shop", "writer").await;
    browser.open(&format!("/keys/{}", key.id)).await;
    browser.press("Disable").await;
    browser.press("Enable").await;
    browser.sees("active again").await;
    browser.fill("Description", "The shop").await;
    browser.press("Save").await;
    browser.sees("Saved: description.").await;
    browser.press("Rotate…").await;
    browser.choose("1 hour").await;
    browser.press("Rotate").await;
    text_shown(&browser).await;
    browser.press("I have copied it: show the key's page").await;
    browser.heading("shop").await;
    let done = ["Rotated", "Edited", "Enabled", "Disabled", "Created"];
    assert_eq!(browser.texts(".events strong").await, done);

    browser.press("Revoke…").await;
    browser.heading("Revoke shop").await;
    browser.fill("Type the key's name", "shops").await;
    browser.press("Revoke for good").await;
    browser.sees("This is neither its name nor its id, so nothing was done.").await;
    assert_eq!(reason(&sidecar, &text, ACTION).await, Reason::Allowed);
    browser.fill("Type the key's name", "shop").await;
    browser.press("Revoke for good").await;
    browser.sees("shop was revoked. Whoever uses it is refused.").await;
    assert_eq!(reason(&sidecar, &text, ACTION).await, Reason::KeyUnknown);
    assert_eq!(keys(&sidecar).await, []);
    browser.open(&format!("/keys/{}", key.id)).await;
    browser.heading("Key not found").await;
    browser.press("Its audit trail").await;
    browser.heading("Audit").await;
    let all: Vec<_> = std::iter::once("Revoked").chain(done).collect();
    assert_eq!(browser.texts(".events strong").await, all);
    let row = browser.texts("tbody tr").await.into_iter().find(|row| row.contains("Edited"));
    let row = row.unwrap();
    assert!(row.contains("Description: none → The shop"), "{row}");
    assert!(row.contains("Operator"), "{row}");
    sidecar.finish().await;
}
