//! What is stored, by whatever API, and is shown: markup in it is text.
//!
//! The same pages are made twice, with harmless texts and with hostile ones: they have to consist of
//! the same tags with the same attributes.

use std::collections::BTreeMap;

use octavia_authz::pb::v1::{
    CreateApiKeyRequest, RotateApiKeyRequest, UpdateApiKeyRequest,
    api_key_service_client::ApiKeyServiceClient,
};
use prost_types::FieldMask;
use tempfile::TempDir;
use tonic::Request;

use super::{
    browser::{Answer, Browser},
    html, operator,
};
use crate::sidecar::{Bearer, Sidecar, connect};

/// What would do something if it were no text: in an element, in an attribute, as an address, in a
/// template.
pub const HOSTILE: [&str; 9] = [
    "\"><script>alert(1)</script>",
    "</title><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "\" onfocus=\"alert(1)\" autofocus=\"",
    "javascript:alert(1)",
    "{{ frame.form_token() }}{% raw %}${7*7}#{7*7}",
    "</textarea></select><img src=x onerror=alert(1)>",
    "--><!--<iframe src=//evil.example>",
    "&lt;b&gt;&#60;&amp;%3cscript%3e",
];

/// As many characters as `text` has, so that what is cut off is cut off of both, and a label or an etag where it
/// has one. No team, no name of anything, and no markup.
pub fn harmless(text: &str) -> String {
    let letters = text.chars().skip(1).zip(('a'..='z').cycle());
    let letters = letters.map(|(c, letter)| if "=:".contains(c) { c } else { letter });
    format!("~{}", letters.collect::<String>())
}

/// A policy with a service whose every text is `text`.
fn policy(text: &str) -> String {
    let text = serde_json::Value::from(text).to_string();
    format!(
        "[services.shop]\ntitle = {text}\n[services.shop.actions.orders]\nread = {text}\nupdate = {text}\n\
         [services.shop.roles.owner]\ntitle = {text}\nintended_use = {text}\nsummary = {text}\nallow = [\"*\"]\n\
         [services.shop.roles.clerk]\ntitle = {text}\nwhen = {{ \"orders.update\" = [\"own\"] }}\n\
         grantable = [\"orders.read\"]\n"
    )
}

/// `message`, in a request of that id.
fn named<T>(id: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    // A header is ASCII; so are these.
    request.metadata_mut().insert("x-request-id", id.parse().unwrap());
    request
}

/// All pages that show `text`, which is in every place that takes it.
async fn pages_with(text: &str) -> BTreeMap<String, Answer> {
    let temporary = TempDir::new().unwrap();
    let file = temporary.path().join("policy.toml");
    std::fs::write(&file, policy(text)).unwrap();
    let sidecar = Sidecar::start_with(&["--policy", file.to_str().unwrap()]);
    let channel = connect(&sidecar.admin_listen).await;
    let token = sidecar.operator_token();
    let mut keys = ApiKeyServiceClient::with_interceptor(channel, Bearer::new(&token));
    let create = |service: &str, role: &str| CreateApiKeyRequest {
        name: text.into(),
        service: service.into(),
        role: role.into(),
        description: format!("{text}\n{text}"),
        subject: text.into(),
        labels: [("env".to_owned(), text.to_owned())].into(),
        ..Default::default()
    };
    let made = keys.create_api_key(named(text, create("ai-cms", "super_admin"))).await.unwrap();
    let key = made.into_inner();
    let id = key.api_key.unwrap().id;
    let shop =
        keys.create_api_key(named(text, create("shop", "clerk"))).await.unwrap().into_inner();
    let shop = shop.api_key.unwrap();
    // Changed, by the key itself, and refused with words that quote what was asked for.
    let mut own = ApiKeyServiceClient::with_interceptor(
        connect(&sidecar.admin_listen).await,
        Bearer::new(&key.key),
    );
    let values = octavia_authz::pb::v1::ApiKey {
        name: format!("{text}."),
        description: text.into(),
        subject: "other".into(),
        labels: [("env".to_owned(), format!("{text}."))].into(),
        ..Default::default()
    };
    let paths = ["name", "description", "subject", "labels"].map(str::to_owned).into();
    let update = UpdateApiKeyRequest {
        id: id.clone(),
        api_key: Some(values),
        update_mask: Some(FieldMask { paths }),
        ..Default::default()
    };
    own.update_api_key(named(text, update)).await.unwrap();
    let mut wrong = create(text, text);
    wrong.grants = vec![text.into()];
    own.create_api_key(named(text, wrong.clone())).await.unwrap_err();
    wrong.service = "ai-cms".into();
    own.create_api_key(named(text, wrong.clone())).await.unwrap_err();
    wrong.role = "admin".into();
    own.create_api_key(named(text, wrong)).await.unwrap_err();
    let overlap = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    let rotate = RotateApiKeyRequest { id: id.clone(), overlap, ..Default::default() };
    own.rotate_api_key(named(text, rotate)).await.unwrap();

    let mut browser = operator(&sidecar);
    let mut as_key = Browser::signed_in(&sidecar, &key.key);
    let mut pages = BTreeMap::new();
    let own_id = |path: &str| path.replace(&id, "ID").replace(&shop.id, "SHOP");
    let mut all = super::pages(&id);
    all.extend(super::pages(&shop.id).split_off(6));
    all.extend(["/audit?kind=create", "/audit?outcome=refused&live=on"].map(str::to_owned));
    for path in all {
        pages.insert(format!("operator {}", own_id(&path)), browser.get(&path));
        pages.insert(format!("key {}", own_id(&path)), as_key.get(&path));
    }
    pages.extend(forms_with(&mut browser, text, &id, &shop.id).await);
    sidecar.finish().await;
    pages
}

