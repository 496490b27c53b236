//! Sessions in number, and visitors who all ask at once.

use std::thread;

use super::{
    browser::{Browser, encoded},
    keys, make, new_key, operator,
};
use crate::sidecar::Sidecar;

#[tokio::test]
async fn strangers_who_make_up_sessions_and_forms_cost_nobody_theirs() {
    let sidecar = Sidecar::start();
    let browser = operator(&sidecar);
    let body = encoded(&[("form_token", "x"), ("name", "x")]);
    thread::scope(|scope| {
        for worker in 0..4 {
            let (browser, body) = (Browser::new(&sidecar), &body);
            scope.spawn(move || {
                for number in 0..200 {
                    let cookie = format!("octavia-session8480={worker}{number}");
                    let cookie = [("cookie", cookie.as_str())];
                    let answer = browser.try_send("POST", "/keys/new", &cookie, body.as_bytes());
                    assert_eq!(answer.status, 303);
                    assert_eq!(browser.try_send("GET", "/keys", &cookie, b"").status, 303);
                    let failed = browser.try_send("POST", "/sign-in", &[], b"credential=x");
                    assert_eq!(failed.status, 401);
                }
            });
        }
    });
    browser.clone().page("/keys");
    assert!(keys(&sidecar).await.is_empty());
    sidecar.finish().await;
}

#[tokio::test]
async fn a_key_that_signs_in_without_end_ends_sessions_of_its_own_only() {
    let sidecar = Sidecar::start();
    let (_, greedy) = make(&sidecar, "web", "super_admin", &[]).await;
    let (_, other) = make(&sidecar, "web", "super_admin", &[]).await;
    let (mut there, mut operator) = (Browser::signed_in(&sidecar, &other), operator(&sidecar));
    let form = encoded(&[("credential", &greedy)]);
    let browser = Browser::new(&sidecar);
    for _ in 0..1100 {
        let answer = browser.try_send("POST", "/sign-in", &[], form.as_bytes());
        assert_eq!(answer.status, 303, "{answer:?}");
    }
    there.page("/keys");
    operator.page("/keys");
    sidecar.finish().await;
}

#[tokio::test]
async fn visitors_who_change_one_key_at_once_change_it_one_after_the_other() {
    let sidecar = Sidecar::start();
    let (key, _) = make(&sidecar, "web", "writer", &[]).await;
    let browser = operator(&sidecar);
    let answers: Vec<_> = thread::scope(|scope| {
        let sent: Vec<_> = (0..8)
            .map(|number| {
                let (mut browser, etag) = (browser.clone(), key.etag.as_str());
                let path = format!("/keys/{}/{}", key.id, ["status", "rotate"][number % 2]);
                let form = [("etag", etag), ("status", "inactive"), ("overlap", "1d")];
                scope.spawn(move || browser.post(&path, &form).status)
            })
            .collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    let done = answers.iter().filter(|status| **status != 409);
    assert_eq!(done.count(), 1, "{answers:?}");
    // As many new keys as forms.
    thread::scope(|scope| {
        for number in 0..8 {
            let mut browser = browser.clone();
            let form = new_key(&format!("number {number}"), "writer");
            scope.spawn(move || assert_eq!(browser.post("/keys/new", &form).status, 200));
        }
    });
    assert_eq!(keys(&sidecar).await.len(), 9);
    sidecar.finish().await;
}
