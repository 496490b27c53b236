//! A gRPC client on bare h2, so that the client costs less than the server that
//! it measures.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use h2::client::SendRequest;
use http::{Method, Request};
use octavia_authz::pb::v1::AuthorizeRequest;
use tokio::net::TcpStream;

/// A call, and how a reply to it begins that allows.
#[derive(Clone)]
pub struct Call {
    path: &'static str,
    frame: Bytes,
    allowed: [u8; 2],
}

impl Call {
    /// `Authorize`; the reply begins with `allowed = true`.
    pub fn authorize(request: &AuthorizeRequest) -> Self {
        let path = "/octavia.authz.v1.AuthorizationService/Authorize";
        Self { path, frame: framed(request), allowed: ALLOWED }
    }

    /// Envoy's `Check`; the reply begins with an empty status, which is OK.
    pub fn check(request: &CheckRequest) -> Self {
        let path = "/envoy.service.auth.v3.Authorization/Check";
        Self { path, frame: framed(request), allowed: [0x0a, 0x00] }
    }

    /// How long the message is, in bytes.
    pub fn len(&self) -> usize {
        self.frame.len() - FRAME_HEADER
    }
}

/// The beginning of a decision that allows: `allowed = true`.
const ALLOWED: [u8; 2] = [0x08, 0x01];
const FRAME_HEADER: usize = 5;

/// A message with gRPC's five bytes before it.
fn framed(message: &impl prost::Message) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut frame).unwrap();
    frame.freeze()
}

async fn connect(address: &str) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let builder = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .handshake(stream)
        .await;
    let (sender, connection) = builder.unwrap();
    tokio::spawn(connection);
    sender
}

fn call(address: &str, path: &str) -> Request<()> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap()
}

/// Makes `calls` times `made`; checks every answer.
pub async fn unary(
    address: &str,
    made: &Call,
    connections: usize,
    streams: usize,
    calls: usize,
    allowed: bool,
) {
    let (body, expected) = (made.frame.clone(), made.allowed);
    let left = Arc::new(AtomicUsize::new(calls));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let sender = connect(address).await;
        for _ in 0..streams {
            let (sender, body, left) = (sender.clone(), body.clone(), Arc::clone(&left));
            let call = call(address, made.path);
            tasks.spawn(async move {
                let mut sender = sender;
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok()
                {
                    sender = sender.ready().await.unwrap();
                    let (response, mut stream) = sender.send_request(call.clone(), false).unwrap();
                    stream.send_data(body.clone(), true).unwrap();
                    let mut reply = response.await.unwrap().into_body();
                    let mut first = true;
                    while let Some(data) = reply.data().await {
                        let data = data.unwrap();
                        if allowed && first {
                            assert_eq!(data[FRAME_HEADER..FRAME_HEADER + 2], expected);
                        }
                        first = false;
                        reply.flow_control().release_capacity(data.len()).unwrap();
                    }
                    let trailers = reply.trailers().await.unwrap().unwrap();
                    assert_eq!(trailers["grpc-status"], "0");
                }
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// Makes `calls` calls of `mix`, one after the other on each of `streams` streams of one connection,
/// and takes the time of each.
pub async fn latencies(address: &str, mix: &[Call], streams: usize, calls: usize) -> Vec<Duration> {
    let sender = connect(address).await;
    let mut tasks = tokio::task::JoinSet::new();
    for stream in 0..streams {
        let (mut sender, mix) = (sender.clone(), mix.to_vec());
        let requests: Vec<_> = mix.iter().map(|made| call(address, made.path)).collect();
        tasks.spawn(async move {
            let mut times = Vec::with_capacity(calls / streams);
            for number in stream..stream + calls / streams {
                let which = number % mix.len();
                let (request, body) = (requests[which].clone(), mix[which].frame.clone());
                sender = sender.ready().await.unwrap();
                let started = Instant::now();
                let (response, mut stream) = sender.send_request(request, false).unwrap();
                stream.send_data(body, true).unwrap();
                let mut reply = response.await.unwrap().into_body();
                while let Some(data) = reply.data().await {
                    let len = data.unwrap().len();
                    reply.flow_control().release_capacity(len).unwrap();
                }
                let trailers = reply.trailers().await.unwrap().unwrap();
                times.push(started.elapsed());
                assert_eq!(trailers["grpc-status"], "0");
            }
            times
        });
    }
    tasks.join_all().await.concat()
}

/// Sends `count` requests over `streams` streams, each on a connection of its
/// own, and counts the answers.
pub async fn stream(address: &str, request: &AuthorizeRequest, streams: usize, count: usize) {
    const CHUNK: usize = 100;
    let frame = framed(request);
    let chunk: Bytes = frame.repeat(CHUNK).into();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..streams {
        let sender = connect(address).await;
        let path = "/octavia.authz.v1.AuthorizationService/StreamAuthorize";
        let (call, chunk) = (call(address, path), chunk.clone());
        let chunks = count / streams / CHUNK;
        tasks.spawn(async move {
            let (response, mut requests) =
                sender.ready().await.unwrap().send_request(call, false).unwrap();
            tokio::spawn(async move {
                for _ in 0..chunks {
                    let mut rest = chunk.clone();
                    while !rest.is_empty() {
                        requests.reserve_capacity(rest.len());
                        poll_fn(|cx| requests.poll_capacity(cx)).await.unwrap().unwrap();
                        let now = requests.capacity().min(rest.len());
                        requests.send_data(rest.split_to(now), false).unwrap();
                    }
                }
                requests.send_data(Bytes::new(), true).unwrap();
            });
            let mut replies = response.await.unwrap().into_body();
            // Every answer is the same but for nothing: their length tells their number.
            let (mut total, mut each) = (0, 0);
            while let Some(data) = replies.data().await {
                let data = data.unwrap();
                if each == 0 {
                    each = FRAME_HEADER
                        + u32::from_be_bytes(data[1..FRAME_HEADER].try_into().unwrap()) as usize;
                    assert_eq!(data[FRAME_HEADER..FRAME_HEADER + 2], ALLOWED);
                }
                total += data.len();
                replies.flow_control().release_capacity(data.len()).unwrap();
            }
            assert_eq!((total / each, total % each), (chunks * CHUNK, 0));
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}