/// The pages that answer forms.
async fn forms_with(
    browser: &mut Browser,
    text: &str,
    id: &str,
    shop: &str,
) -> BTreeMap<String, Answer> {
    let mut pages = BTreeMap::new();
    let page = browser.page(&format!("/keys/{shop}"));
    let etag = html::field(&page, "etag").unwrap();
    let edit = [
        ("etag", etag.as_str()),
        ("name", text),
        ("role", "owner"),
        ("expires", "keep"),
        ("description", text),
        ("subject", text),
    ];
    pages.insert("review".to_owned(), browser.post(&format!("/keys/{shop}"), &edit));
    let mistyped = [("etag", etag.as_str()), ("name", "no")];
    pages.insert("revoke".to_owned(), browser.post(&format!("/keys/{id}/revoke"), &mistyped));
    let bulk = [("action", "disable"), ("key", id), ("key", shop), ("key", text)];
    pages.insert("bulk".to_owned(), browser.post("/keys/bulk", &bulk));
    let status = [("etag", etag.as_str()), ("status", "inactive")];
    assert_eq!(browser.post(&format!("/keys/{shop}/status"), &status).status, 303);
    pages.insert("notice".to_owned(), browser.get("/roles"));
    let new = |service| {
        let own = [("name", text), ("service", service), ("role", text), ("expires", text)];
        let more = [("date", text), ("description", text), ("subject", text), ("labels", text)];
        [own, more].concat()
    };
    pages.insert("new, wrong".to_owned(), browser.post("/keys/new", &new("ai-cms")));
    pages.insert("new, no service".to_owned(), browser.post("/keys/new", &new(text)));
    let mut wrong = new("ai-cms");
    wrong.retain(|(name, _)| !["expires", "labels", "date"].contains(name));
    wrong.extend([("expires", "lifetime"), ("grant.admin", text), ("team", text)]);
    wrong.extend([("form", "0000000000000000000000000000000000000000000")]);
    pages.insert("new, refused".to_owned(), browser.post("/keys/new", &wrong));
    wrong.retain(|(name, _)| !["role", "team"].contains(name));
    wrong.push(("role", "admin"));
    pages.insert("new, no grant".to_owned(), browser.post("/keys/new", &wrong));
    wrong.retain(|(name, _)| !["role", "grant.admin"].contains(name));
    wrong.push(("role", "writer"));
    pages.insert("new, done".to_owned(), browser.post("/keys/new", &wrong));
    let wrong = [("etag", etag.as_str()), ("name", text), ("role", text), ("expires", text)];
    pages.insert("edit, wrong".to_owned(), browser.post(&format!("/keys/{id}"), &wrong));
    pages.insert("list, sorted".to_owned(), browser.get("/keys?sort=-name&used=never"));
    pages
}

#[tokio::test]
async fn what_others_have_stored_stands_on_a_page_as_text_and_nothing_else() {
    for text in HOSTILE {
        let harmless_text = harmless(text);
        let harmless = pages_with(&harmless_text).await;
        let hostile = pages_with(text).await;
        assert!(hostile.keys().eq(harmless.keys()));
        let mut shown = 0;
        for (name, page) in &hostile {
            let as_harmless = &harmless[name];
            assert_eq!(page.status, as_harmless.status, "{name} {text}: {}", page.body);
            assert_eq!(html::difference(&page.body, &as_harmless.body), None, "{name} {text}");
            assert!(!page.body.contains(text) || !text.contains(['<', '"', '\'', '&']), "{name}");
            // Where the harmless text stands, the hostile one does, as often.
            let said = html::words(&page.body).matches(text).count();
            let harmless_said = html::words(&as_harmless.body).matches(&harmless_text).count();
            assert_eq!(said, harmless_said, "{name} {text}");
            shown += said;
        }
        assert!(shown > 100, "{shown}");
    }
}
