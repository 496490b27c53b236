//! What the users' guide says one does in the dashboard, done there.

use octavia_authz::pb::v1::DecisionReason as Reason;

use super::{Browser, start};
use crate::sidecar::Sidecar;

/// The text that the page shows once.
async fn text_shown(browser: &Browser) -> String {
    browser.sees("Copy the key now").await;
    browser.value("API key").await
}

async fn reason(sidecar: &Sidecar, text: &str, action: &str) -> Reason {
    sidecar.authorize(text, action).await.reason()
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn a_key_is_made_in_the_steps_of_the_guide_and_its_text_is_shown_once() {
    let (sidecar, browser) = start().await;
    browser.sees("No API keys yet").await;
    browser.press("New API Key").await;
    browser.heading("New API Key").await;
    browser.fill("Name", "cms-backend-prod").await;
    browser.select("Service scope", "AI CMS").await;
    browser.choose("Editor").await;
    browser.choose("1 year from now").await;
    browser.press("Create API key").await;
    let text = text_shown(&browser).await;
    assert_eq!(reason(&sidecar, &text, "articles.update").await, Reason::Allowed);
    assert_eq!(reason(&sidecar, &text, "articles.publish").await, Reason::ActionDenied);
    // Sent again, it is not made again.
    browser.reload().await;
    browser.sees("This key exists already").await;
    assert!(!browser.source().await.contains(&text));
    sidecar.finish().await;
}
