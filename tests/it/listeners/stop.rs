//! The end: SIGTERM lets calls in flight be answered, takes no new ones, and
//! waits no longer than it was told.

use std::{
    future::Future,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use http::uri::PathAndQuery;
use octavia_authz::pb::v1::{
    AuthorizeRequest, AuthorizeResponse, CreateApiKeyRequest, CreateApiKeyResponse,
    GetApiKeyRequest, api_key_service_client::ApiKeyServiceClient,
    authorization_service_client::AuthorizationServiceClient,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use crate::sidecar::{Bearer, PATIENCE, Sidecar, connect, step};

fn question(key: &str, correlation_id: impl ToString) -> AuthorizeRequest {
    AuthorizeRequest {
        key: key.into(),
        action: "articles.create".into(),
        correlation_id: correlation_id.to_string(),
        ..Default::default()
    }
}

/// Waits until nobody listens there any more.
async fn closed(address: &str) {
    let started = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(started.elapsed() < PATIENCE, "still listening");
        step().await;
    }
}

#[tokio::test]
async fn an_open_stream_gets_its_answers_after_sigterm() {
    let sidecar = Sidecar::start();
    let (_, key) = sidecar.create("writer").await;
    let mut client = sidecar.authorization().await;
    let (questions, asked) = mpsc::unbounded_channel();
    questions.send(question(&key, 0)).unwrap();
    let answers = client.stream_authorize(UnboundedReceiverStream::new(asked)).await;
    let mut answers = answers.unwrap().into_inner();
    assert!(answers.message().await.unwrap().unwrap().allowed);

    let (listen, admin) = (sidecar.listen.clone(), sidecar.admin_listen.clone());
    sidecar.terminate();
    closed(&listen).await;
    closed(&admin).await;
    for n in 1..100 {
        questions.send(question(&key, n)).unwrap();
        let answer = timeout(PATIENCE, answers.message()).await.unwrap().unwrap().unwrap();
        assert!(answer.allowed && answer.correlation_id == n.to_string());
    }
    drop(questions);
    assert!(answers.message().await.unwrap().is_none(), "the stream was cut");
    sidecar.finish_after_stop().await;
}

/// Begins a call whose message is still to come. Gives the way to send it, and
/// what will be answered. The server has it when `later`, a call on the same
/// connection, was answered.
async fn begin<Q, A>(
    channel: &Channel,
    path: &'static str,
    bearer: &str,
    later: impl Future,
) -> (mpsc::UnboundedSender<Q>, impl Future<Output = Result<A, Status>>)
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    let (sender, messages) = mpsc::unbounded_channel::<Q>();
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(UnboundedReceiverStream::new(messages));
    request.metadata_mut().insert("authorization", format!("Bearer {bearer}").parse().unwrap());
    let path = PathAndQuery::from_static(path);
    let mut answer = Box::pin(async move {
        let answer = grpc.client_streaming(request, path, ProstCodec::<Q, A>::default()).await;
        answer.map(Response::into_inner)
    });
    tokio::select! {
        biased;
        _ = &mut answer => panic!("answered without a message"),
        _ = later => {}
    }
    (sender, answer)
}

