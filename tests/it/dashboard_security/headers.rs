//! The headers of answers that are no pages. Those of pages are looked at whatever is tested.

use super::{
    browser::{ALWAYS, Answer, Browser},
    html, operator,
};
use crate::sidecar::{Sidecar, wait_until};

fn kept(answer: &Answer) -> &str {
    answer.header("cache-control").unwrap()
}

#[tokio::test]
async fn every_answer_has_them_whatever_was_asked() {
    let sidecar = Sidecar::start();
    let mut there = operator(&sidecar);
    let mut nobody = Browser::new(&sidecar);
    let large = vec![b'a'; 300 << 10];
    for (browser, of_a_key) in [(&mut there, 403), (&mut nobody, 303)] {
        // `send` looks at them.
        let asked = [
            ("GET", "/", 303),
            ("GET", "/assets/0/nothing.js", 404),
            ("GET", "/assets/0/dashboard.css", 200),
            ("POST", "/sign-in", 422),
            ("POST", "/keys/%ff", of_a_key),
        ];
        for (method, path, status) in asked {
            let answer = browser.send(method, path, &[], b"");
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
            assert!(kept(&answer) == "no-store", "{answer:?}");
        }
        assert_eq!(browser.send("POST", "/keys/new", &[], &large).status, 413);
        assert_eq!(browser.send("POST", "/sign-in", &[], &large).status, 413);
        assert_eq!(browser.send("POST", "/sign-in", &[], &large[..20 << 10]).status, 413);
        for method in ["PUT", "DELETE", "TRACE", "OPTIONS", "PROPFIND", "HEAD"] {
            browser.send(method, "/keys", &[], b"");
            browser.send(method, "/sign-in", &[], b"");
        }
        let cross = [("origin", "null")];
        assert_eq!(browser.send("POST", "/keys", &cross, b"").status, 403);
    }
    for (path, status) in [
        ("/keys/0000000000", 404),
        ("/keys/%22", 404),
        ("/nothing", 404),
        ("/keys/bulk", 404),
        ("/keys?page=x", 303),
        ("/keys/", 303),
        ("/audit/news?after=x", 400),
        ("/keys/%ff", 404),
    ] {
        let answer = there.get(path);
        assert_eq!((answer.status, kept(&answer)), (status, "no-store"), "{path}: {answer:?}");
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn an_asset_is_kept_for_good_under_its_own_version_alone() {
    let sidecar = Sidecar::start();
    let mut browser = Browser::new(&sidecar);
    let page = browser.page("/sign-in");
    let script = html::tags(&page).iter().find_map(|tag| tag.get("src").map(str::to_owned));
    let version = script.unwrap().split('/').nth(2).unwrap().to_owned();
    for (name, kind) in [
        ("dashboard.js", "text/javascript; charset=utf-8"),
        ("dashboard.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let good = browser.get(&format!("/assets/{version}/{name}"));
        assert_eq!(kept(&good), "public, max-age=31536000, immutable");
        assert_eq!(good.header("content-type"), Some(kind));
        for other in ["0", &version.to_uppercase(), &version[1..], "%2e%2e"] {
            let answer = browser.get(&format!("/assets/{other}/{name}"));
            assert_eq!((answer.status, kept(&answer)), (200, "no-store"), "{other}");
        }
    }
    for path in ["dashboard.js/", "../Cargo.toml", "..%2f..%2fCargo.toml", "%2fetc%2fpasswd", ""] {
        let answer = browser.get(&format!("/assets/{version}/{path}"));
        assert_ne!(answer.status, 200, "{path}: {answer:?}");
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn the_headers_of_answers_to_what_is_no_request_say_nothing_of_what_answers() {
    let sidecar = Sidecar::start();
    let browser = operator(&sidecar);
    let head = browser.head("GET", "/keys", &[], 0);
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(200 << 10));
    for wrong in ["GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{0}\u{1}\r\n\r\n", &long] {
        let answer = browser.send_raw(wrong.as_bytes());
        assert!((400..500).contains(&answer.status), "{answer:?}");
        assert_eq!(answer.header("server"), None);
        assert_eq!(answer.body, "");
    }
    // And it goes on.
    assert_eq!(browser.send_raw(head.as_bytes()).status, 200);
    assert_eq!(ALWAYS.len(), 8);
    sidecar.finish().await;
}

#[tokio::test]
async fn when_there_are_too_many_calls_the_one_too_many_hears_so_and_nothing_else() {
    let sidecar = Sidecar::start_with(&["--max-in-flight", "1", "--dashboard-idle-timeout", "1h"]);
    let browser = operator(&sidecar);
    let waiting = browser.clone();
    // Waits for news, once it is let in; none comes.
    let waits = std::thread::spawn(move || {
        let mut answer = None;
        wait_until("a place", || {
            let asked = waiting.try_send("GET", "/audit/news?after=99", &[], b"");
            answer = (asked.status != 503).then_some(asked);
            answer.is_some()
        });
        answer
    });
    let mut shed = None;
    wait_until("a shed call", || {
        let answer = browser.try_send("GET", "/sign-in", &[], b"");
        shed = (answer.status == 503).then_some(answer);
        shed.is_some() || waits.is_finished()
    });
    let shed = shed.expect("one call is let through while another waits");
    assert_eq!(shed.header("content-type"), Some("application/json"));
    assert_eq!(shed.header("retry-after"), Some("1"));
    assert_eq!(shed.header("server"), None);
    assert_eq!(waits.join().unwrap().unwrap().status, 200);
    sidecar.finish().await;
}
