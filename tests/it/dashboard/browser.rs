//! A browser, used as a person uses it: things are found by what is written on or beside them.
//!
//! Whatever is looked for is waited for. A thing that is gone before it was used is looked for
//! again; one that was used is not used again.

mod driver;

use std::time::Instant;

use fantoccini::{
    Client, Locator,
    actions::{InputSource as _, KeyAction, KeyActions},
    elements::Element,
    error::{CmdError, ErrorStatus},
    key::Key,
};
use serde_json::{Value, json};

use self::driver::{Cdp, Taken};
use crate::sidecar::{PATIENCE, step};

/// A browser that nobody else uses.
pub(super) struct Browser {
    client: Client,
    /// Where the dashboard is.
    base: String,
    _driver: Taken,
}

/// What is written, as an expression of XPath has it.
fn quoted(text: &str) -> String {
    assert!(!text.contains('"'));
    format!("\"{text}\"")
}

/// What people press, with this text: on the page itself, or else above it.
fn pressed(text: &str) -> String {
    let one = format!(
        "//*[self::a or self::button or self::summary][normalize-space(.)={}]",
        quoted(text)
    );
    format!("//main{one} | //header{one}[not(//main{one})]")
}

/// The control that is labelled so; `kind` says which kinds of it there are.
fn labelled(label: &str, kind: &str) -> String {
    let label = quoted(label);
    format!(
        "//*[{kind}][@id=//label[starts-with(normalize-space(.), {label})]/@for or @aria-label={label}]"
    )
}

const BOX: &str = "self::input[@type='radio' or @type='checkbox']";
const FIELD: &str =
    "self::select or self::textarea or self::input[not(@type='radio' or @type='checkbox')]";

impl Browser {
    /// A new one, for the dashboard at `base`.
    pub(super) async fn start(base: &str) -> Self {
        let mut driver = Taken::take();
        let client = driver.client().await;
        let browser = Self { client, base: base.to_owned(), _driver: driver };
        browser.forget().await;
        browser
    }

    /// As if it had not been used before.
    async fn forget(&self) {
        self.client.goto("about:blank").await.unwrap();
        for (command, params) in [
            ("Network.clearBrowserCookies", json!({})),
            ("Browser.resetPermissions", json!({})),
            ("Emulation.clearDeviceMetricsOverride", json!({})),
            ("Emulation.setEmulatedMedia", json!({ "media": "", "features": [] })),
            ("Emulation.setScrollbarsHidden", json!({ "hidden": false })),
            ("Emulation.setScriptExecutionDisabled", json!({ "value": false })),
            ("Page.resetNavigationHistory", json!({})),
        ] {
            self.cdp(command, params).await;
        }
    }

