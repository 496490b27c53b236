//! New API Key: name, scope, role and expiration, and a text that is shown once.

use octavia_authz::pb::v1::{DecisionReason as Reason, KeyStatus};

use super::{create, get, keys, reason, start, text_shown};

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn a_key_is_made_in_the_steps_of_the_guide_and_its_text_is_shown_once() {
    let (sidecar, browser) = start().await;
    browser.sees("No API keys yet").await;
    browser.press("New API Key").await;
    browser.heading("New API Key").await;
    // The smallest role is what is offered.
    assert!(browser.is_chosen("Read-only").await);
    browser.fill("Name", "cms-backend-prod").await;
    browser.select("Service scope", "AI CMS").await;
    browser.choose("Editor").await;
    // A date is an end date, without another click.
    browser.add("End date", "12312037").await;
    assert!(browser.is_chosen("End date").await);
    browser.press("Create API key").await;
    browser.heading("cms-backend-prod was created").await;
    let text = text_shown(&browser).await;
    assert_eq!(reason(&sidecar, &text, "articles.update").await, Reason::Allowed);
    assert_eq!(reason(&sidecar, &text, "articles.publish").await, Reason::ActionDenied);
    let [made] = &keys(&sidecar).await[..] else { panic!("not one key") };
    assert_eq!(
        (&*made.name, &*made.service, &*made.role),
        ("cms-backend-prod", "ai-cms", "editor")
    );
    assert_eq!(made.status(), KeyStatus::Active);
    // Valid through that day.
    assert_eq!(made.expire_time.unwrap().seconds, 2_145_916_800);

    // Sent again, it is not made again, nor shown.
    browser.reload().await;
    browser.sees("This key exists already").await;
    assert!(!browser.source().await.contains(&text));
    browser.press("Back to API Keys").await;
    browser.heading("API Keys").await;
    // On the way back stands what was shown, and the form that was sent.
    for _ in 0..3 {
        browser.back().await;
        assert!(!browser.source().await.contains(&text), "{}", browser.path().await);
    }
    browser.open(&format!("/keys/{}", made.id)).await;
    browser.heading("cms-backend-prod").await;
    assert!(!browser.source().await.contains(&text));
    assert_eq!(keys(&sidecar).await.len(), 1);
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn what_was_shown_is_not_shown_again_on_the_way_back() {
    let (sidecar, browser) = start().await;
    browser.open("/keys/new").await;
    browser.fill("Name", "shop").await;
    browser.choose("Lifetime (no expiry)").await;
    browser.press("Create API key").await;
    let text = text_shown(&browser).await;
    browser.press("I have copied it: show the key's page").await;
    browser.sees("Never: lifetime").await;
    assert!(!browser.source().await.contains(&text));
    browser.back().await;
    assert!(!browser.source().await.contains(&text), "{}", browser.text().await);
    let [made] = &keys(&sidecar).await[..] else { panic!("not one key") };
    assert_eq!(made.expire_time, None);
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn a_form_with_errors_says_them_and_keeps_what_was_typed() {
    let (sidecar, browser) = start().await;
    browser.open("/keys/new").await;
    browser.choose("Writer").await;
    browser.choose("End date").await;
    browser.press("More: description, subject, labels").await;
    browser.fill("Description", "of the shop").await;
    browser.fill("Labels", "no label").await;
    browser.press("Create API key").await;
    browser.sees("Nothing was saved yet.").await;
    browser.sees("Give the end date.").await;
    browser.sees("Write one label a line, as name=value.").await;
    // A screen reader begins there.
    assert_eq!(browser.run("return document.activeElement.id").await, "errors");
    assert!(browser.is_chosen("Writer").await);
    assert_eq!(browser.value("Description").await, "of the shop");
    browser.fill("Labels", "env=production").await;
    browser.choose("30 days from now").await;
    browser.press("Create API key").await;
    browser.sees("Name: Must not be empty.").await;
    browser.fill("Name", "shop").await;
    browser.press("Create API key").await;
    text_shown(&browser).await;
    let [made] = &keys(&sidecar).await[..] else { panic!("not one key") };
    assert_eq!((&*made.name, &*made.description), ("shop", "of the shop"));
    assert_eq!(made.labels["env"], "production");
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn of_an_end_date_and_another_choice_the_last_one_counts() {
    let (sidecar, browser) = start().await;
    browser.open("/keys/new").await;
    browser.fill("Name", "a").await;
    browser.add("End date", "12312037").await;
    browser.choose("Lifetime (no expiry)").await;
    assert_eq!(browser.value("End date").await, "");
    browser.press("Create API key").await;
    text_shown(&browser).await;
    browser.open("/keys/new").await;
    browser.fill("Name", "b").await;
    browser.choose("Lifetime (no expiry)").await;
    browser.add("End date", "12312037").await;
    browser.press("Create API key").await;
    text_shown(&browser).await;
    let [a, b] = &keys(&sidecar).await[..] else { panic!("not two keys") };
    assert_eq!(a.expire_time, None);
    assert_eq!(b.expire_time.unwrap().seconds, 2_145_916_800);
    // The same where there is one already.
    browser.open(&format!("/keys/{}", b.id)).await;
    browser.fill("End date", "01012036").await;
    assert!(browser.is_chosen("End date").await);
    browser.choose("Leave it as it is").await;
    assert_eq!(browser.value("End date").await, "2037-12-31");
    browser.press("Save").await;
    browser.sees("Nothing was changed").await;
    browser.fill("End date", "01012036").await;
    browser.choose("Lifetime (no expiry)").await;
    browser.press("Save").await;
    browser.sees("Never: lifetime").await;
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn a_button_copies_the_text() {
    let (sidecar, browser) = start().await;
    browser.grant_clipboard().await;
    let (key, _) = create(&sidecar, "shop", "writer").await;
    browser.open(&format!("/keys/{}/rotate", key.id)).await;
    browser.press("Rotate").await;
    let text = text_shown(&browser).await;
    browser.press("Copy").await;
    browser.sees("Copied").await;
    let copied = browser.run("return navigator.clipboard.readText()").await;
    assert_eq!(copied, text);
    browser.open(&format!("/keys/{}", key.id)).await;
    browser.press("Copy id").await;
    browser.sees("Copied").await;
    assert_eq!(browser.run("return navigator.clipboard.readText()").await, key.id);
    assert_eq!(get(&sidecar, &key.id).await.secrets.len(), 2);
    sidecar.finish().await;
}
