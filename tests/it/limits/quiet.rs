//! Clients that take no answer, and streams on which nothing is said.

use bytes::Bytes;
use http::Request;
use octavia_authz::pb::v1::AuthorizeRequest;
use prost::Message as _;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};

use crate::{
    raw,
    sidecar::{PATIENCE, Sidecar, connect},
};

/// A connection whose client opens no window for answers, and when it ends.
async fn closed_window(
    address: &str,
) -> (h2::client::SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (client, connection) = builder.initial_window_size(0).handshake(stream).await.unwrap();
    (client, tokio::spawn(connection))
}

async fn watch(sidecar: &Sidecar) -> Option<tonic::Streaming<HealthCheckResponse>> {
    let address = format!("http://{}", sidecar.listen);
    let channel = tonic::transport::Endpoint::new(address).unwrap().connect().await.ok()?;
    let watch = HealthClient::new(channel).watch(HealthCheckRequest::default()).await;
    let mut watch = watch.ok()?.into_inner();
    let told = watch.message().await.ok()??;
    assert_eq!(told.status(), ServingStatus::Serving);
    Some(watch)
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_cut_off_and_one_that_waits_for_news_is_not() {
    let sidecar = Sidecar::start_with(&["--request-timeout", "200ms"]);
    let (_, key) = sidecar.create("writer").await;
    let mut news = watch(&sidecar).await.unwrap();
    let (mut client, mut connection) = closed_window(&sidecar.listen).await;
    let request = Request::post(format!("http://localhost{}", raw::AUTHORIZE));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let (answer, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
    let question = AuthorizeRequest { key, action: "articles.create".into(), ..Default::default() };
    let message = question.encode_to_vec();
    let head = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes()].concat();
    body.send_data([head, message].concat().into(), true).unwrap();
    // The head of the answer needs no window.
    assert_eq!(timeout(PATIENCE, answer).await.unwrap().unwrap().status(), 200);
    let ended = timeout(PATIENCE, &mut connection).await;
    assert!(ended.is_ok(), "it is still open");
    drop(client);

    // Whoever is told nothing new owes nothing, however long that lasts.
    let mut quick = HealthClient::new(connect(&sidecar.listen).await);
    quick.check(HealthCheckRequest::default()).await.unwrap();
    sidecar.terminate();
    let told = timeout(PATIENCE, news.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(told.status(), ServingStatus::NotServing);
    sidecar.finish_after_stop().await;
}

#[tokio::test]
async fn a_stream_on_which_nothing_is_said_keeps_nobody_out() {
    let sidecar = Sidecar::start_with(&["--max-connections", "2", "--request-timeout", "200ms"]);
    let mut first = watch(&sidecar).await.unwrap();
    let second = watch(&sidecar).await.unwrap();
    let third = async {
        loop {
            if let Some(third) = watch(&sidecar).await {
                return third;
            }
        }
    };
    let third = timeout(PATIENCE, third).await.expect("nobody gets in any more");
    // The idlest made room for it.
    let told = timeout(PATIENCE, first.message()).await.expect("it is still open");
    assert!(!matches!(told, Ok(Some(_))), "{told:?}");
    drop((second, third));
    sidecar.terminate();
    sidecar.finish_after_stop().await;
}
