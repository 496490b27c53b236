//! The audit log: filtered, followed while things happen, verified.

use super::{create, start};

const DONE: &str = ".events strong";

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn the_log_is_filtered_and_verified() {
    let (sidecar, browser) = start().await;
    let (key, _) = create(&sidecar, "shop", "writer").await;
    create(&sidecar, "website", "read_only").await;
    browser.open(&format!("/keys/{}", key.id)).await;
    browser.press("Disable").await;
    browser.sees("shop is inactive").await;
    browser.press("All its events").await;
    browser.heading("Audit").await;
    browser.shows(DONE, &["Disabled", "Created"]).await;
    assert_eq!(browser.value("Key id").await, key.id);
    browser.press("Show all").await;
    browser.shows(DONE, &["Disabled", "Created", "Created"]).await;
    browser.select("What", "Edited").await;
    browser.press("Filter").await;
    browser.shows(DONE, &["Disabled"]).await;
    browser.select("Outcome", "Refused").await;
    browser.press("Filter").await;
    browser.sees("There is no such event.").await;
    browser.fill("Who", "nobody").await;
    browser.press("Filter").await;
    browser.sees("Who did it is operator, or a key's id.").await;
    browser.press("Show all").await;
    browser.press("Verify").await;
    browser.sees("The log was verified.").await;
    browser.sees("Intact").await;
    browser.sees("events 1 to 3").await;
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn who_follows_the_log_sees_what_happens_without_a_reload() {
    let (sidecar, browser) = start().await;
    create(&sidecar, "shop", "writer").await;
    browser.press("Audit").await;
    browser.press("Follow live").await;
    browser.sees("Following: what happens now comes first.").await;
    browser.run("window.stays = true").await;
    for (name, count) in [("website", 2), ("newsletter", 3)] {
        create(&sidecar, name, "read_only").await;
        browser.sees(&format!("Created {name}")).await;
        assert_eq!(browser.texts(DONE).await.len(), count);
    }
    assert_eq!(browser.texts(".events bdi").await, ["newsletter", "website", "shop"]);
    assert_eq!(browser.run("return window.stays").await, true);
    browser.press("Stop following").await;
    browser.shows(DONE, &["Created", "Created", "Created"]).await;
    assert!(!browser.text().await.contains("Following"));
    sidecar.finish().await;
}
