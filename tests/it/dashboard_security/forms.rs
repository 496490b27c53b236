//! Forms that are sent twice, late, or by hand.

use std::thread;

use octavia_authz::pb::v1::{ApiKey, KeyStatus};

use super::{
    browser::{Browser, encoded},
    edit, html, keys, make, new_key, operator, state,
};
use crate::sidecar::Sidecar;

#[tokio::test]
async fn a_form_that_is_sent_twice_makes_one_key_even_side_by_side() {
    let sidecar = Sidecar::start();
    let mut browser = operator(&sidecar);
    let form = html::field(&browser.page("/keys/new"), "form").unwrap();
    let filled = |name: &str, form: &str| {
        let mut fields = new_key(name, "writer");
        fields.retain(|(name, _)| *name != "form");
        fields.push(("form", form.to_owned()));
        fields
    };
    // Wrong, it may be sent again.
    assert_eq!(browser.post("/keys/new", &filled("", &form)).status, 422);
    let answers: Vec<_> = thread::scope(|scope| {
        let sent = (0..8).map(|_| {
            let (mut browser, fields) = (browser.clone(), filled("one", &form));
            scope.spawn(move || browser.post("/keys/new", &fields))
        });
        let sent: Vec<_> = sent.collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409], "{answers:?}");
    assert_eq!(keys(&sidecar).await.len(), 1);
    assert_eq!(browser.post("/keys/new", &filled("one", &form)).status, 409);
    // Nor does one with another name for another key, or without a name of ours.
    assert_eq!(browser.post("/keys/new", &filled("other", &form)).status, 409);
    for form in ["", "x", &"x".repeat(44), &"x".repeat(200_000)] {
        let answer = browser.post("/keys/new", &filled("by hand", form));
        assert_eq!(answer.status, 400, "{}: {answer:?}", form.len());
    }
    assert_eq!(keys(&sidecar).await.len(), 1);
    sidecar.finish().await;
}

/// A key as it is, and the etag that it had before.
async fn changed(sidecar: &Sidecar) -> (ApiKey, String) {
    let (key, _) = make(sidecar, "web", "writer", &[]).await;
    let mut browser = operator(sidecar);
    let form = [("etag", key.etag.as_str()), ("status", "inactive")];
    assert_eq!(browser.post(&format!("/keys/{}/status", key.id), &form).status, 303);
    let now = keys(sidecar).await.into_iter().find(|now| now.id == key.id).unwrap();
    assert_ne!(now.etag, key.etag);
    (now, key.etag)
}

#[tokio::test]
async fn a_form_of_a_key_that_has_changed_since_does_nothing() {
    let sidecar = Sidecar::start();
    let (key, stale) = changed(&sidecar).await;
    let mut browser = operator(&sidecar);
    let before = keys(&sidecar).await;
    let of = |rest: &str| format!("/keys/{}{rest}", key.id);
    for etag in [stale.as_str(), "\"", "wrong", "*"] {
        let mut form = edit(&ApiKey { etag: etag.to_owned(), ..key.clone() });
        form.push(("name", "changed".to_owned()));
        assert_eq!(browser.post(&of(""), &form).status, 409, "{etag}");
        let active = [("etag", etag), ("status", "active")];
        assert_eq!(browser.post(&of("/status"), &active).status, 409, "{etag}");
        let rotate = [("etag", etag), ("overlap", "none")];
        assert_eq!(browser.post(&of("/rotate"), &rotate).status, 409, "{etag}");
        let revoke = [("etag", etag), ("name", key.id.as_str())];
        assert_eq!(browser.post(&of("/revoke"), &revoke).status, 409, "{etag}");
        let one = format!("{}:{etag}", key.id);
        for action in ["enable", "revoke"] {
            let bulk =
                [("action", action), ("confirmed", "yes"), ("count", "1"), ("key", one.as_str())];
            let answer = browser.post("/keys/bulk", &bulk);
            assert!(answer.body.contains("changed meanwhile"), "{etag}: {answer:?}");
        }
    }
    // Without one, who sent the form did not see what is changed.
    let mut form = edit(&ApiKey { etag: String::new(), ..key.clone() });
    form.push(("name", "changed".to_owned()));
    for (path, form) in [
        (of(""), form),
        (of("/rotate"), vec![("overlap", "none".to_owned())]),
        (of("/revoke"), vec![("name", key.id.clone())]),
        (of("/status"), vec![("status", "active".to_owned())]),
    ] {
        assert_eq!(browser.post(&path, &form).status, 400, "{path}");
    }
    assert_eq!(keys(&sidecar).await, before);
    sidecar.finish().await;
}

