//! How long a client may take.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use octavia_authz::pb::v1::{AuthorizeRequest, AuthorizeResponse};
use prost::Message as _;
use tonic::Code;

use crate::{
    authzen::client::Client,
    held::Connection,
    raw,
    sidecar::{PATIENCE, Sidecar},
};

const CREATE: &str = "/octavia.authz.v1.ApiKeyService/CreateApiKey";
/// The default of the other limits is 5 s.
const SOON: Duration = Duration::from_secs(4);

fn question(key: &str) -> Vec<u8> {
    let (key, action) = (key.to_owned(), "articles.create".to_owned());
    AuthorizeRequest { key, action, ..Default::default() }.encode_to_vec()
}

#[tokio::test]
async fn a_message_that_does_not_arrive_within_the_request_timeout_is_given_up() {
    let args = ["--request-timeout", "200ms", "--authzen-listen", "127.0.0.1:0"];
    let sidecar = Sidecar::start_with(&args);
    let (_, text) = sidecar.create("writer").await;
    let mut connection = Connection::to(&sidecar.listen).await;
    let mut admin = Connection::to(&sidecar.admin_listen).await;
    let bearer = format!("Bearer {}", sidecar.operator_token());
    let bearer = [("authorization", bearer.as_str())];
    for part in [&b""[..], b"\0\0\0", b"\0\0\0\x01\0and no more"] {
        for (connection, path, headers) in
            [(&mut connection, raw::AUTHORIZE, &[][..]), (&mut admin, CREATE, &bearer)]
        {
            let began = Instant::now();
            let mut held = connection.begin(path, headers).await;
            held.send(part);
            let answer = held.answered().await;
            assert_eq!(answer.code(), Code::DeadlineExceeded, "{path}");
            let said = answer.message();
            assert!(said.contains("not answered within 200ms; a change may have"), "{said}");
            let took = began.elapsed();
            assert!(took >= Duration::from_millis(200) && took < SOON, "{took:?}");
        }
        let next = connection.begin(raw::AUTHORIZE, &[]).await.finish(&question(&text)).await;
        assert!(next.decoded::<AuthorizeResponse>().allowed);
    }

    let mut client = Client::of(&sidecar);
    let head = "content-type: application/json\r\nx-request-id: late\r\ncontent-length: 100";
    client.send(format!("POST /access/v1/evaluation HTTP/1.1\r\n{head}\r\n\r\n{{"));
    let answer = client.receive();
    assert!(answer.error(408).contains("within 200ms"), "{answer:?}");
    assert_eq!(answer.header("x-request-id"), Some("late"));
    assert_eq!(client.rest(), b"");
    sidecar.finish().await;
}

#[tokio::test]
async fn a_client_that_waits_for_less_is_answered_sooner_and_one_for_more_no_later() {
    let sidecar = Sidecar::start();
    let mut connection = Connection::to(&sidecar.listen).await;
    for (timeout, said) in [("100m", "100ms"), ("150000u", "150ms"), ("50000000n", "50ms")] {
        let began = Instant::now();
        let held = connection.begin(raw::AUTHORIZE, &[("grpc-timeout", timeout)]).await;
        let answer = held.answered().await;
        assert_eq!(answer.code(), Code::DeadlineExceeded, "{timeout}");
        assert!(answer.message().contains(&format!("within {said};")), "{}", answer.message());
        assert!(began.elapsed() < SOON, "{timeout}: {:?}", began.elapsed());
    }
    sidecar.finish().await;

    let sidecar = Sidecar::start_with(&["--request-timeout", "200ms"]);
    let mut connection = Connection::to(&sidecar.listen).await;
    // Too long, and what is no time-out at all.
    for timeout in ["1H", "99999999S", "100", "m", "-1m", "123456789n", "1d", ""] {
        let began = Instant::now();
        let held = connection.begin(raw::AUTHORIZE, &[("grpc-timeout", timeout)]).await;
        let answer = held.answered().await;
        assert_eq!(answer.code(), Code::DeadlineExceeded, "{timeout:?}");
        assert!(answer.message().contains("within 200ms;"), "{}", answer.message());
        assert!(began.elapsed() < SOON, "{timeout:?}: {:?}", began.elapsed());
    }
    sidecar.finish().await;
}

/// How long it takes until the server closes a connection that has sent only so much.
fn closed_after(address: &str, said: &[u8]) -> Duration {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(said).unwrap();
    if let Err(error) = stream.read_to_end(&mut Vec::new()) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    began.elapsed()
}

#[tokio::test]
async fn whoever_does_not_begin_to_speak_http_within_the_handshake_timeout_is_closed() {
    let args = ["--handshake-timeout", "300ms", "--authzen-listen", "127.0.0.1:0"];
    let sidecar = Sidecar::start_with(&args);
    let (_, text) = sidecar.create("writer").await;
    let mut kept = Connection::to(&sidecar.listen).await;
    let preface = &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"[..];
    for (address, talks) in [
        (&sidecar.listen, [&b""[..], b"P", preface]),
        (&sidecar.admin_listen, [b"", b"PRI", preface]),
        (&sidecar.authzen_listen, [b"", b"POST /access", b"POST / HTTP/1.1\r\nhost: a\r\n"]),
        (&sidecar.ops_listen, [b"", b"GET", b"GET /readyz HTTP/1.1\r\n"]),
    ] {
        for said in talks {
            let took = closed_after(address, said);
            assert!(took >= Duration::from_millis(300) && took < SOON, "{address}: {took:?}");
        }
    }
    // One that has begun may be silent for longer.
    let answer = kept.begin(raw::AUTHORIZE, &[]).await.finish(&question(&text)).await;
    assert!(answer.decoded::<AuthorizeResponse>().allowed);
    sidecar.finish().await;
}

#[tokio::test]
async fn an_answer_of_http_1_1_begins_the_time_anew() {
    let args = ["--handshake-timeout", "300ms", "--authzen-listen", "127.0.0.1:0"];
    let sidecar = Sidecar::start_with(&args);
    let mut client = Client::at(&sidecar.ops_listen);
    let mut kept = Client::at(&sidecar.ops_listen);
    assert_eq!(kept.ask("GET", "/livez", &[], "").status, 200);
    assert_eq!(client.ask("GET", "/livez", &[], "").status, 200);
    // The head of the second request begins, and does not go on.
    let began = Instant::now();
    client.send("GET /live");
    assert_eq!(client.rest(), b"");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300) && took < SOON, "{took:?}");
    // Silent for as long, between two requests.
    assert_eq!(kept.ask("GET", "/livez", &[], "").status, 200);
    sidecar.finish().await;
}