#[tokio::test]
async fn a_call_that_is_on_its_way_is_answered_and_a_change_made() {
    let temporary = TempDir::new().unwrap();
    let sidecar = Sidecar::start_on(&temporary.path().join("data"), &[]);
    let (key, text) = sidecar.create("writer").await;
    let token = sidecar.operator_token();
    let channel = sidecar.channel().await;
    let mut client = AuthorizationServiceClient::new(channel.clone());
    let path = "/octavia.authz.v1.AuthorizationService/Authorize";
    let later = client.authorize(question(&text, "in time"));
    let (ask, answer) = begin::<_, AuthorizeResponse>(&channel, path, "", later).await;
    let channel = connect(&sidecar.admin_listen).await;
    let mut keys = ApiKeyServiceClient::with_interceptor(channel.clone(), Bearer::new(&token));
    let path = "/octavia.authz.v1.ApiKeyService/CreateApiKey";
    let later = keys.get_api_key(GetApiKeyRequest { id: key.id });
    let (create, created) = begin::<_, CreateApiKeyResponse>(&channel, path, &token, later).await;

    let listen = sidecar.listen.clone();
    sidecar.terminate();
    closed(&listen).await;
    ask.send(question(&text, "late")).unwrap();
    let new =
        CreateApiKeyRequest { name: "late".into(), role: "writer".into(), ..Default::default() };
    create.send(new).unwrap();
    drop((ask, create));
    assert!(timeout(PATIENCE, answer).await.unwrap().unwrap().allowed);
    let late = timeout(PATIENCE, created).await.unwrap().unwrap().api_key.unwrap();
    sidecar.finish_after_stop().await;

    let again = Sidecar::start_on(&temporary.path().join("data"), &[]);
    let read = again.keys().await.get_api_key(GetApiKeyRequest { id: late.id.clone() }).await;
    assert_eq!(read.unwrap().into_inner().api_key.unwrap(), late);
    again.finish().await;
}

#[tokio::test]
async fn a_stream_that_never_ends_is_cut_after_the_drain_timeout() {
    let sidecar = Sidecar::start_with(&["--drain-timeout", "300ms"]);
    let (_, key) = sidecar.create("writer").await;
    let mut client = sidecar.authorization().await;
    let (questions, asked) = mpsc::unbounded_channel();
    questions.send(question(&key, 0)).unwrap();
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

#[tokio::test]
async fn callers_at_work_get_right_answers_or_none_when_it_stops() {
    let sidecar = Sidecar::start();
    let (_, key) = sidecar.create("writer").await;
    let mut callers = JoinSet::new();
    let (ready, mut at_work) = mpsc::unbounded_channel();
    for _ in 0..8 {
        let (mut client, key) = (sidecar.authorization().await, key.clone());
        let ready = ready.clone();
        callers.spawn(async move {
            let mut answered = 0_u32;
            while let Ok(answer) = client.authorize(question(&key, answered)).await {
                let answer = answer.into_inner();
                assert!(answer.allowed && answer.correlation_id == answered.to_string());
                answered += 1;
                if answered == 20 {
                    ready.send(()).unwrap();
                }
            }
            answered
        });
    }
    for _ in 0..8 {
        timeout(PATIENCE, at_work.recv()).await.unwrap().unwrap();
    }
    sidecar.terminate();
    let answered = timeout(PATIENCE, callers.join_all()).await.unwrap();
    assert!(answered.iter().all(|answered| *answered >= 20), "{answered:?}");
    sidecar.finish_after_stop().await;
}

#[tokio::test]
async fn sigint_is_an_orderly_stop_too() {
    let sidecar = Sidecar::start();
    let pid = Pid::from_raw(i32::try_from(sidecar.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let log = sidecar.finish_after_stop().await;
    assert!(log.contains("SIGINT") && log.contains("stopped"), "{log}");
}

/// Connections to both APIs of peers that have said nothing, or too little.
fn silent(sidecar: &Sidecar) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for address in [&sidecar.listen, &sidecar.admin_listen] {
        for said in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(said.as_bytes()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            silent.push(stream);
        }
    }
    silent
}

#[tokio::test]
async fn a_connection_that_says_nothing_does_not_hold_up_the_stop() {
    let sidecar = Sidecar::start();
    let silent = silent(&sidecar);
    // Accepted after those, and answered.
    sidecar.create("writer").await;
    let asked = Instant::now();
    sidecar.finish().await;
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    drop(silent);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_after_a_while() {
    let sidecar = Sidecar::start();
    let (_, key) = sidecar.create("writer").await;
    let mut speaking = sidecar.authorization().await;
    assert!(speaking.authorize(question(&key, 0)).await.unwrap().into_inner().allowed);
    for mut stream in silent(&sidecar) {
        let mut said = Vec::new();
        if let Err(error) = stream.read_to_end(&mut said) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    }
    // One that has spoken may be silent for longer.
    assert!(speaking.authorize(question(&key, 1)).await.unwrap().into_inner().allowed);
    sidecar.finish().await;
}
