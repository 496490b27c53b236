//! Every page in every state, light and dark, wide and narrow: axe-core finds nothing wrong, and
//! nothing has to be scrolled sideways.

use std::{env, fs, path::PathBuf};

use octavia_authz::pb::v1::CreateApiKeyRequest;
use serde_json::json;

use super::{Browser, create, start};
use crate::sidecar::Sidecar;

const LOOKS: [(&str, u32, u32); 4] =
    [("light", 1280, 900), ("dark", 1280, 900), ("light", 360, 800), ("dark", 360, 800)];

/// The rules that look at colours. By all others, dark is as light.
const OF_COLOURS: [&str; 2] = ["color-contrast", "link-in-text-block"];

/// What is wrong with the page by these rules, or by all: what, where, why.
const RUN: &str = "
    const [rules] = arguments, only = rules ? { runOnly: rules } : {};
    return axe.run({ resultTypes: ['violations'], ...only }).then(({ violations, passes }) => {
        if (!passes.length) return ['axe looked at nothing'];
        const { scrollWidth, clientWidth } = document.documentElement;
        const found = violations.flatMap(({ id, nodes }) => nodes.map(
            ({ target, failureSummary }) => `${id} at ${target}: ${failureSummary}`));
        if (scrollWidth > clientWidth) found.push(`${scrollWidth} wide of ${clientWidth}`);
        return found;
    });
";

/// After the next frame: where there is little room, a page folds some.
const UNFOLD: &str = "
    return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
        document.querySelectorAll('details').forEach((one) => { one.open = true; });
        done();
    })));
";

/// The script of axe-core, from the file that `OCTAVIA_TEST_AXE` names.
fn axe() -> String {
    let tools = || {
        let target = concat!(env!("CARGO_MANIFEST_DIR"), "/target/ci-tools");
        let tools = env::var_os("OCTAVIA_CI_TOOLS").map_or_else(|| target.into(), PathBuf::from);
        tools.join("node_modules/axe-core/axe.min.js")
    };
    let path = env::var_os("OCTAVIA_TEST_AXE").map_or_else(tools, PathBuf::from);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Looks at pages, and notes what is wrong with them.
struct Auditor<'a> {
    browser: &'a Browser,
    axe: String,
    found: Vec<String>,
}

impl<'a> Auditor<'a> {
    fn new(browser: &'a Browser) -> Self {
        Self { browser, axe: axe(), found: Vec::new() }
    }

    /// The page as it is, with everything unfolded.
    async fn look_at(&mut self, state: &str) {
        self.browser.run(&self.axe).await;
        for (scheme, width, height) in LOOKS {
            self.browser.look(scheme, width, height).await;
            self.browser.run(UNFOLD).await;
            let rules = json!((scheme == "dark").then_some(OF_COLOURS));
            let found = self.browser.run_with(RUN, rules).await;
            let found: Vec<String> = serde_json::from_value(found).unwrap();
            let page = format!("{state}, {scheme}, {width}");
            self.found.extend(found.into_iter().map(|found| format!("{page}: {found}")));
        }
        self.browser.look("light", 1280, 900).await;
    }

    #[track_caller]
    fn found_nothing(self) {
        assert!(self.found.is_empty(), "{}", self.found.join("\n"));
    }
}

