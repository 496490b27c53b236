//! Clients whose CA is gone: no new connection, no resumed one, and an end to those
//! that are open.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use octavia_authz::pb::v1::authorization_service_client::AuthorizationServiceClient;
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    client::TlsStream,
    rustls::{
        ClientConfig, HandshakeKind,
        version::{TLS12, TLS13},
    },
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;

use super::{
    Authority, Files, TAKEN, ask, channel, client_config, create, finish, handshake, logged,
    question,
};
use crate::{
    abuse::frame::{self, PREFACE},
    raw,
    sidecar::{PATIENCE, Sidecar},
};

/// A connection of which it is seen when it ends.
async fn connect(
    sidecar: &Sidecar,
    config: &Arc<ClientConfig>,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = handshake(&sidecar.listen, config).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    (client, tokio::spawn(connection))
}

/// Whether a call, which has no message, is answered in whatever way.
async fn answered(client: SendRequest<Bytes>) -> bool {
    let Ok(mut client) = client.ready().await else { return false };
    let request = Request::post(format!("https://localhost{}", raw::AUTHORIZE));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let Ok((answer, _)) = client.send_request(request.body(()).unwrap(), true) else {
        return false;
    };
    answer.await.is_ok()
}

#[tokio::test]
async fn open_connections_end_when_their_ca_is_gone_and_others_do_not() {
    let (servers, old, new) =
        (Authority::new("servers"), Authority::new("old"), Authority::new("new"));
    let files = Files::new(&servers.server(), Some(&(old.pem() + &new.pem())));
    let (sidecar, ca) = (files.start(), servers.pem());
    let of = |authority: &Authority| {
        Arc::new(client_config(&ca, Some(&authority.client("x")), &[&TLS13]))
    };
    let (ours, stays) = connect(&sidecar, &of(&new)).await;
    let (theirs, ends) = connect(&sidecar, &of(&old)).await;
    let on_admin = channel(&sidecar.admin_listen, &ca, Some(&old.client("x"))).await;
    let key = create(&sidecar, on_admin.clone()).await;
    assert!(answered(ours.clone()).await && answered(theirs.clone()).await);
    // A stream: it goes no further.
    let mut stream = AuthorizationServiceClient::new(
        channel(&sidecar.listen, &ca, Some(&old.client("x"))).await,
    );
    let (questions, asked) = mpsc::unbounded_channel();
    let answers = stream.stream_authorize(UnboundedReceiverStream::new(asked)).await;
    let mut answers = answers.unwrap().into_inner();
    questions.send(question(&key)).unwrap();
    assert!(answers.message().await.unwrap().unwrap().allowed);

    let replaced = Instant::now();
    files.write("ca.crt", &new.pem());
    logged(&sidecar, TAKEN, 1).await;
    // An end, or what its own last words met.
    let _ = timeout(PATIENCE, ends).await.unwrap().unwrap();
    assert!(replaced.elapsed() < Duration::from_secs(5), "an idle one: {:?}", replaced.elapsed());
    assert!(!answered(theirs).await);
    questions.send(question(&key)).unwrap();
    let refused = timeout(PATIENCE, answers.message()).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    assert!(refused.message().contains("is not trusted any more: connect anew"), "{refused:?}");
    assert!(ask(&on_admin, &key).await.is_err());

    assert!(answered(ours).await && !stays.is_finished(), "a good client was sent away");
    let log = finish(sidecar).await;
    assert!(log.contains("the CA of a TLS client is gone"), "{log}");
}

#[tokio::test]
async fn a_call_in_flight_is_answered_and_none_after_it_whatever_the_client_acknowledges() {
    let (servers, old, new) =
        (Authority::new("servers"), Authority::new("old"), Authority::new("new"));
    let files = Files::new(&servers.server(), Some(&(old.pem() + &new.pem())));
    let (sidecar, ca) = (files.start(), servers.pem());
    let on_admin = channel(&sidecar.admin_listen, &ca, Some(&new.client("x"))).await;
    let key = create(&sidecar, on_admin).await;
    let config = Arc::new(client_config(&ca, Some(&old.client("x")), &[&TLS13]));
    let mut stream = handshake(&sidecar.listen, &config).await.unwrap();
    let message = frame::message(&question(&key).encode_to_vec());
    // It begins a call, and answers nothing that the server says: no PING, no GOAWAY.
    let begun = [PREFACE, &frame::settings(&[]), &frame::call(1, raw::AUTHORIZE, &[])].concat();
    stream.write_all(&begun).await.unwrap();
    stream.flush().await.unwrap();
    // Its own connection was seen: what it has said came before this.
    assert!(answered(connect(&sidecar, &config).await.0).await);
    files.write("ca.crt", &new.pem());
    logged(&sidecar, "the CA of a TLS client is gone", 1).await;
    let next = [frame::data(1, &message, true), frame::call(3, raw::AUTHORIZE, &[])].concat();
    stream.write_all(&[&next[..], &frame::data(3, &message, true)].concat()).await.unwrap();
    stream.flush().await.unwrap();
    let mut decisions = Vec::new();
    while let Some((kind, stream_id)) = heard(&mut stream).await {
        if kind == frame::DATA {
            decisions.push(stream_id);
        }
    }
    assert_eq!(decisions, [1], "decided of after the CA was gone, or not in flight");
    finish(sidecar).await;
}

/// The type and stream of the next frame; nothing once the connection has ended.
async fn heard(stream: &mut TlsStream<TcpStream>) -> Option<(u8, u32)> {
    let mut head = [0; 9];
    timeout(PATIENCE, stream.read_exact(&mut head)).await.unwrap().ok()?;
    let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    stream.read_exact(&mut vec![0; len]).await.ok()?;
    Some((head[3], u32::from_be_bytes(head[5..].try_into().unwrap())))
}

/// Connects, and waits for the tickets that come after the handshake. Gives how the
/// handshake was made, or nothing if the server did not let it in.
async fn visit(address: &str, config: &Arc<ClientConfig>) -> Option<HandshakeKind> {
    let mut stream = handshake(address, config).await.ok()?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.ok()?;
    // The server's SETTINGS.
    let mut frame = [0; 9];
    timeout(PATIENCE, stream.read_exact(&mut frame)).await.unwrap().ok()?;
    stream.get_ref().1.handshake_kind()
}

#[tokio::test]
async fn a_session_of_a_ca_that_is_gone_is_not_resumed() {
    for version in [&TLS12, &TLS13] {
        let (servers, old, new) =
            (Authority::new("servers"), Authority::new("old"), Authority::new("new"));
        let files = Files::new(&servers.server(), Some(&old.pem()));
        let (sidecar, ca) = (files.start(), servers.pem());
        let config = Arc::new(client_config(&ca, Some(&old.client("x")), &[version]));
        assert_eq!(visit(&sidecar.listen, &config).await, Some(HandshakeKind::Full));
        assert_eq!(visit(&sidecar.listen, &config).await, Some(HandshakeKind::Resumed));

        files.write("ca.crt", &new.pem());
        logged(&sidecar, TAKEN, 1).await;
        for _ in 0..4 {
            assert_eq!(visit(&sidecar.listen, &config).await, None, "{version:?}");
        }
        let welcome = Arc::new(client_config(&ca, Some(&new.client("x")), &[version]));
        assert!(visit(&sidecar.listen, &welcome).await.is_some());
        finish(sidecar).await;
    }
}
