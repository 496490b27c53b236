//! Forms that another site has its visitors send, and forms without the token of their session.

use super::{
    Form,
    browser::{Browser, HOST, encoded},
    forms, make, operator, state,
};
use crate::sidecar::Sidecar;

/// What a browser says of a form that is not from a page of ours.
const FOREIGN: [&[(&str, &str)]; 14] = [
    &[("origin", "https://evil.example")],
    &[("origin", "null")],
    &[("origin", "")],
    &[("origin", "dashboard.test:8480")],
    &[("origin", "http://dashboard.test")],
    &[("origin", "http://dashboard.test:8481")],
    &[("origin", "http://evil.dashboard.test:8480")],
    &[("origin", "http://dashboard.test:8480.evil.example")],
    &[("origin", "http://dashboard.test:8480@evil.example")],
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("sec-fetch-site", "something-new")],
    &[("sec-fetch-site", "")],
    &[("sec-fetch-site", "cross-site"), ("origin", "http://dashboard.test:8480")],
];

#[tokio::test]
async fn a_form_of_another_site_is_refused_whatever_it_asks_for() {
    let sidecar = Sidecar::start();
    let token = sidecar.operator_token();
    let (key, _) = make(&sidecar, "web", "writer", &[]).await;
    let mut browser = operator(&sidecar);
    let before = state(&sidecar).await;
    let mut all = forms(&key);
    all.push(("/sign-in".to_owned(), vec![("credential", token.clone())]));
    for headers in FOREIGN {
        for (path, form) in &all {
            let mut form = form.clone();
            form.push(("form_token", browser.form_token.clone()));
            let answer = browser.send("POST", path, headers, encoded(&form).as_bytes());
            assert_eq!(answer.status, 403, "{headers:?} {path}: {answer:?}");
            assert_eq!(answer.header("set-cookie"), None);
            assert!(answer.body.contains("another site"), "{answer:?}");
        }
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
            assert_eq!(browser.send(method, "/keys", headers, b"").status, 403, "{headers:?}");
        }
    }
    assert_eq!(state(&sidecar).await, before);
    assert!(browser.page("/audit").contains("Verify reads them all"), "it was verified");
    sidecar.finish().await;
}

#[tokio::test]
async fn a_form_of_ours_is_taken() {
    let sidecar = Sidecar::start();
    let own = format!("http://{HOST}");
    for headers in [
        &[("origin", own.as_str())][..],
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "same-origin"), ("origin", own.as_str())],
        &[("sec-fetch-site", "none")],
        &[],
    ] {
        let mut browser = operator(&sidecar);
        let form = encoded(&[("form_token", browser.form_token.clone())]);
        let answer = browser.send("POST", "/sign-out", headers, form.as_bytes());
        assert_eq!(answer.location(), "/sign-in?why=out", "{headers:?}");
    }
    sidecar.finish().await;
}

/// Bodies of `form` that lack its token, where `good` is right.
fn without_token(form: &Form, good: &str, other: &str) -> Vec<String> {
    let fields = encoded(form);
    let with = |token: &str| format!("{}&{fields}", encoded(&[("form_token", token)]));
    vec![
        fields.clone(),
        with(""),
        with("wrong"),
        with(other),
        with(&good[1..]),
        with(&good.to_uppercase()),
        with(&format!("{good}{good}")),
        format!("form_token=wrong&form_token={good}&{fields}"),
        format!("Form_token={good}&{fields}"),
        format!("form_token[]={good}&{fields}"),
        format!("{{\"form_token\":\"{good}\"}}"),
    ]
}

#[tokio::test]
async fn a_form_without_the_token_of_its_session_is_refused_whatever_it_asks_for() {
    let sidecar = Sidecar::start();
    let (key, _) = make(&sidecar, "web", "writer", &[]).await;
    let (mut browser, other) = (operator(&sidecar), operator(&sidecar));
    assert_ne!(browser.form_token, other.form_token);
    assert_ne!(browser.form_token, browser.session());
    let before = state(&sidecar).await;
    for (path, form) in forms(&key) {
        let mut bodies = without_token(&form, &browser.form_token, &other.form_token);
        bodies.extend(without_token(&form, &browser.form_token, &browser.session()));
        for body in bodies {
            let answer = browser.send("POST", &path, &[], body.as_bytes());
            assert_eq!(answer.status, 403, "{path} {body}: {answer:?}");
            assert!(answer.body.contains("Nothing was done"), "{answer:?}");
        }
        // In the address it does not count.
        let in_address = format!("{path}?form_token={}", browser.form_token);
        let answer = browser.send("POST", &in_address, &[], encoded(&form).as_bytes());
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
    }
    assert_eq!(state(&sidecar).await, before);
    let page = browser.page("/audit");
    assert!(page.contains("Verify reads them all"), "it was verified");
    // The same forms with it are done: so it was the token.
    for (path, form) in forms(&key) {
        if path == "/keys/new" {
            let answer = browser.post(&path, &form);
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
    }
    assert_ne!(state(&sidecar).await, before);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_token_lasts_as_long_as_its_session_and_stands_in_no_address() {
    let sidecar = Sidecar::start();
    let (key, _) = make(&sidecar, "web", "writer", &[]).await;
    let mut browser: Browser = operator(&sidecar);
    let before = browser.form_token.clone();
    for path in super::pages(&key.id) {
        let answer = browser.get(&path);
        let tags = super::html::tags(&answer.body);
        for link in tags.iter().filter_map(|tag| tag.get("href").or(tag.get("action"))) {
            assert!(!link.contains(&before) && !link.contains(&browser.session()), "{link}");
        }
        assert!(!answer.body.contains(&browser.session()), "{path}");
    }
    browser.sign_in(&sidecar.operator_token());
    assert_ne!(browser.form_token, before);
    browser.form_token = before;
    assert_eq!(browser.post("/sign-out", &[("", ""); 0]).status, 403);
    sidecar.finish().await;
}