    /// Goes to an address of the dashboard.
    pub(super) async fn open(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.base)).await.unwrap();
    }

    pub(super) async fn sign_in(&self, credential: &str) {
        self.open("/sign-in").await;
        self.fill("Operator token or API key", credential).await;
        self.press("Sign in").await;
        self.heading("API Keys").await;
    }

    pub(super) async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    pub(super) async fn back(&self) {
        self.client.back().await.unwrap();
    }

    /// Path and query of the page.
    pub(super) async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url.as_str().strip_prefix(&self.base).unwrap().to_owned()
    }

    /// Presses the button or link, or opens what is folded, with this text.
    pub(super) async fn press(&self, text: &str) {
        self.use_one(text, &pressed(text), async |found| found.click().await).await;
    }

    /// Ticks or clears the box, or takes the choice, with this label.
    pub(super) async fn choose(&self, label: &str) {
        self.use_one(label, &labelled(label, BOX), async |found| found.click().await).await;
    }

    /// Puts `text` into the field, instead of what is there.
    pub(super) async fn fill(&self, label: &str, text: &str) {
        self.use_one(label, &labelled(label, FIELD), async |found| {
            found.clear().await?;
            found.send_keys(text).await
        })
        .await;
    }

    /// Types at the end of what is in the field.
    pub(super) async fn add(&self, label: &str, text: &str) {
        self.use_one(label, &labelled(label, FIELD), async |found| found.send_keys(text).await)
            .await;
    }

    /// Takes the choice `option` of a list, by typing it.
    pub(super) async fn select(&self, label: &str, option: &str) {
        self.add(label, option).await;
        let path =
            format!("{}/option[normalize-space(.)={}]", labelled(label, FIELD), quoted(option));
        let taken = self.client.find(Locator::XPath(&path)).await.unwrap();
        assert!(taken.is_selected().await.unwrap(), "{option:?} of {label:?}");
    }

    /// What is in the field.
    pub(super) async fn value(&self, label: &str) -> String {
        let path = labelled(label, FIELD);
        self.until(label, async || {
            let found = self.client.find(Locator::XPath(&path)).await.ok()?;
            found.prop("value").await.ok()?
        })
        .await
    }

    /// Whether the box is ticked, or the choice taken.
    pub(super) async fn is_chosen(&self, label: &str) -> bool {
        let path = labelled(label, BOX);
        self.until(label, async || {
            let found = self.client.find(Locator::XPath(&path)).await.ok()?;
            found.is_selected().await.ok()
        })
        .await
    }

    /// Whether something to press has this text.
    pub(super) async fn offers(&self, text: &str) -> bool {
        !self.client.find_all(Locator::XPath(&pressed(text))).await.unwrap().is_empty()
    }

    /// Waits for the page with this heading.
    pub(super) async fn heading(&self, text: &str) {
        let path = format!("//h1[starts-with(normalize-space(.), {})]", quoted(text));
        let found = async || self.client.find(Locator::XPath(&path)).await.ok();
        self.until(&format!("the page {text:?}"), found).await;
    }

    /// Waits until the page says `text`.
    pub(super) async fn sees(&self, text: &str) {
        let said = async || self.text().await.contains(text).then_some(());
        self.until(&format!("{text:?}"), said).await;
    }

    /// Waits until what a selector of CSS finds shows this.
    pub(super) async fn shows(&self, selector: &str, texts: &[impl AsRef<str>]) {
        let texts: Vec<_> = texts.iter().map(AsRef::as_ref).collect();
        let shown = async || (self.texts(selector).await == texts).then_some(());
        self.until(&format!("{selector} {texts:?}"), shown).await;
    }

    /// What the page shows.
    pub(super) async fn text(&self) -> String {
        let text = self.client.execute("return document.body?.innerText", vec![]).await;
        text.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// What the row shows in which `name` stands.
    pub(super) async fn row(&self, name: &str) -> String {
        let path = format!("//tbody/tr[.//*[normalize-space(.)={}]]", quoted(name));
        self.until(name, async || {
            self.client.find(Locator::XPath(&path)).await.ok()?.text().await.ok()
        })
        .await
    }

    /// What each of the things shows that a selector of CSS finds.
    pub(super) async fn texts(&self, selector: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].map((found) => \
                      found.textContent.trim().replace(/\\s+/g, ' '))";
        let texts = self.client.execute(script, vec![json!(selector)]).await.unwrap();
        serde_json::from_value(texts).unwrap()
    }

    /// The whole document, with what is not shown.
    pub(super) async fn source(&self) -> String {
        self.client.source().await.unwrap()
    }

    /// What the function with this body gives.
    pub(super) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap()
    }

    /// The same, for this argument.
    pub(super) async fn run_with(&self, script: &str, argument: Value) -> Value {
        self.client.execute(script, vec![argument]).await.unwrap()
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub(super) async fn keys(&self, keys: &[char]) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for value in keys.iter().copied() {
            actions = actions.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        }
        self.client.perform_actions(actions).await.unwrap();
    }

    /// Presses a key while Shift is held.
    pub(super) async fn shifted(&self, value: char) {
        let shift = char::from(Key::Shift);
        let actions = KeyActions::new("keyboard".to_owned())
            .then(KeyAction::Down { value: shift })
            .then(KeyAction::Down { value })
            .then(KeyAction::Up { value })
            .then(KeyAction::Up { value: shift });
        self.client.perform_actions(actions).await.unwrap();
    }

    /// A window of this size, in a `light` or `dark` world.
    pub(super) async fn look(&self, scheme: &str, width: u32, height: u32) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.cdp("Emulation.setDeviceMetricsOverride", metrics).await;
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        // Nothing is measured while it fades.
        let still = json!({ "name": "prefers-reduced-motion", "value": "reduce" });
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": [feature, still] })).await;
    }

    /// As the screen is, or paper, with this feature of the media.
    pub(super) async fn media(&self, media: &str, feature: &str, value: &str) {
        let features = json!([{ "name": feature, "value": value }]);
        let params = json!({ "media": media, "features": features });
        self.cdp("Emulation.setEmulatedMedia", params).await;
    }

    pub(super) async fn hide_scrollbars(&self) {
        self.cdp("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await;
    }

    /// From the next page on, no script of a page runs.
    pub(super) async fn without_scripts(&self) {
        self.cdp("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    /// The page may read and write the clipboard.
    pub(super) async fn grant_clipboard(&self) {
        let permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"];
        let params = json!({ "origin": self.base, "permissions": permissions });
        self.cdp("Browser.grantPermissions", params).await;
    }

    /// What is seen, as a PNG.
    pub(super) async fn screenshot(&self) -> Vec<u8> {
        self.client.screenshot().await.unwrap()
    }

    async fn cdp(&self, command: &str, params: Value) {
        let command = Cdp(json!({ "cmd": command, "params": params }));
        self.client.issue_cmd(command).await.unwrap();
    }

    /// Uses the first of the things at `path` that can be used.
    async fn use_one(
        &self,
        what: &str,
        path: &str,
        once: impl AsyncFn(Element) -> Result<(), CmdError>,
    ) {
        self.until(&format!("{what:?}, to use it"), async || {
            for found in self.client.find_all(Locator::XPath(path)).await.ok()? {
                match once(found).await {
                    Ok(()) => return Some(()),
                    Err(error) => assert!(is_passing(&error), "{what:?}: {error}"),
                }
            }
            None
        })
        .await;
    }

    /// What `look` finds, once it finds something.
    async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if started.elapsed() > PATIENCE {
                panic!(
                    "waited {PATIENCE:?} for {what} on {}: {}",
                    self.path().await,
                    self.text().await
                );
            }
            step().await;
        }
    }
}

/// Whether a thing was not used, and may be a moment later.
fn is_passing(error: &CmdError) -> bool {
    error.is_stale_element_reference()
        || error.is_no_such_element()
        || error.is_element_not_interactable()
        || error.is_invalid_element_state()
        || matches!(error, CmdError::Standard(error)
            if error.error == ErrorStatus::ElementClickIntercepted)
}
