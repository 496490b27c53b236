//! Credentials that go through the dashboard are in no log, metric, event or address, and the text of
//! a new key is in one answer.

use octavia_authz::pb::v1::ListAuditEventsRequest;

use super::{
    browser::{Answer, Browser, quoted},
    edit, html, keys, make, new_key, operator,
};
use crate::{ops::get, sidecar::Sidecar};

/// The text of the key that a page shows.
fn shown(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let tags = html::tags(&answer.body);
    let field = tags.iter().find(|tag| tag.get("id") == Some("key-text")).unwrap();
    field.get("value").unwrap().to_owned()
}

/// The part that nobody knows.
fn secret(text: &str) -> &str {
    assert_eq!(text.len(), 54, "{text}");
    &text[16..48]
}

#[tokio::test]
async fn the_text_of_a_new_key_is_in_one_answer_and_nowhere_after() {
    let sidecar = Sidecar::start_with(&["--log-level", "trace,h2=trace,sled=info"]);
    let mut browser = operator(&sidecar);
    let form = new_key("once", "super_admin");
    let made = browser.post("/keys/new", &form);
    let first = shown(&made);
    assert_eq!(made.header("cache-control"), Some("no-store"));
    assert_eq!(made.header("location"), None);
    let key = keys(&sidecar).await.pop().unwrap();
    let path = format!("/keys/{}/rotate", key.id);
    let rotated = browser.post(&path, &[("etag", key.etag.as_str()), ("overlap", "1d")]);
    let second = shown(&rotated);
    assert_ne!(first, second);
    // Both are good, and neither is shown again, by whatever is sent.
    let mut as_key = Browser::signed_in(&sidecar, &first);
    Browser::signed_in(&sidecar, &second);
    let mut said = Vec::new();
    for path in super::pages(&key.id) {
        said.push(browser.get(&path).body);
        said.push(as_key.get(&path).body);
    }
    said.push(browser.post("/keys/new", &form).body);
    said.push(browser.post(&path, &[("etag", key.etag.as_str()), ("overlap", "1d")]).body);
    let key = keys(&sidecar).await.pop().unwrap();
    let mut renamed = edit(&key);
    renamed.push(("name", "twice".to_owned()));
    assert_eq!(browser.post(&format!("/keys/{}", key.id), &renamed).status, 303);
    said.push(browser.page("/audit"));
    said.push(get(&sidecar.ops_listen, "/metrics").text().to_owned());
    let list = ListAuditEventsRequest { page_size: 1000, ..Default::default() };
    let channel = crate::sidecar::connect(&sidecar.admin_listen).await;
    let bearer = crate::sidecar::Bearer::new(&sidecar.operator_token());
    let mut audit =
        octavia_authz::pb::v1::audit_service_client::AuditServiceClient::with_interceptor(
            channel, bearer,
        );
    said.push(format!("{:?}", audit.list_audit_events(list).await.unwrap()));
    let (token, session) = (sidecar.operator_token(), browser.session());
    let form_token = browser.form_token.clone();
    let log = sidecar.finish().await;
    assert!(log.contains("\"TRACE\""));
    said.push(log.clone());
    for said in &said {
        for text in [secret(&first), secret(&second), &token[8..40], &session] {
            assert!(!said.contains(text), "{said}");
        }
    }
    assert!(!log.contains(&form_token));
}

#[tokio::test]
async fn a_key_whose_text_was_put_into_an_address_is_not_repeated() {
    let sidecar = Sidecar::start();
    let (key, text) = make(&sidecar, "web", "writer", &[]).await;
    let mut browser = operator(&sidecar);
    let (secret, typed) = (secret(&text), quoted(&text));
    let by_id = [
        (format!("/keys?q={typed}"), format!("/keys?q={}", key.id)),
        (format!("/simulate?key={typed}"), format!("/simulate?key={}", key.id)),
        (format!("/audit?key={typed}"), format!("/audit?key={}", key.id)),
        (
            format!("/audit?actor={typed}&kind=create"),
            format!("/audit?actor={}&kind=create", key.id),
        ),
    ];
    for (path, by_id) in by_id {
        let answer = browser.get(&path);
        assert_eq!((answer.status, answer.location()), (303, by_id.as_str()), "{path}");
        browser.page(&by_id);
    }
    for path in ["", "/rotate", "/revoke"] {
        let asked = format!("/keys/{text}{path}");
        let by_id = format!("/keys/{}{path}", key.id);
        let encoded = asked.replace('_', "%5F");
        for asked in [&asked, &encoded, &format!("{asked}?q={typed}")] {
            // Nor is it by the sign-in.
            for browser in [&mut browser, &mut Browser::new(&sidecar)] {
                let answer = browser.get(asked);
                assert_eq!(answer.status, 303, "{answer:?}");
                let (to, _) = answer.location().split_once('?').unwrap_or((answer.location(), ""));
                assert_eq!(to, by_id, "{answer:?}");
                assert!(!format!("{answer:?}").contains(secret), "{answer:?}");
            }
        }
    }
    let bulk = browser.post("/keys/bulk", &[("action", "revoke"), ("key", text.as_str())]);
    assert!(bulk.body.contains("never send a key"), "{bulk:?}");
    let log = sidecar.finish().await;
    assert!(!log.contains(secret), "{log}");
}
