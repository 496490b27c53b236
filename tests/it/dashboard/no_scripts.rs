//! Everything works without a script.

use octavia_authz::pb::v1::{DecisionReason as Reason, KeyStatus};

use super::{Browser, create, get, keys, reason, text_shown};
use crate::sidecar::Sidecar;

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn keys_are_made_found_edited_and_revoked_without_a_script() {
    let sidecar = Sidecar::start();
    let browser = Browser::start(&sidecar.dashboard).await;
    browser.without_scripts().await;
    browser.sign_in(&sidecar.operator_token()).await;
    // No script has run, and nothing is offered that needs one.
    assert_eq!(browser.run("return document.documentElement.className").await, "");

    browser.press("New API Key").await;
    browser.heading("New API Key").await;
    browser.fill("Name", "shop").await;
    browser.choose("Writer").await;
    browser.choose("End date").await;
    browser.add("End date", "12312037").await;
    browser.press("Create API key").await;
    let text = text_shown(&browser).await;
    assert!(!browser.text().await.contains("Copy\n"));
    assert_eq!(reason(&sidecar, &text, "articles.create").await, Reason::Allowed);
    browser.press("I have copied it: show the key's page").await;

    browser.heading("shop").await;
    browser.choose("Publisher").await;
    browser.press("Save").await;
    browser.heading("Review the changes").await;
    browser.press("Save these changes").await;
    browser.sees("Saved: role.").await;
    assert_eq!(reason(&sidecar, &text, "articles.publish").await, Reason::Allowed);
    browser.press("Disable").await;
    browser.sees("shop is inactive").await;
    browser.press("Enable").await;
    browser.sees("shop is active again.").await;

    let (other, _) = create(&sidecar, "website", "read_only").await;
    browser.press("API Keys").await;
    browser.select("Role", "Read-only").await;
    browser.press("Filter").await;
    browser.sees("1 key match").await;
    browser.shows("td.name bdi", &["website"]).await;
    browser.press("Disable…").await;
    browser.heading("No key is selected").await;
    browser.press("Back to API Keys").await;
    browser.shows("td.name bdi", &["website"]).await;
    browser.press("Show all").await;
    browser.sees("2 keys").await;
    browser.choose("Select shop").await;
    browser.choose("Select website").await;
    browser.press("Disable…").await;
    browser.press("Disable 2 keys").await;
    browser.heading("2 keys were disabled").await;
    assert_eq!(get(&sidecar, &other.id).await.status(), KeyStatus::Inactive);

    browser.press("Back to API Keys").await;
    browser.press("website").await;
    browser.press("Revoke…").await;
    browser.fill("Type the key's name", "website").await;
    browser.press("Revoke for good").await;
    browser.sees("website was revoked.").await;
    assert_eq!(keys(&sidecar).await.len(), 1);

    browser.press("Audit").await;
    browser.press("Follow live").await;
    browser.sees("Following").await;
    browser.press("Stop following").await;
    browser.press("Verify").await;
    browser.sees("The log was verified.").await;
    browser.press("Sign out").await;
    browser.sees("You are signed out.").await;
    sidecar.finish().await;
}
