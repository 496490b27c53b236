//! Signing in: who fails too often, who is let in, and what is told of those who are not.

use octavia_authz::pb::v1::{GetStatusRequest, ListApiKeysRequest};
use tonic::Code;

use super::{
    browser::{Browser, encoded},
    html, make, operator, state,
};
use crate::{ops::value, sidecar::Sidecar};

const FAILED: &str = "octavia_authz_admin_sign_ins_failed_total";
const WRONG: &str = "octo_0000000000000000000000000000000000000000000";

/// The code of one call of the admin API.
async fn call(sidecar: &Sidecar, credential: &str) -> Code {
    let mut keys = sidecar.keys_as(credential).await;
    keys.list_api_keys(ListApiKeysRequest::default())
        .await
        .map_or_else(|status| status.code(), |_| Code::Ok)
}

/// One sign-in in a browser of its own.
fn sign_in(sidecar: &Sidecar, credential: &str) -> super::browser::Answer {
    Browser::new(sidecar).post("/sign-in", &[("credential", credential)])
}

#[tokio::test]
async fn failures_of_both_apis_count_together_and_the_operator_is_always_let_in() {
    let sidecar = Sidecar::start_with(&["--max-failed-sign-ins", "4"]);
    let (_, good) = make(&sidecar, "web", "super_admin", &[]).await;
    let mut before = Browser::signed_in(&sidecar, &good);
    for _ in 0..2 {
        assert_eq!(sign_in(&sidecar, WRONG).status, 401);
        assert_eq!(call(&sidecar, WRONG).await, Code::Unauthenticated);
        assert_eq!(sign_in(&sidecar, &good).status, 303);
    }
    // The next shows that the four are used up.
    assert_eq!(sign_in(&sidecar, "").status, 422, "nothing is no failure");
    assert_eq!(sign_in(&sidecar, "octv_nonsense").status, 401);
    for credential in [WRONG, good.as_str(), "x"] {
        let answer = sign_in(&sidecar, credential);
        assert_eq!(answer.status, 429, "{answer:?}");
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=16).contains(&seconds), "{seconds}");
        assert!(answer.body.contains("too many sign-ins") || answer.body.contains("Too many"));
        assert_eq!(answer.header("set-cookie"), None);
        assert!(!answer.body.contains(&good[16..]));
    }
    assert_eq!(call(&sidecar, &good).await, Code::ResourceExhausted);
    assert_eq!(value(&sidecar.ops_listen, FAILED), Some(5.0));
    operator(&sidecar).page("/keys");
    // Who is signed in already stays so.
    before.page("/keys");
    sidecar.finish().await;
}

#[tokio::test]
async fn failures_over_grpc_keep_a_browser_out_too() {
    let sidecar = Sidecar::start_with(&["--max-failed-sign-ins", "3"]);
    let (_, good) = make(&sidecar, "web", "super_admin", &[]).await;
    for _ in 0..4 {
        assert_eq!(call(&sidecar, WRONG).await, Code::Unauthenticated);
    }
    assert_eq!(sign_in(&sidecar, &good).status, 429);
    assert_eq!(sign_in(&sidecar, &sidecar.operator_token()).status, 303);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_failed_sign_in_is_counted_and_logged_without_what_was_typed_and_changes_nothing() {
    let sidecar = Sidecar::start();
    let (_, good) = make(&sidecar, "web", "super_admin", &[]).await;
    let before = state(&sidecar).await;
    let failed = value(&sidecar.ops_listen, FAILED).unwrap();
    let operator = sidecar.operator_token();
    let changed = |text: &str| format!("{}0", &text[..text.len() - 1]);
    let typed = [
        WRONG.to_owned(),
        changed(&good),
        changed(&operator),
        good.to_lowercase(),
        format!("{good} {operator}"),
        format!("Bearer {good}"),
        "canary-of-a-password".to_owned(),
        "\"><script>alert(1)</script>".to_owned(),
        "é\u{0}\u{7f}".to_owned(),
        "x".repeat(10_000),
    ];
    let mut browser = Browser::new(&sidecar);
    for text in &typed {
        let answer = browser.post("/sign-in", &[("credential", text.as_str())]);
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(html::field(&answer.body, "credential").as_deref(), Some(""));
        assert!(!answer.body.contains(text.as_str()) && browser.cookies.is_empty());
    }
    let now = value(&sidecar.ops_listen, FAILED).unwrap();
    assert_eq!(now - failed, 10.0);
    assert_eq!(state(&sidecar).await, before);
    let log = sidecar.finish().await;
    assert!(log.contains(r#""api":"dashboard""#), "{log}");
    for text in &typed {
        assert!(!log.contains(&text[..text.len().min(20)]) || !text.is_ascii(), "{log}");
    }
}

#[tokio::test]
async fn only_the_body_of_a_sign_in_is_asked_for_a_credential() {
    let sidecar = Sidecar::start();
    let token = sidecar.operator_token();
    let mut browser = Browser::new(&sidecar);
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("x-api-key", token.as_str())];
    assert!(browser.send("GET", "/keys", &headers, b"").asks_to_sign_in());
    let path = format!("/sign-in?{}", encoded(&[("credential", &token)]));
    assert_eq!(browser.send("GET", &path, &headers, b"").status, 200);
    assert_eq!(browser.send("POST", &path, &headers, b"next=/keys").status, 422);
    let both = encoded(&[("credential", WRONG), ("credential", token.as_str())]);
    assert_eq!(browser.send("POST", "/sign-in", &[], both.as_bytes()).status, 401);
    assert!(browser.cookies.is_empty());
    sidecar.finish().await;
}

#[tokio::test]
async fn who_may_not_see_keys_is_told_so_and_not_let_in() {
    let sidecar = Sidecar::start();
    let failed = value(&sidecar.ops_listen, FAILED).unwrap();
    for role in ["admin", "managing_editor", "publisher", "editor", "writer", "read_only"] {
        let (_, text) = make(&sidecar, "web", role, &[]).await;
        let mut browser = Browser::new(&sidecar);
        let answer = browser.post("/sign-in", &[("credential", text.as_str())]);
        assert_eq!(answer.status, 403, "{role}: {answer:?}");
        assert!(answer.body.contains("it needs the right api_keys.read"), "{answer:?}");
        assert!(browser.cookies.is_empty());
    }
    // A key that is good is no guess.
    assert_eq!(value(&sidecar.ops_listen, FAILED), Some(failed));
    let (_, text) = make(&sidecar, "web", "admin", &["api_keys.read"]).await;
    Browser::signed_in(&sidecar, &text).page("/keys");
    sidecar.finish().await;
}

#[tokio::test]
async fn a_body_that_is_no_form_signs_nobody_in() {
    let sidecar = Sidecar::start();
    let token = sidecar.operator_token();
    let mut browser = Browser::new(&sidecar);
    let long = format!("{}&padding={}", encoded(&[("credential", &token)]), "a".repeat(16 << 10));
    assert_eq!(browser.send("POST", "/sign-in", &[], long.as_bytes()).status, 413);
    let json = format!("{{\"credential\":\"{token}\"}}");
    let wrong: [&[u8]; 5] =
        [json.as_bytes(), b"", b"\xff\xfe=\xff", b"credential", b"%%%=%zz&&&==="];
    for body in wrong {
        let answer = browser.send("POST", "/sign-in", &[], body);
        assert_eq!(answer.status, 422, "{answer:?}");
    }
    assert!(browser.cookies.is_empty());
    let mut maintenance = sidecar.maintenance_as(&token).await;
    maintenance.get_status(GetStatusRequest {}).await.unwrap();
    sidecar.finish().await;
}
