//! Calls that begin and do not go on.

use std::time::Duration;

use octavia_authz::pb::v1::AuthorizeRequest;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    held::Connection,
    raw,
    sidecar::{PATIENCE, Sidecar, step},
};

#[tokio::test]
async fn a_connection_carries_128_calls_at_once() {
    let sidecar = Sidecar::start();
    let client = Connection::to(&sidecar.listen).await;
    let settled = async {
        while client.max_streams() != 128 {
            step().await;
        }
    };
    assert!(timeout(PATIENCE, settled).await.is_ok(), "{}", client.max_streams());
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

    let mut client = Connection::to(&sidecar.listen).await;
    let mut calls = Vec::new();
    for _ in 0..100 {
        let mut call = client.begin(raw::AUTHORIZE, &[]).await;
        // 1 MiB is said to follow.
        call.send(&b"\0\0\x10\0\0and no more"[..]);
        calls.push(call);
    }
    assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    for call in calls {
        assert_eq!(call.answered().await.code(), Code::DeadlineExceeded);
    }

    assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    questions.send(question).unwrap();
    assert!(stream.message().await.unwrap().unwrap().allowed, "the stream was cut off");
    let silent = timeout(Duration::from_millis(100), watch.message()).await;
    assert!(silent.is_err(), "the watch was cut off: {silent:?}");
    drop((questions, stream, watch, client));
    sidecar.finish().await;
}