#[tokio::test]
#[ignore = "needs Chromium and axe-core: see .ci/run"]
async fn pages_for_who_is_not_signed_in() {
    let sidecar = Sidecar::start();
    let browser = Browser::start(&sidecar.dashboard).await;
    let mut auditor = Auditor::new(&browser);
    browser.open("/audit").await;
    browser.heading("Sign in").await;
    auditor.look_at("sign-in").await;
    browser.fill("Operator token or API key", "nothing").await;
    browser.press("Sign in").await;
    browser.sees("This is neither the operator token nor an API key.").await;
    auditor.look_at("sign-in with an error").await;
    auditor.found_nothing();
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium and axe-core: see .ci/run"]
async fn pages_on_which_a_key_is_made() {
    let (sidecar, browser) = start().await;
    let mut auditor = Auditor::new(&browser);
    auditor.look_at("no keys").await;
    browser.press("New API Key").await;
    browser.heading("New API Key").await;
    auditor.look_at("new").await;
    browser.choose("End date").await;
    browser.fill("Labels", "none").await;
    browser.press("Create API key").await;
    browser.sees("Nothing was saved yet.").await;
    auditor.look_at("new with errors").await;
    browser.fill("Labels", "").await;
    browser.choose("30 days from now").await;
    browser.press("Create API key").await;
    browser.sees("Name: Must not be empty.").await;
    auditor.look_at("new without a name").await;
    browser.fill("Name", "cms-backend-prod").await;
    browser.press("Create API key").await;
    browser.heading("cms-backend-prod was created").await;
    auditor.look_at("a secret").await;
    auditor.found_nothing();
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium and axe-core: see .ci/run"]
async fn pages_of_a_key() {
    let (sidecar, browser) = start().await;
    let mut auditor = Auditor::new(&browser);
    let request = CreateApiKeyRequest {
        name: "a-name-that-is-rather-long-for-the-key-of-a-service-of-ours".into(),
        role: "admin".into(),
        grants: vec!["billing.read".into()],
        description: "What it is for.\nAnd who knows.".into(),
        labels: [("env".to_owned(), "production".to_owned())].into(),
        expiration: "7d".into(),
        ..Default::default()
    };
    let name = request.name.clone();
    let created = sidecar.keys().await.create_api_key(request).await.unwrap().into_inner();
    let path = format!("/keys/{}", created.api_key.unwrap().id);
    for action in ["articles.read", "articles.create", "billing.update"] {
        sidecar.authorize(&created.key, action).await;
    }
    browser.open(&path).await;
    auditor.look_at("a key").await;
    browser.fill("Labels", "none").await;
    browser.press("Save").await;
    browser.sees("Nothing was saved yet.").await;
    auditor.look_at("a key with errors").await;
    browser.open(&path).await;
    browser.choose("Publisher").await;
    browser.press("Save").await;
    browser.heading("Review the changes").await;
    auditor.look_at("review").await;
    browser.open(&path).await;
    browser.press("Rotate…").await;
    browser.heading("Rotate ").await;
    auditor.look_at("rotate").await;
    browser.press("Rotate").await;
    browser.sees("Copy the key now").await;
    auditor.look_at("a secret of a rotation").await;
    browser.press("I have copied it: show the key's page").await;
    browser.press("Disable").await;
    browser.sees("is inactive").await;
    auditor.look_at("a key that is inactive").await;
    browser.press("Revoke…").await;
    browser.heading("Revoke ").await;
    auditor.look_at("revoke").await;
    browser.fill("Type the key's name", "another").await;
    browser.press("Revoke for good").await;
    browser.sees("This is neither its name nor its id").await;
    auditor.look_at("revoke with an error").await;
    browser.open("/keys/AAAAAAAAAA").await;
    browser.heading("Key not found").await;
    auditor.look_at("a problem").await;
    browser.open("/audit").await;
    browser.sees(&name).await;
    auditor.look_at("the audit log with a long name").await;
    let (own, text) = create(&sidecar, "own", "super_admin").await;
    browser.press("Sign out").await;
    browser.sees("You are signed out.").await;
    browser.sign_in(&text).await;
    browser.open(&format!("/keys/{}", own.id)).await;
    browser.press("Disable").await;
    browser.heading("Disable your own key?").await;
    auditor.look_at("an own key to be disabled").await;
    auditor.found_nothing();
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium and axe-core: see .ci/run"]
async fn pages_of_many_keys() {
    let (sidecar, browser) = start().await;
    let mut auditor = Auditor::new(&browser);
    for number in 0..52 {
        create(&sidecar, &format!("key-{number:02}"), "writer").await;
    }
    browser.open("/keys?q=key-0&status=active").await;
    browser.sees("10 keys match").await;
    auditor.look_at("the list").await;
    browser.open("/keys?sort=-created").await;
    browser.sees("52 keys").await;
    auditor.look_at("a page of the list").await;
    browser.open("/keys?q=nothing").await;
    browser.sees("0 keys match").await;
    auditor.look_at("an empty list").await;
    browser.open("/keys").await;
    browser.choose("Select key-00").await;
    browser.choose("Select key-01").await;
    browser.press("Revoke…").await;
    browser.heading("Revoke 2 keys?").await;
    auditor.look_at("a look at many").await;
    browser.fill("Type 2, the number of keys", "1").await;
    browser.press("Revoke 2 keys").await;
    browser.sees("This is not their number").await;
    auditor.look_at("a wrong number").await;
    browser.fill("Type 2, the number of keys", "2").await;
    browser.press("Revoke 2 keys").await;
    browser.heading("2 keys were revoked").await;
    auditor.look_at("what was done to many").await;
    auditor.found_nothing();
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium and axe-core: see .ci/run"]
async fn pages_about_roles_and_decisions() {
    let (sidecar, browser) = start().await;
    let mut auditor = Auditor::new(&browser);
    let (key, _) = create(&sidecar, "shop", "writer").await;
    browser.open("/roles").await;
    browser.heading("Roles").await;
    auditor.look_at("roles").await;
    browser.open("/simulate").await;
    browser.heading("Simulate").await;
    auditor.look_at("simulate").await;
    for (action, answer) in [
        ("articles.create", "ALLOWED"),
        ("articles.publish", "ACTION_DENIED"),
        ("articles.update", "CONDITION_UNMET"),
    ] {
        browser.open(&format!("/simulate?key={}&action={action}", key.id)).await;
        browser.sees(answer).await;
        auditor.look_at(&format!("simulate {action}")).await;
    }
    browser.open("/simulate?key=nobody").await;
    browser.sees("There is no key nobody.").await;
    auditor.look_at("simulate without a key").await;
    auditor.found_nothing();
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium and axe-core: see .ci/run"]
async fn pages_of_the_audit_log() {
    let (sidecar, browser) = start().await;
    let mut auditor = Auditor::new(&browser);
    let (key, _) = create(&sidecar, "shop", "writer").await;
    browser.open(&format!("/keys/{}", key.id)).await;
    browser.fill("Description", "The shop").await;
    browser.press("Save").await;
    browser.sees("Saved").await;
    // What was refused, too.
    let mut keys = sidecar.keys().await;
    let none = CreateApiKeyRequest { role: "writer".into(), ..Default::default() };
    keys.create_api_key(none).await.unwrap_err();
    browser.open("/audit").await;
    browser.sees("Edited shop").await;
    auditor.look_at("the audit log").await;
    browser.press("Verify").await;
    browser.sees("Intact").await;
    auditor.look_at("the audit log, verified").await;
    browser.open("/audit?from=never").await;
    browser.sees("Give days as").await;
    auditor.look_at("the audit log with an error").await;
    browser.open("/audit?live=on").await;
    browser.sees("Following").await;
    auditor.look_at("the audit log, followed").await;
    auditor.found_nothing();
    sidecar.finish().await;
}

/// What is seen of the first thing that a selector finds: the value of a property of its style.
async fn style(browser: &Browser, selector: &str, property: &str) -> String {
    let script = "const [selector, property] = arguments[0];
                  return getComputedStyle(document.querySelector(selector))[property];";
    let value = browser.run_with(script, json!([selector, property])).await;
    value.as_str().unwrap().to_owned()
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn where_colours_are_forced_lines_say_what_grounds_say_elsewhere() {
    let (sidecar, browser) = start().await;
    let (key, text) = create(&sidecar, "shop", "writer").await;
    sidecar.authorize(&text, "articles.create").await;
    browser.media("", "forced-colors", "active").await;
    browser.open("/keys?status=active").await;
    browser.sees("1 key match").await;
    for (chosen, other, property) in [
        (".figure[aria-current]", ".figure:not([aria-current])", "borderTopWidth"),
        (".top nav a[aria-current]", ".top nav a:not([aria-current])", "textDecorationLine"),
    ] {
        let [chosen, other] =
            [style(&browser, chosen, property).await, style(&browser, other, property).await];
        assert_ne!(chosen, other, "{property}");
    }
    browser.open(&format!("/keys/{}", key.id)).await;
    browser.heading("shop").await;
    let ground = style(&browser, "body", "backgroundColor").await;
    let swatches = ["allowed", "denied"].map(|of| format!(".swatch.{of}"));
    let mut colours = vec![ground];
    for swatch in &swatches {
        colours.push(style(&browser, swatch, "backgroundColor").await);
    }
    colours.sort();
    colours.dedup();
    assert_eq!(colours.len(), 3, "{colours:?}");
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Chromium: see .ci/run"]
async fn on_paper_a_page_is_dark_on_light_and_has_nothing_to_press() {
    let (sidecar, browser) = start().await;
    create(&sidecar, "shop", "writer").await;
    browser.media("print", "prefers-color-scheme", "dark").await;
    browser.open("/keys").await;
    browser.sees("shop").await;
    assert_eq!(style(&browser, "body", "color").await, "rgb(26, 29, 38)");
    for hidden in [".top", ".filters", ".heading .button", "tbody .check"] {
        assert_eq!(style(&browser, hidden, "display").await, "none", "{hidden}");
    }
    sidecar.finish().await;
}
