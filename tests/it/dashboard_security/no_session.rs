//! Who is not signed in sees the sign-in, and is led nowhere else.

use super::{
    browser::{Answer, Browser, COOKIE, encoded, quoted},
    forms, html, make, operator, pages, state,
};
use crate::sidecar::Sidecar;

/// Whether a browser that is sent to `location` stays on the dashboard.
fn stays_here(location: &str) -> bool {
    // As https://url.spec.whatwg.org/ has it.
    let seen: String = location.chars().filter(|c| !"\t\r\n".contains(*c)).collect();
    let seen = seen.trim_matches(|c: char| c <= ' ').replace('\\', "/");
    seen.starts_with('/') && !seen.starts_with("//")
}

/// Browsers that have no session, though some look as if.
fn strangers(sidecar: &Sidecar) -> Vec<Browser> {
    let signed_out = {
        let mut browser = operator(sidecar);
        let (session, nothing) = (browser.session(), [("", ""); 0]);
        assert_eq!(browser.post("/sign-out", &nothing).status, 303);
        session
    };
    let good = operator(sidecar).session();
    let cookies = [
        (COOKIE, signed_out),
        (COOKIE, "0".repeat(43)),
        (COOKIE, good[1..].to_owned()),
        (COOKIE, good.to_lowercase()),
        (COOKIE, format!("{good}0")),
        (COOKIE, sidecar.operator_token()),
        (COOKIE, String::new()),
        ("octavia-session", good.clone()),
        ("octavia-session1", good.clone()),
        ("__Host-octavia-session8480", good),
    ];
    let mut strangers = vec![Browser::new(sidecar)];
    strangers.extend(cookies.into_iter().map(|(name, value)| {
        let mut browser = Browser::new(sidecar);
        browser.cookies.insert(name.to_owned(), value);
        browser
    }));
    strangers
}

#[tokio::test]
async fn without_a_session_every_page_and_form_asks_to_sign_in_shows_nothing_and_does_nothing() {
    let sidecar = Sidecar::start();
    let (key, _) = make(&sidecar, "hidden-team", "writer", &[]).await;
    let strangers = strangers(&sidecar);
    let before = state(&sidecar).await;
    let shows_nothing = |path: &str, answer: &Answer| {
        for secret in ["hidden-team", "a writer", "Sign out", "form_token", "Super Admin"] {
            assert!(!answer.body.contains(secret), "{path}: {answer:?}");
        }
    };
    for stranger in strangers {
        let get = |path: &str| stranger.clone().get(path);
        for path in pages(&key.id) {
            let answer = get(&path);
            match path.starts_with("/audit/news") {
                true => assert_eq!(answer.status, 401, "{answer:?}"),
                false if path == "/" => assert_eq!(answer.location(), "/keys"),
                false => assert!(answer.asks_to_sign_in(), "{path}: {answer:?}"),
            }
            shows_nothing(&path, &answer);
        }
        for path in ["/no-such-page", "/keys/", "/keys/bulk", "/audit/verify", "/%ff", "/keys/%ff"]
        {
            let answer = get(path);
            assert!(answer.asks_to_sign_in(), "{path}: {answer:?}");
        }
        for (path, form) in forms(&key) {
            let answer = stranger.clone().post(&path, &form);
            assert!(answer.asks_to_sign_in(), "{path}: {answer:?}");
            shows_nothing(&path, &answer);
        }
        for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "FORM"] {
            for path in ["/keys", "/keys/new", "/no-such-page"] {
                let answer = stranger.clone().send(method, path, &[], b"");
                assert!(answer.asks_to_sign_in(), "{method} {path}: {answer:?}");
            }
        }
    }
    assert_eq!(state(&sidecar).await, before);
    sidecar.finish().await;
}

#[tokio::test]
async fn the_sign_in_and_what_it_looks_like_need_no_session() {
    let sidecar = Sidecar::start();
    let mut browser = Browser::new(&sidecar);
    let page = browser.page("/sign-in");
    let tags = html::tags(&page);
    let assets = tags.iter().filter_map(|tag| tag.get("src").or(tag.get("href")));
    let assets: Vec<_> = assets.filter(|path| path.starts_with("/assets/")).collect();
    assert!(assets.len() >= 3, "{assets:?}");
    for asset in assets {
        browser.page(asset);
    }
    sidecar.finish().await;
}

const ELSEWHERE: [&str; 20] = [
    "//evil.example",
    "///evil.example",
    "https://evil.example/keys",
    "HTTPS:evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\nset-cookie: a=b",
    "\t//evil.example",
    " //evil.example",
    "\u{0}//evil.example",
    "evil.example",
    "keys",
    "",
    "?a",
    "/\u{85}/evil.example",
    "/é",
];

