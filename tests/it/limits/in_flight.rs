//! How many calls there may be: on a connection, and waiting for an answer.

use octavia_authz::pb::v1::{AuthorizeRequest, AuthorizeResponse};
use prost::Message as _;
use tonic::Code;

use crate::{
    authzen::{self, client::Client},
    held::Connection,
    ops::{get, value},
    raw,
    sidecar::{PATIENCE, Sidecar, step},
};

const EVALUATION: &str = "/access/v1/evaluation";

fn question(key: &str) -> AuthorizeRequest {
    AuthorizeRequest { key: key.into(), action: "articles.create".into(), ..Default::default() }
}

#[tokio::test]
async fn a_connection_carries_as_many_calls_as_max_streams_says() {
    let args = ["--max-streams", "7", "--authzen-listen", "127.0.0.1:0"];
    let sidecar = Sidecar::start_with(&args);
    let addresses = [&sidecar.listen, &sidecar.admin_listen, &sidecar.authzen_listen];
    for address in addresses.into_iter().chain([&sidecar.ops_listen]) {
        let connection = Connection::to(address).await;
        let started = std::time::Instant::now();
        while connection.max_streams() != 7 {
            assert!(started.elapsed() < PATIENCE, "{} at {address}", connection.max_streams());
            step().await;
        }
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn a_call_that_does_not_arrive_makes_room_for_one_more_than_max_in_flight() {
    let args = ["--max-in-flight", "1", "--authzen-listen", "127.0.0.1:0"];
    let sidecar = Sidecar::start_with(&args);
    let (_, text) = sidecar.create("writer").await;
    let mut connection = Connection::to(&sidecar.listen).await;
    let message = question(&text).encode_to_vec();
    let started = std::time::Instant::now();
    for path in [raw::AUTHORIZE, raw::BATCH, "/grpc.health.v1.Health/Check"] {
        let held = connection.begin(path, &[]).await;
        loop {
            let next = connection.begin(raw::AUTHORIZE, &[]).await.finish(&message).await;
            if next.code() == Code::Ok {
                assert!(next.decoded::<AuthorizeResponse>().allowed);
                break;
            }
            // Both came at once.
            assert_eq!(next.code(), Code::ResourceExhausted);
            assert!(started.elapsed() < PATIENCE);
        }
        let held = held.answered().await;
        assert_eq!(held.code(), Code::ResourceExhausted, "{path}");
        assert_eq!(held.message(), "more than 1 calls are in flight: try again in a moment");
    }
    let series = "octavia_authz_requests_shed_total{listener=\"authorization\"}";
    assert!(value(&sidecar.ops_listen, series) >= Some(3.0));
    sidecar.finish().await;
}

#[tokio::test]
async fn each_api_has_room_of_its_own() {
    let sidecar = Sidecar::start_with(&["--max-in-flight", "1"]);
    let mut connection = Connection::to(&sidecar.listen).await;
    let held = connection.begin(raw::AUTHORIZE, &[]).await;
    let (_, text) = sidecar.create("writer").await;
    assert_eq!(get(&sidecar.ops_listen, "/readyz").status, 200);
    let answer = held.finish(&question(&text).encode_to_vec()).await;
    assert!(answer.decoded::<AuthorizeResponse>().allowed);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_call_that_its_client_gives_up_makes_room() {
    let sidecar = Sidecar::start_with(&["--max-in-flight", "1"]);
    let (_, text) = sidecar.create("writer").await;
    let message = question(&text).encode_to_vec();
    let series = "octavia_authz_requests_shed_total{listener=\"authorization\"}";
    for _ in 0..20 {
        let mut gone = Connection::to(&sidecar.listen).await;
        let held = gone.begin(raw::AUTHORIZE, &[]).await;
        drop((held, gone));
        let mut other = Connection::to(&sidecar.listen).await;
        let started = std::time::Instant::now();
        loop {
            let before = value(&sidecar.ops_listen, series);
            let answer = other.begin(raw::AUTHORIZE, &[]).await.finish(&message).await;
            assert!(answer.decoded::<AuthorizeResponse>().allowed);
            if value(&sidecar.ops_listen, series) == before {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "one that has gone still takes room");
        }
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn over_http_it_is_a_503_that_says_when_to_come_back() {
    let args = ["--max-in-flight", "1", "--authzen-listen", "127.0.0.1:0"];
    let sidecar = Sidecar::start_with(&args);
    let (_, text) = sidecar.create("writer").await;
    let body = authzen::question(&text, "articles.create").to_string();
    let [mut held, mut client] = [(); 2].map(|()| Client::of(&sidecar));
    held.send(format!(
        "POST {EVALUATION} HTTP/1.1\r\ncontent-type: application/json\r\nx-request-id: one\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    ));
    assert_eq!(held.receive().status, 100);
    let json = ("content-type", "application/json");
    let answer = client.ask("POST", EVALUATION, &[json], &body);
    assert_eq!(answer.json()["decision"], true);
    let answer = held.receive();
    assert!(answer.error(503).starts_with("more than 1 calls are in flight"), "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("x-request-id"), Some("one"));
    sidecar.finish().await;
}

#[tokio::test]
async fn streams_and_watches_take_no_room() {
    let sidecar = Sidecar::start_with(&["--max-in-flight", "1"]);
    let (_, text) = sidecar.create("writer").await;
    let mut open = Vec::new();
    for _ in 0..20 {
        let (questions, asked) = tokio::sync::mpsc::unbounded_channel();
        let mut client = sidecar.authorization().await;
        let asked = tokio_stream::wrappers::UnboundedReceiverStream::new(asked);
        let mut stream = client.stream_authorize(asked).await.unwrap().into_inner();
        questions.send(question(&text)).unwrap();
        assert!(stream.message().await.unwrap().unwrap().allowed);
        open.push((questions, stream));
    }
    assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    drop(open);
    sidecar.finish().await;
}

#[tokio::test]
async fn messages_that_do_not_arrive_take_no_more_than_64_of_the_largest_together() {
    let sidecar = Sidecar::start_with(&["--max-message-bytes", "1024"]);
    let (_, text) = sidecar.create("writer").await;
    let message = question(&text).encode_to_vec();
    let mut connection = Connection::to(&sidecar.listen).await;
    // Of a message of 1000 bytes, all but one.
    let begun = [&[0, 0, 0, 3, 232][..], &[b'x'; 999]].concat();
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut held = connection.begin(raw::AUTHORIZE, &[]).await;
        held.send(begun.clone());
        waiting.push(held);
    }
    let started = std::time::Instant::now();
    loop {
        let call = Connection::to(&sidecar.listen).await.begin(raw::AUTHORIZE, &[]).await;
        // It is no question, which is said once there is room for it.
        let refused = call.finish(&[b'x'; 1000]).await;
        if refused.code() != Code::InvalidArgument {
            assert_eq!(refused.code(), Code::ResourceExhausted);
            let said = refused.message();
            assert!(said.contains("take too much room: try again"), "{said}");
            break;
        }
        assert!(started.elapsed() < PATIENCE);
    }
    // There is room again when they are given up.
    drop((waiting, connection));
    let started = std::time::Instant::now();
    loop {
        let call = Connection::to(&sidecar.listen).await.begin(raw::AUTHORIZE, &[]).await;
        let answer = call.finish(&message).await;
        if answer.code() == Code::Ok {
            assert!(answer.decoded::<AuthorizeResponse>().allowed);
            break;
        }
        assert!(started.elapsed() < PATIENCE);
    }
    sidecar.finish().await;
}
