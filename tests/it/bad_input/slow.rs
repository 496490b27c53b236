//! Calls that begin and do not go on.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use octavia_authz::pb::v1::AuthorizeRequest;
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    raw,
    sidecar::{PATIENCE, Sidecar},
};

/// A connection without gRPC.
async fn connect(sidecar: &Sidecar) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(&sidecar.listen).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    client.ready().await.unwrap()
}

#[tokio::test]
async fn a_connection_carries_128_calls_at_once() {
    let sidecar = Sidecar::start();
    let client = connect(&sidecar).await;
    let settled = async {
        while client.current_max_send_streams() != 128 {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, settled).await.is_ok(), "{}", client.current_max_send_streams());
    drop(client);
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "takes 10 s"]
async fn a_message_that_does_not_arrive_is_given_up_and_streams_are_not() {
    let sidecar = Sidecar::start();
    let (_, text) = sidecar.create("writer").await;
    let question = AuthorizeRequest {
        key: text.clone(),
        action: "articles.create".into(),
        ..Default::default()
    };
    let (questions, asked) = mpsc::unbounded_channel();
    let stream = sidecar.authorization().await;
    let stream = stream.clone().stream_authorize(UnboundedReceiverStream::new(asked)).await;
    let mut stream = stream.unwrap().into_inner();
    let mut health = HealthClient::new(sidecar.channel().await);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());

    let mut client = connect(&sidecar).await;
    let mut calls = Vec::new();
    for _ in 0..100 {
        let request = Request::post(format!("http://{}{}", sidecar.listen, raw::AUTHORIZE));
        let request = request.header("content-type", "application/grpc").header("te", "trailers");
        client = client.ready().await.unwrap();
        let (answer, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
        // 1 MiB is said to follow.
        body.send_data(Bytes::from_static(b"\0\0\x10\0\0and no more"), false).unwrap();
        calls.push((answer, body));
    }
    assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    for (answer, _body) in calls {
        let answer = timeout(Duration::from_secs(20), answer).await.expect("it is given up");
        assert_eq!(answer.unwrap().headers()["grpc-status"], "1", "CANCELLED");
    }

    assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    questions.send(question).unwrap();
    assert!(stream.message().await.unwrap().unwrap().allowed, "the stream was cut off");
    let silent = timeout(Duration::from_millis(100), watch.message()).await;
    assert!(silent.is_err(), "the watch was cut off: {silent:?}");
    drop((questions, stream, watch, client));
    sidecar.finish().await;
}