#[tokio::test]
async fn what_is_no_choice_of_a_form_is_none() {
    let sidecar = Sidecar::start();
    let (key, _) = make(&sidecar, "web", "writer", &[]).await;
    let mut browser = operator(&sidecar);
    let before = keys(&sidecar).await;
    let of = |rest: &str| format!("/keys/{}{rest}", key.id);
    let etag = ("etag", key.etag.as_str());
    let one = format!("{}:{}", key.id, key.etag);
    for (path, form, status) in [
        (of("/status"), vec![etag, ("status", "ACTIVE")], 400),
        (of("/status"), vec![etag], 400),
        (of("/rotate"), vec![etag, ("overlap", "90000d")], 400),
        (of("/rotate"), vec![etag, ("overlap", "")], 400),
        (of("/revoke"), vec![etag, ("name", "")], 422),
        (of("/revoke"), vec![etag, ("name", "A writer of web")], 422),
        (of(""), vec![etag, ("name", "b"), ("role", "writer"), ("expires", "yesterday")], 422),
        (of(""), vec![etag, ("name", "b"), ("role", "god"), ("expires", "keep")], 422),
        ("/keys/bulk".to_owned(), vec![("action", "rotate"), ("key", &one)], 400),
        ("/keys/bulk".to_owned(), vec![("action", "revoke")], 422),
    ] {
        let answer = browser.post(&path, &form);
        assert_eq!(answer.status, status, "{path} {form:?}: {answer:?}");
    }
    // Revoking many asks for their number; and for what was shown of them.
    for (count, key) in [("2", &one), ("", &one), ("01", &one), ("1", &key.id)] {
        let bulk = [("action", "revoke"), ("confirmed", "yes"), ("count", count), ("key", key)];
        let answer = browser.post("/keys/bulk", &bulk);
        assert!(answer.body.contains("nothing was done") || answer.status == 400, "{answer:?}");
    }
    assert_eq!(keys(&sidecar).await, before);
    // Of two values the first counts.
    let twice = [etag, ("status", "inactive"), ("status", "active")];
    assert_eq!(browser.post(&of("/status"), &twice).status, 303);
    assert_eq!(keys(&sidecar).await[0].status(), KeyStatus::Inactive);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_form_of_no_sense_is_refused_and_the_sidecar_goes_on() {
    let sidecar = Sidecar::start();
    let (key, _) = make(&sidecar, "web", "writer", &[]).await;
    let mut browser = operator(&sidecar);
    let before = keys(&sidecar).await;
    let token = encoded(&[("form_token", browser.form_token.clone())]);
    let many = format!("{token}{}", "&a=b".repeat(50_000));
    let grants = format!(
        "{token}&name=x&role=admin&expires=30d&form={}{}",
        "x".repeat(43),
        "&grant.admin=billing.read".repeat(9_000)
    );
    let labels = format!(
        "{token}&name=x&role=writer&expires=30d&form={}&labels={}",
        "x".repeat(43),
        "a%3Db%0A".repeat(20_000)
    );
    let long = format!("{token}&name={}&role=writer&expires=30d", "a".repeat(200_000));
    let utf8 = [token.as_bytes(), b"&name=\xff\xfe&role=\xff&expires=%ff&etag=%ff"].concat();
    let empty = format!("{token}&&&==&=&%&%z&name");
    for body in [
        many.as_bytes(),
        grants.as_bytes(),
        labels.as_bytes(),
        long.as_bytes(),
        &utf8,
        empty.as_bytes(),
    ] {
        for (path, _) in super::forms(&key) {
            if path != "/sign-out" && path != "/audit/verify" {
                let answer = browser.send("POST", &path, &[], body);
                assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
            }
        }
    }
    let huge = vec![b'a'; 1 << 20];
    for (path, _) in super::forms(&key) {
        assert_eq!(browser.send("POST", &path, &[], &huge).status, 413);
    }
    let bulk = |count: usize| {
        let mut body = format!("{token}&action=disable");
        (0..count).for_each(|number| body.push_str(&format!("&key=0000000{number:03}")));
        body
    };
    let answer = browser.send("POST", "/keys/bulk", &[], bulk(1001).as_bytes());
    assert_eq!(answer.status, 400, "{answer:?}");
    let answer = browser.send("POST", "/keys/bulk", &[], bulk(1000).as_bytes());
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("1000 are left alone"));
    assert_eq!(keys(&sidecar).await, before);
    sidecar.finish().await;
}

#[tokio::test]
async fn looking_changes_nothing_whatever_is_looked_at() {
    let sidecar = Sidecar::start();
    let (key, _) = make(&sidecar, "web", "writer", &[]).await;
    let mut browser: Browser = operator(&sidecar);
    let before = state(&sidecar).await;
    for (path, form) in super::forms(&key) {
        let mut form = form;
        form.push(("form_token", browser.form_token.clone()));
        form.push(("_method", "POST".to_owned()));
        for path in super::pages(&key.id).into_iter().chain([path]) {
            let joint = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{joint}{}", encoded(&form));
            browser.get(&path);
            browser.send("GET", &path, &[("x-http-method-override", "POST")], b"");
            browser.send("HEAD", &path, &[], b"");
        }
    }
    assert_eq!(state(&sidecar).await, before);
    browser.page("/keys");
    sidecar.finish().await;
}
