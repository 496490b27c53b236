//! Sessions: their cookie, their name, and how many there may be.

use super::{
    browser::{Answer, Browser, COOKIE, encoded},
    make, operator,
};
use crate::sidecar::Sidecar;

/// The attributes of the cookie that an answer sets, in order.
fn attributes(answer: &Answer) -> Vec<String> {
    let cookie = answer.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {answer:?}"));
    let mut attributes: Vec<_> = cookie.split("; ").skip(1).map(str::to_owned).collect();
    attributes.sort();
    attributes
}

fn name(answer: &Answer) -> String {
    answer.header("set-cookie").unwrap().split('=').next().unwrap().to_owned()
}

#[tokio::test]
async fn the_cookie_is_for_this_host_alone_and_for_no_script() {
    let sidecar = Sidecar::start();
    let token = sidecar.operator_token();
    let mut browser = Browser::new(&sidecar);
    let answer = browser.post("/sign-in", &[("credential", token.as_str())]);
    assert_eq!(name(&answer), COOKIE);
    assert_eq!(attributes(&answer), ["HttpOnly", "Path=/", "SameSite=Strict"]);
    assert_eq!(browser.session().len(), 43);
    browser = operator(&sidecar);
    let answer = browser.post("/sign-out", &[("", ""); 0]);
    assert_eq!(attributes(&answer), ["HttpOnly", "Max-Age=0", "Path=/", "SameSite=Strict"]);
    assert!(browser.cookies.is_empty());
    // Behind a proxy that speaks TLS.
    let form = encoded(&[("credential", &token)]);
    let https = [("x-forwarded-proto", "https")];
    let answer = Browser::new(&sidecar).send("POST", "/sign-in", &https, form.as_bytes());
    assert_eq!(name(&answer), format!("__Host-{COOKIE}"));
    assert_eq!(attributes(&answer), ["HttpOnly", "Path=/", "SameSite=Strict", "Secure"]);
    // A host cannot put anything into it.
    for host in ["a:1;Domain=evil.example", "a:80, b=c", "a:", "a", "[::1]:8480", "a:99999999999"] {
        let answer =
            Browser::new(&sidecar).try_send("POST", "/sign-in", &[("host", host)], form.as_bytes());
        if answer.status == 303 {
            assert_eq!(attributes(&answer), ["HttpOnly", "Path=/", "SameSite=Strict"], "{host}");
            let digits = name(&answer).strip_prefix("octavia-session").unwrap().to_owned();
            assert!(digits.len() <= 5 && digits.chars().all(|c| c.is_ascii_digit()), "{host}");
        }
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn nobody_chooses_the_name_of_a_session_and_every_sign_in_has_another() {
    let sidecar = Sidecar::start();
    let token = sidecar.operator_token();
    let planted = "planted".repeat(6) + "x";
    let mut browser = Browser::new(&sidecar);
    browser.cookies.insert(COOKIE.to_owned(), planted.clone());
    let mut names = vec![planted];
    for _ in 0..5 {
        assert_eq!(browser.sign_in(&token).status, 303);
        assert!(!names.contains(&browser.session()));
        names.push(browser.session());
        // A failure leaves the session as it is.
        assert_eq!(browser.post("/sign-in", &[("credential", "wrong")]).status, 401);
        assert_eq!(Some(&browser.session()), names.last());
    }
    // Signing in again has ended those before.
    let last = names.pop();
    for name in names {
        let mut thief = Browser::new(&sidecar);
        thief.cookies.insert(COOKIE.to_owned(), name);
        assert!(thief.get("/keys").asks_to_sign_in());
    }
    assert_eq!(last, Some(browser.session()));
    browser.page("/keys");
    sidecar.finish().await;
}

#[tokio::test]
async fn signing_out_ends_the_session_for_whoever_has_its_name() {
    let sidecar = Sidecar::start();
    let mut browser = operator(&sidecar);
    let mut thief = browser.clone();
    let mut other = operator(&sidecar);
    thief.page("/keys");
    assert_eq!(browser.post("/sign-out", &[("", ""); 0]).location(), "/sign-in?why=out");
    assert!(browser.get("/keys").asks_to_sign_in());
    assert!(thief.get("/keys").asks_to_sign_in());
    other.page("/keys");
    sidecar.finish().await;
}

#[tokio::test]
async fn of_33_sessions_of_one_credential_the_idlest_ends_and_no_other() {
    let sidecar = Sidecar::start();
    let (_, text) = sidecar.create("super_admin").await;
    let mut another = operator(&sidecar);
    let mut browsers: Vec<_> = (0..32).map(|_| Browser::signed_in(&sidecar, &text)).collect();
    // Signing in shows a page; so the first was done nothing in for longest.
    browsers[0].page("/keys");
    browsers.push(Browser::signed_in(&sidecar, &text));
    for (number, browser) in browsers.iter_mut().enumerate() {
        let is_ended = browser.get("/keys").asks_to_sign_in();
        assert_eq!(is_ended, number == 1, "session {number}");
    }
    another.page("/keys");
    sidecar.finish().await;
}

#[tokio::test]
async fn many_keys_of_a_team_that_sign_in_sign_out_neither_the_operator_nor_another_team() {
    let sidecar = Sidecar::start();
    let mut there = operator(&sidecar);
    let (_, text) = make(&sidecar, "web", "super_admin", &[]).await;
    let mut another = Browser::signed_in(&sidecar, &text);
    for _ in 0..33 {
        let (_, text) = make(&sidecar, "shop", "super_admin", &[]).await;
        for _ in 0..32 {
            let answer = Browser::new(&sidecar).post("/sign-in", &[("credential", &text)]);
            assert_eq!(answer.status, 303, "{answer:?}");
        }
    }
    there.page("/roles");
    another.page("/roles");
    sidecar.finish().await;
}

#[tokio::test]
async fn a_restart_ends_all_sessions() {
    let temporary = tempfile::TempDir::new().unwrap();
    let sidecar = Sidecar::start_on(temporary.path(), &[]);
    let mut browser = operator(&sidecar);
    browser.page("/keys");
    sidecar.stop().await;
    let sidecar = Sidecar::start_on(temporary.path(), &[]);
    let mut again = Browser::new(&sidecar);
    again.cookies = browser.cookies;
    assert!(again.get("/keys").asks_to_sign_in());
    sidecar.finish().await;
}