#[tokio::test]
async fn after_the_sign_in_nobody_is_led_away_from_the_dashboard() {
    let sidecar = Sidecar::start();
    let token = sidecar.operator_token();
    let (_, another) = make(&sidecar, "web", "super_admin", &[]).await;
    let mut there = Browser::signed_in(&sidecar, &another);
    for next in ELSEWHERE {
        // As it is, and encoded once more than it should be.
        for next in [next.to_owned(), quoted(next)] {
            let mut browser = Browser::new(&sidecar);
            let page = browser.page(&format!("/sign-in?next={}", quoted(&next)));
            let field = html::field(&page, "next").unwrap();
            assert_eq!(field, "/keys", "{next:?}");
            let answer = browser
                .post("/sign-in", &[("credential", token.as_str()), ("next", next.as_str())]);
            assert_eq!((answer.status, answer.location()), (303, "/keys"), "{next:?}");
            // Who is signed in is sent on at once.
            let answer = there.get(&format!("/sign-in?next={}", quoted(&next)));
            assert_eq!((answer.status, answer.location()), (303, "/keys"), "{next:?}");
            // Of two, the first counts.
            let two = [("next", "/roles"), ("next", next.as_str()), ("credential", token.as_str())];
            assert_eq!(Browser::new(&sidecar).post("/sign-in", &two).location(), "/roles");
        }
    }
    for next in ["/roles", "/keys?q=a&status=active", "/keys/0000000000/revoke", "/audit?from=%22"]
    {
        let answer = Browser::new(&sidecar)
            .post("/sign-in", &[("credential", token.as_str()), ("next", next)]);
        assert_eq!((answer.status, answer.location()), (303, next));
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn whatever_address_a_stranger_asks_for_the_way_back_stays_on_the_dashboard() {
    let sidecar = Sidecar::start();
    let token = sidecar.operator_token();
    for path in [
        "//evil.example/keys",
        "//evil.example",
        "/\\evil.example",
        "http://evil.example/keys",
        "https://evil.example//evil.example",
        "/keys?next=//evil.example",
        "/%2f%2fevil.example",
        "/%0d%0aset-cookie:%20a=b",
        "/.//evil.example",
        "/keys/..//evil.example",
        "/keys?q=%22%3e%3cscript%3e&next=a",
    ] {
        let mut browser = Browser::new(&sidecar);
        let answer = browser.try_send("GET", path, &[], b"");
        if answer.status == 400 {
            // It is no address.
            continue;
        }
        answer.is_guarded();
        assert!(answer.asks_to_sign_in(), "{path}: {answer:?}");
        let page = browser.page(answer.location());
        let next = html::field(&page, "next").unwrap();
        assert!(stays_here(&next), "{path}: {next}");
        let form = encoded(&[("credential", token.as_str()), ("next", &next)]);
        let answer = browser.send("POST", "/sign-in", &[], form.as_bytes());
        assert_eq!(answer.status, 303, "{path}: {answer:?}");
        assert!(stays_here(answer.location()), "{path}: {answer:?}");
        assert_eq!(answer.headers.iter().filter(|(name, _)| name == "set-cookie").count(), 1);
    }
    // A secret is taken out of an address by another redirect.
    let secret = format!("octv_AAAAAAAAAA_{}", "A".repeat(38));
    for path in [
        "//evil.example/phish",
        "///evil.example",
        "/\\evil.example",
        "http://evil.example//evil.example",
        "/keys",
    ] {
        for path in [format!("{path}?q={secret}"), format!("{path}/{secret}")] {
            for method in ["GET", "HEAD"] {
                let answer = Browser::new(&sidecar).try_send(method, &path, &[], b"");
                if answer.status == 400 {
                    continue;
                }
                assert_eq!(answer.status, 303, "{method} {path}: {answer:?}");
                assert!(stays_here(answer.location()), "{method} {path}: {answer:?}");
                assert!(!answer.location().contains(&secret), "{method} {path}: {answer:?}");
            }
            // A form is not sent anywhere else.
            let answer = Browser::new(&sidecar).try_send("POST", &path, &[], b"");
            assert_eq!(answer.status, 400, "{path}: {answer:?}");
            assert!(!answer.body.contains(&secret), "{path}: {answer:?}");
        }
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn who_follows_a_link_of_another_site_is_led_on_once_and_keeps_the_session() {
    let sidecar = Sidecar::start();
    let linked = [("sec-fetch-site", "cross-site")];
    let path = "/keys?q=a&status=active";
    let mut browser = operator(&sidecar);
    // A browser keeps the cookie to itself, and asks again for a page of ours.
    let answer = Browser::new(&sidecar).send("GET", path, &linked, b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    let tags = html::tags(&answer.body);
    let refresh = tags.iter().find_map(|tag| tag.get("http-equiv").and(tag.get("content")));
    assert_eq!(refresh, Some("0; url=/keys?q=a&status=active"));
    let own = [("sec-fetch-site", "same-origin")];
    assert_eq!(browser.send("GET", path, &own, b"").status, 200);
    // Who has no session is asked to sign in then.
    assert!(Browser::new(&sidecar).send("GET", path, &own, b"").asks_to_sign_in());
    // It leads nowhere else, and a session that came along is enough.
    assert_eq!(browser.send("GET", path, &linked, b"").status, 200);
    let elsewhere = Browser::new(&sidecar).send("GET", "//evil.example/", &linked, b"");
    assert!(elsewhere.body.contains("url=/keys"), "{elsewhere:?}");
    assert!(!elsewhere.body.contains("evil"), "{elsewhere:?}");
    sidecar.finish().await;
}
