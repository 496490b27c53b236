//! What roles may do, and what a key would be answered.

use super::{create, start};
use crate::golden::{self, Right};

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn the_table_of_roles_is_the_policy() {
    let (sidecar, browser) = start().await;
    browser.press("Roles").await;
    browser.heading("Roles").await;
    let actions: Vec<_> = golden::actions().iter().map(|action| action.name).collect();
    assert_eq!(browser.texts(".matrix th[scope=row] code").await, actions);
    assert_eq!(browser.texts(".role-list dt code").await, golden::ROLES);
    let cells = browser.texts(".matrix td").await;
    assert_eq!(cells.len(), actions.len() * golden::ROLES.len());
    for (cells, action) in cells.chunks(golden::ROLES.len()).zip(actions) {
        for (cell, role) in cells.iter().zip(golden::ROLES) {
            let is = match golden::right(role, action) {
                Right::Always => cell == "allowed",
                Right::When(_) => cell.starts_with("only "),
                Right::Never => ["not allowed", "if granted"].contains(&cell.as_str()),
            };
            assert!(is, "{role} {action}: {cell}");
        }
    }
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn a_simulation_says_what_would_be_decided_and_what_would_be_needed() {
    let (sidecar, browser) = start().await;
    let (key, text) = create(&sidecar, "shop", "writer").await;
    browser.press("Simulate").await;
    browser.heading("Simulate").await;
    browser.fill("Key id", &key.id).await;
    for (action, answer, why) in [
        ("articles.create", "Allowed", "The key may do articles.create."),
        ("articles.publish", "Denied", "Neither the key's role nor a grant gives it the right."),
        ("articles.fly", "Denied", "The service has no action articles.fly"),
        ("articles.update", "Denied", "The key may do this to its own drafts alone"),
    ] {
        browser.fill("Action", action).await;
        browser.press("Simulate").await;
        browser.sees(why).await;
        browser.shows("#answer", &[answer]).await;
    }
    let needed = format!("resource.owner = {} and resource.state = draft", key.id);
    browser.shows("main li", &[needed]).await;
    browser.fill("Owner", &key.id).await;
    browser.fill("State", "draft").await;
    browser.press("Simulate").await;
    browser.shows("#answer", &["Allowed"]).await;
    // A key's text is no address.
    browser.fill("Key id", &text).await;
    browser.press("Simulate").await;
    browser.shows("#answer", &["Allowed"]).await;
    assert!(!browser.path().await.contains("octv"), "{}", browser.path().await);
    assert_eq!(browser.value("Key id").await, key.id);
    // A name is enough where it is that of one key.
    browser.open(&format!("/keys/{}", key.id)).await;
    browser.press("Simulate…").await;
    browser.heading("Simulate").await;
    assert_eq!(browser.value("Key id").await, key.id);
    browser.fill("Key id", "shop").await;
    browser.fill("Action", "articles.create").await;
    browser.press("Simulate").await;
    browser.shows("#answer", &["Allowed"]).await;
    assert_eq!(browser.run("return document.activeElement.id").await, "answer");
    let title = browser.run("return document.title").await;
    assert!(title.as_str().unwrap().starts_with("Allowed: articles.create"), "{title}");
    create(&sidecar, "shop", "read_only").await;
    browser.press("Simulate").await;
    browser.sees("Several keys have this name: give the id of one.").await;
    browser.fill("Key id", "nobody").await;
    browser.press("Simulate").await;
    browser.sees("There is no key nobody.").await;
    // Nothing of it is a use.
    let used = browser.run("return fetch('/keys?used=never').then((page) => page.text())").await;
    assert!(used.as_str().unwrap().contains(&format!("/keys/{}", key.id)));
    sidecar.finish().await;
}
