//! SIGTERM with hundreds of calls in flight, on every API: each is answered.

use std::net::TcpStream;

use octavia_authz::pb::v1::{
    AuthorizeRequest, AuthorizeResponse, CreateApiKeyRequest, CreateApiKeyResponse,
};
use prost::Message as _;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::value;
use crate::{
    authzen::{self, client::Client},
    held::{Connection, Held},
    raw,
    sidecar::{Sidecar, wait_until},
};

const CONNECTIONS: usize = 4;
const QUESTIONS: usize = 100;
const CHANGES: usize = 100;
const BODIES: usize = 100;
const CREATE: &str = "/octavia.authz.v1.ApiKeyService/CreateApiKey";

/// Begins calls on one connection, and waits until the server has them all.
async fn begin(address: &str, path: &str, headers: &[(&str, &str)], count: usize) -> Vec<Held> {
    let mut connection = Connection::to(address).await;
    let mut begun = Vec::new();
    for _ in 0..count {
        begun.push(connection.begin(path, headers).await);
    }
    // Behind them on the same connection.
    let last = connection.begin("/grpc.health.v1.Health/Check", &[]).await;
    assert_eq!(last.finish(b"").await.code(), tonic::Code::Ok);
    begun
}

#[tokio::test]
async fn hundreds_of_calls_in_flight_at_sigterm_are_all_answered() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("data");
    let sidecar = Sidecar::start_on(&dir, &["--authzen-listen", "127.0.0.1:0"]);
    let (_, text) = sidecar.create("writer").await;
    let token = format!("Bearer {}", sidecar.operator_token());
    let mut questions = Vec::new();
    for _ in 0..CONNECTIONS {
        questions.extend(begin(&sidecar.listen, raw::AUTHORIZE, &[], QUESTIONS).await);
    }
    let bearer = [("authorization", token.as_str())];
    let changes = begin(&sidecar.admin_listen, CREATE, &bearer, CHANGES).await;
    let body = authzen::question(&text, "articles.create").to_string();
    let (first, rest) = body.split_at(40);
    let mut bodies: Vec<_> = (0..BODIES).map(|_| Client::of(&sidecar)).collect();
    for client in &mut bodies {
        client.send(format!(
            "POST /access/v1/evaluation HTTP/1.1\r\ncontent-type: application/json\r\n\
             expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
            body.len()
        ));
        assert_eq!(client.receive().status, 100);
        client.send(first);
    }

    let addresses = [&sidecar.listen, &sidecar.admin_listen, &sidecar.authzen_listen];
    let addresses = addresses.map(Clone::clone);
    sidecar.terminate();
    for address in addresses {
        wait_until("the listeners to close", || TcpStream::connect(&address).is_err());
    }
    let question =
        AuthorizeRequest { key: text, action: "articles.create".into(), ..Default::default() };
    let question = question.encode_to_vec();
    let mut answers = JoinSet::new();
    for held in questions {
        let question = question.clone();
        answers.spawn(async move {
            assert!(held.finish(&question).await.decoded::<AuthorizeResponse>().allowed);
        });
    }
    for (number, held) in changes.into_iter().enumerate() {
        let name = format!("key {number}");
        let new = CreateApiKeyRequest { name, role: "writer".into(), ..Default::default() };
        answers.spawn(async move {
            let created: CreateApiKeyResponse = held.finish(&new.encode_to_vec()).await.decoded();
            assert_eq!(created.api_key.unwrap().name, new.name);
        });
    }
    answers.join_all().await;
    for client in &mut bodies {
        client.send(rest);
        let answer = client.receive();
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        assert_eq!(answer.json()["decision"], true);
    }
    let log = sidecar.finish_after_stop().await;
    assert!(!log.contains("cut off"), "{log}");

    let again = Sidecar::start_on(&dir, &[]);
    let changes = u32::try_from(CHANGES).unwrap();
    assert_eq!(value(&again.ops_listen, "octavia_authz_revision"), Some(f64::from(changes + 1)));
    again.finish().await;
}
