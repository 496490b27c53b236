//! Where it listens, clients that are slow, and the end.

use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{EVALUATION, client::Client, question, start};
use crate::{held::Connection, sidecar::Sidecar};

fn is_allowed(client: &mut Client, key: &str) -> bool {
    client.evaluate(EVALUATION, &question(key, "articles.create"))["decision"] == true
}

#[tokio::test]
async fn it_answers_on_every_address_of_its_own_and_is_off_without_one() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("authzen.sock");
    let socket = format!("unix:{}", path.display());
    let sidecar =
        Sidecar::start_with(&["--authzen-listen", "127.0.0.1:0", "--authzen-listen", &socket]);
    let (_, text) = sidecar.create("writer").await;
    let addresses: Vec<&str> = sidecar.authzen_listen.split(", ").collect();
    assert_eq!((addresses.len(), addresses[1]), (2, socket.as_str()), "{addresses:?}");
    for address in addresses {
        assert!(is_allowed(&mut Client::at(address), &text), "{address}");
    }
    // Nor does it answer where gRPC does.
    let mut grpc = Client::at(&sidecar.listen);
    grpc.send("POST /access/v1/evaluation HTTP/1.1\r\ncontent-length: 0\r\n\r\n");
    assert!(!String::from_utf8_lossy(&grpc.rest()).contains("decision"));
    sidecar.finish().await;
    assert!(!path.exists(), "the socket's file was left behind");

    for args in [&[][..], &["--authzen-listen", "none"]] {
        let sidecar = Sidecar::start_with(args);
        assert_eq!(sidecar.authzen_listen, "");
        sidecar.finish().await;
    }
}

#[tokio::test]
async fn whoever_begins_with_http_2_is_answered_in_it() {
    let sidecar = start();
    let (_, text) = sidecar.create("writer").await;
    let mut connection = Connection::to(&sidecar.authzen_listen).await;
    let json = [("content-type", "application/json"), ("x-request-id", "two")];
    for (action, decision) in [("articles.create", true), ("api_keys.create", false)] {
        let body = question(&text, action).to_string();
        let answer = connection.begin_http(EVALUATION, &json).await.finish_http(body).await;
        assert_eq!(
            (answer.http_status, answer.headers["x-request-id"].as_bytes()),
            (200, &b"two"[..])
        );
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["decision"], decision, "{action}");
    }
    let answer = connection.begin_http("/no/such", &json).await.finish_http("").await;
    assert_eq!(answer.http_status, 404);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_headers_is_cut_and_others_are_served() {
    let sidecar = start();
    let (_, text) = sidecar.create("writer").await;
    let begun = Instant::now();
    let mut slow = ["", "P", "POST /access/v1/evaluation HTTP/1.1\r\nhost: a\r\n"].map(|said| {
        let mut client = Client::of(&sidecar);
        client.send(said);
        client
    });
    let mut kept = Client::of(&sidecar);
    assert!(is_allowed(&mut kept, &text));
    for client in &mut slow {
        assert_eq!(client.rest(), b"");
    }
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
    // One that has asked may be silent for longer.
    assert!(is_allowed(&mut kept, &text));
    sidecar.finish().await;
}

#[tokio::test]
async fn a_request_that_is_on_its_way_is_answered_after_sigterm() {
    let sidecar = start();
    let (_, text) = sidecar.create("writer").await;
    let [mut idle, mut silent, mut working] = [(); 3].map(|()| Client::of(&sidecar));
    assert!(is_allowed(&mut idle, &text));
    let body = question(&text, "articles.create").to_string();
    working.send(format!(
        "POST {EVALUATION} HTTP/1.1\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    ));
    // It waits for the body now.
    assert_eq!(working.receive().status, 100);
    sidecar.terminate();
    assert_eq!(idle.rest(), b"");
    assert_eq!(silent.rest(), b"");
    working.send(&body);
    let answer = working.receive();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(answer.json()["decision"], Value::Bool(true));
    let log = sidecar.finish_after_stop().await;
    assert!(!log.contains("cut off"), "{log}");
}

#[tokio::test]
async fn a_request_that_never_arrives_holds_up_the_stop_no_longer_than_the_drain_timeout() {
    let args = ["--authzen-listen", "127.0.0.1:0", "--drain-timeout", "300ms"];
    let sidecar = Sidecar::start_with(&args);
    let mut client = Client::of(&sidecar);
    let head = "expect: 100-continue\r\ncontent-length: 10";
    client.send(format!("POST {EVALUATION} HTTP/1.1\r\n{head}\r\n\r\n"));
    assert_eq!(client.receive().status, 100);
    let asked = Instant::now();
    sidecar.terminate();
    assert_eq!(client.rest(), b"");
    let log = sidecar.finish_after_stop().await;
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
    assert!(log.contains("cut off"), "{log}");
}
