//! The end, with TLS connections: calls in flight are answered, nobody holds it up.

use std::{
    io::Write as _,
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use octavia_authz::pb::v1::authorization_service_client::AuthorizationServiceClient;
use tokio::{sync::mpsc, time::timeout};
use tokio_rustls::rustls::version::TLS13;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::{Authority, Files, channel, client_config, create, handshake, question};
use crate::sidecar::{PATIENCE, step};

#[tokio::test]
async fn a_stream_over_tls_gets_its_answers_after_sigterm() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server(), None);
    let sidecar = files.start();
    let admin = channel(&sidecar.admin_listen, &ca.pem(), None).await;
    let key = create(&sidecar, admin.clone()).await;
    let mut client =
        AuthorizationServiceClient::new(channel(&sidecar.listen, &ca.pem(), None).await);
    let (questions, asked) = mpsc::unbounded_channel();
    questions.send(question(&key)).unwrap();
    let answers = client.stream_authorize(UnboundedReceiverStream::new(asked)).await;
    let mut answers = answers.unwrap().into_inner();
    assert!(answers.message().await.unwrap().unwrap().allowed);

    let listen = sidecar.listen.clone();
    sidecar.terminate();
    let started = Instant::now();
    while TcpStream::connect(&listen).is_ok() {
        assert!(started.elapsed() < PATIENCE, "still listening");
        step().await;
    }
    for _ in 0..100 {
        questions.send(question(&key)).unwrap();
        assert!(timeout(PATIENCE, answers.message()).await.unwrap().unwrap().unwrap().allowed);
    }
    drop(questions);
    assert!(answers.message().await.unwrap().is_none(), "the stream was cut");
    sidecar.finish_after_stop().await;
    drop(admin);
}

#[tokio::test]
async fn idle_connections_and_unfinished_handshakes_do_not_hold_up_the_stop() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server(), None);
    let sidecar = files.start();
    let idle = channel(&sidecar.listen, &ca.pem(), None).await;
    let config = Arc::new(client_config(&ca.pem(), None, &[&TLS13]));
    let silent = handshake(&sidecar.listen, &config).await.unwrap();
    let mut unfinished = TcpStream::connect(&sidecar.listen).unwrap();
    unfinished.write_all(&[22, 3, 1]).unwrap();
    // Accepted after those, and answered.
    create(&sidecar, channel(&sidecar.admin_listen, &ca.pem(), None).await).await;
    let asked = Instant::now();
    sidecar.terminate();
    sidecar.finish_after_stop().await;
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    drop((idle, silent, unfinished));
}

#[tokio::test]
async fn a_stream_over_tls_that_never_ends_is_cut_after_the_drain_timeout() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server(), None);
    let sidecar = files.start_with(&["--drain-timeout", "300ms"]);
    let key = create(&sidecar, channel(&sidecar.admin_listen, &ca.pem(), None).await).await;
    let mut client =
        AuthorizationServiceClient::new(channel(&sidecar.listen, &ca.pem(), None).await);
    let (questions, asked) = mpsc::unbounded_channel();
    questions.send(question(&key)).unwrap();
    let answers = client.stream_authorize(UnboundedReceiverStream::new(asked)).await;
    let mut answers = answers.unwrap().into_inner();
    assert!(answers.message().await.unwrap().unwrap().allowed);
    let asked = Instant::now();
    sidecar.terminate();
    assert!(timeout(PATIENCE, answers.message()).await.unwrap().is_err(), "an orderly end");
    let log = sidecar.finish_after_stop().await;
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
    assert!(log.contains("cut off"), "{log}");
    drop(questions);
}
