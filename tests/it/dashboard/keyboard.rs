//! Everything can be done with a keyboard alone, and one sees where one is.

use fantoccini::key::Key;
use octavia_authz::pb::v1::{ApiKey, DecisionReason as Reason};
use serde_json::Value;

use super::{Browser, keys, reason, start};
use crate::sidecar::Sidecar;

/// Steps from one end of a page to the other, and more.
const STEPS: usize = 120;

/// What has the focus: what it is called, its text, and whether that is seen.
const FOCUSED: &str = "
    const at = document.activeElement, style = getComputedStyle(at);
    const name = at.getAttribute('aria-label') ?? at.labels?.[0]?.textContent ?? at.textContent;
    const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
    return [name.trim().replace(/\\s+/g, ' '), seen, at.tagName];
";

struct Keyboard<'a>(&'a Browser);

impl Keyboard<'_> {
    async fn key(&self, key: Key) {
        self.0.keys(&[char::from(key)]).await;
    }

    async fn types(&self, text: &str) {
        self.0.keys(&text.chars().collect::<Vec<_>>()).await;
    }

    /// What has the focus. It has to be seen that it does.
    async fn focused(&self) -> String {
        let Value::Array(at) = self.0.run(FOCUSED).await else { panic!() };
        assert!(at[1] == true || at[2] == "BODY", "the focus is not seen: {at:?}");
        at[0].as_str().unwrap().to_owned()
    }

    /// Goes on with Tab until something has the focus that is called so.
    async fn to(&self, name: &str) {
        for _ in 0..STEPS {
            self.key(Key::Tab).await;
            if self.focused().await.starts_with(name) {
                return;
            }
        }
        panic!("no way to {name:?} on {}", self.0.path().await);
    }

    /// The same backwards, with Shift and Tab.
    async fn back_to(&self, name: &str) {
        for _ in 0..STEPS {
            self.0.shifted(char::from(Key::Tab)).await;
            if self.focused().await.starts_with(name) {
                return;
            }
        }
        panic!("no way back to {name:?} on {}", self.0.path().await);
    }
}

async fn only(sidecar: &Sidecar) -> ApiKey {
    let keys = keys(sidecar).await;
    let [key] = &keys[..] else { panic!("{} keys", keys.len()) };
    key.clone()
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn a_key_is_made_changed_and_revoked_with_a_keyboard_alone() {
    let sidecar = Sidecar::start();
    let browser = Browser::start(&sidecar.dashboard).await;
    let keyboard = Keyboard(&browser);
    browser.open("/keys").await;
    browser.heading("Sign in").await;
    // The field has the focus.
    keyboard.types(&sidecar.operator_token()).await;
    keyboard.key(Key::Enter).await;
    browser.heading("API Keys").await;

    keyboard.to("New API Key").await;
    keyboard.key(Key::Enter).await;
    browser.heading("New API Key").await;
    keyboard.types("shop").await;
    // Radio buttons are one stop; the arrows choose.
    keyboard.to("Read-only").await;
    keyboard.key(Key::Down).await;
    assert!(browser.is_chosen("Writer").await);
    keyboard.to("90 days from now").await;
    keyboard.key(Key::Up).await;
    keyboard.to("Create API key").await;
    keyboard.key(Key::Space).await;
    browser.heading("shop was created").await;
    let text = super::text_shown(&browser).await;
    let made = only(&sidecar).await;
    assert_eq!((&*made.name, &*made.role), ("shop", "writer"));
    assert_eq!(reason(&sidecar, &text, "articles.create").await, Reason::Allowed);
    // What is wrapped around it can be scrolled, too.
    keyboard.to("Copy").await;
    keyboard.to("I have copied it").await;
    keyboard.back_to("Copy").await;
    keyboard.to("I have copied it").await;
    keyboard.key(Key::Enter).await;

    browser.heading("shop").await;
    keyboard.to("Disable").await;
    keyboard.key(Key::Enter).await;
    browser.sees("shop is inactive").await;
    assert_eq!(reason(&sidecar, &text, "articles.create").await, Reason::KeyInactive);
    keyboard.to("Revoke…").await;
    keyboard.key(Key::Enter).await;
    browser.heading("Revoke shop").await;
    keyboard.to("Type the key's name").await;
    keyboard.types("shop").await;
    keyboard.to("Revoke for good").await;
    keyboard.key(Key::Enter).await;
    browser.sees("shop was revoked.").await;
    assert_eq!(reason(&sidecar, &text, "articles.create").await, Reason::KeyUnknown);
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn the_navigation_can_be_skipped() {
    let (sidecar, browser) = start().await;
    let keyboard = Keyboard(&browser);
    browser.open("/roles").await;
    keyboard.key(Key::Tab).await;
    assert_eq!(keyboard.focused().await, "Skip to content");
    keyboard.key(Key::Enter).await;
    assert_eq!(browser.run("return document.activeElement.id").await, "main");
    keyboard.key(Key::Tab).await;
    // Behind the navigation: the first thing on the page, which is a table that scrolls.
    assert_eq!(keyboard.focused().await, "What each role may do in AI CMS");
    sidecar.finish().await;
}
