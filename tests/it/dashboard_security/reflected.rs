//! What an address says and a page repeats: markup in it is text.

use super::{
    browser::{Browser, quoted},
    html, make, operator,
    stored::{HOSTILE, harmless},
};
use crate::sidecar::Sidecar;

/// Addresses that say `text`; `{id}` is a key's.
fn addresses(text: &str, id: &str) -> Vec<String> {
    let text = quoted(text);
    let path = text.replace('+', "%20").replace('.', "%2e");
    let mut all = Vec::new();
    for name in ["q", "status", "role", "used", "expires", "team", "sort", "page", "new", "x"] {
        all.push(format!("/keys?{name}={text}"));
    }
    for name in
        ["key", "actor", "kind", "outcome", "from", "until", "team", "request", "page", "live"]
    {
        all.push(format!("/audit?{name}={text}"));
        all.push(format!("/audit?{name}={text}&live=on"));
        all.push(format!("/audit/news?after=0&{name}={text}"));
    }
    for name in ["key", "action", "owner", "state"] {
        all.push(format!("/simulate?{name}={text}"));
        all.push(format!("/simulate?key={id}&action=articles.update&{name}={text}"));
        all.push(format!("/simulate?{name}={text}&key={id}&action=articles.update"));
    }
    for path in [format!("/{path}"), format!("/keys/{path}"), format!("/keys/{path}/rotate")] {
        all.push(path.clone());
        all.push(format!("{path}?{text}={text}"));
    }
    all.push(format!("/keys?{text}={text}&sort=name&q=a"));
    all.push(format!("/audit/news?after={text}"));
    all.push(format!("/keys/{id}?{text}"));
    all.push(format!("/assets/{path}/{path}"));
    all
}

#[tokio::test]
async fn what_an_address_says_stands_on_a_page_as_text_and_nothing_else() {
    let sidecar = Sidecar::start();
    let (key, _) = make(&sidecar, "web", "writer", &[]).await;
    let mut browser = operator(&sidecar);
    for text in HOSTILE {
        let mut shown = 0;
        for (path, as_harmless) in
            addresses(text, &key.id).into_iter().zip(addresses(&harmless(text), &key.id))
        {
            let (page, as_harmless) = (browser.get(&path), browser.get(&as_harmless));
            assert_eq!(page.status, as_harmless.status, "{path}: {page:?}");
            assert_eq!(html::difference(&page.body, &as_harmless.body), None, "{path}");
            let is_markup = text.contains(['<', '"', '\'', '&']);
            assert!(!page.body.contains(text) || !is_markup, "{path}: {}", page.body);
            shown += html::words(&page.body).matches(text).count();
        }
        assert!(shown > 10, "{text}: {shown}");
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn the_sign_in_repeats_nothing_that_an_address_says_but_a_way_of_ours() {
    let sidecar = Sidecar::start();
    let mut browser = Browser::new(&sidecar);
    let plain = browser.page("/sign-in");
    for text in HOSTILE {
        for name in ["why", "lost", "error", "credential", "next", "x"] {
            let page = browser.page(&format!("/sign-in?{name}={}", quoted(text)));
            assert_eq!(page, plain, "{name} {text}");
        }
        // A path of ours may say it.
        let next = format!("/keys?q={text}").replace(' ', "+");
        let page = browser.page(&format!("/sign-in?next={}", quoted(&next)));
        assert_eq!(html::difference(&page, &plain), None, "{text}");
        assert_eq!(html::field(&page, "next"), Some(next));
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn an_address_that_is_no_text_is_one_of_no_key() {
    let sidecar = Sidecar::start();
    let mut browser = operator(&sidecar);
    let none = browser.get("/keys/none");
    assert_eq!(none.status, 404);
    for path in ["/keys/%ff", "/keys/%ff/rotate", "/keys/%C0%AF/revoke"] {
        let answer = browser.get(path);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert_eq!(html::difference(&answer.body, &none.body), None, "{path}");
    }
    assert!(Browser::new(&sidecar).get("/keys/%ff").asks_to_sign_in());
    sidecar.finish().await;
}
