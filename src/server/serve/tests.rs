//! Clients that are slow, silent, greedy or many; and the end.

use std::{os::unix::net::UnixStream as StdUnix, time::Instant};

use axum::{
    Router,
    body::Bytes,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::{Notify, watch},
    task::JoinHandle,
};

use super::*;
use crate::{
    config::Limits,
    metrics::Listeners,
    server::{api::Protocol, body, connection::Pacing},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than a test lasts.
const NEVER: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(50);

/// No limit that a test does not set.
const UNLIMITED: Limits =
    Limits { handshake_timeout: NEVER, request_timeout: NEVER, ..Limits::DEFAULT };

struct Running {
    api: Api,
    queue: Queue,
    task: JoinHandle<()>,
    drain: watch::Sender<Option<Duration>>,
    /// Lets one that waits at `/wait` be answered.
    go: Arc<Notify>,
}

impl Running {
    /// A server that says how long a body is, and tells much when it is asked to.
    fn start(limits: Limits) -> Self {
        let pacing =
            Pacing { head: limits.handshake_timeout, idle: NEVER, write: limits.request_timeout };
        Self::start_paced(limits, pacing)
    }

    fn start_paced(limits: Limits, pacing: Pacing) -> Self {
        let go = Arc::<Notify>::default();
        let waits = Arc::clone(&go);
        let router = Router::new()
            .route("/wait", get(async move || waits.notified().await))
            .route("/len", post(async |body: Bytes| body.len().to_string()))
            .route("/much", get(async || vec![b'x'; 8 << 20]))
            .layer(DefaultBodyLimit::disable());
        let router = body::read_whole(router, limits.max_message_bytes);
        let metrics = Listeners::default().of("test");
        let api = Api::new("test", Protocol::Http, router, limits, metrics).paced(pacing);
        let (drain, drained) = watch::channel(None);
        let (queue, accepted) = Queue::new();
        let task = tokio::spawn(all(accepted, drained));
        Self { api, queue, task, drain, go }
    }

    async fn connect(&self) -> UnixStream {
        let (ours, theirs) = StdUnix::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        self.queue.dispatch(Socket::Unix(theirs), &self.api).await;
        UnixStream::from_std(ours).unwrap()
    }

    /// Waits until there are `open` connections.
    async fn settled(&self, open: usize) {
        let settled = async {
            while self.queue.open() != open {
                tokio::task::yield_now().await;
            }
        };
        assert!(timeout(PATIENCE, settled).await.is_ok(), "{} are open", self.queue.open());
    }

    fn drain(&self, within: Duration) {
        self.drain.send_replace(Some(within));
        self.api.drain();
    }

    async fn drained(self, within: Duration) {
        self.drain(within);
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

/// All that is said until the connection ends.
async fn rest(client: &mut UnixStream) -> String {
    let mut said = Vec::new();
    let read = timeout(PATIENCE, client.read_to_end(&mut said)).await;
    // A connection that is reset has ended, too.
    let _ = read.expect("the connection does not end");
    String::from_utf8(said).unwrap()
}

/// One answer, of a body of `len` bytes.
async fn answer(client: &mut UnixStream, len: usize) -> String {
    let mut said = Vec::new();
    while !said.ends_with(b"\r\n\r\n") {
        said.push(timeout(PATIENCE, client.read_u8()).await.unwrap().unwrap());
    }
    let head = said.len();
    said.resize(head + len, 0);
    timeout(PATIENCE, client.read_exact(&mut said[head..])).await.unwrap().unwrap();
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn a_connection_carries_requests_and_their_ids() {
    let running = Running::start(UNLIMITED);
    let mut client = running.connect().await;
    for (id, body) in [("one", "abc"), ("two", "")] {
        let len = body.len();
        let head = format!("POST /len HTTP/1.1\r\nx-request-id: {id}\r\ncontent-length: {len}");
        client.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
        let said = answer(&mut client, 1).await;
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
        assert!(said.contains(&format!("x-request-id: {id}\r\n")), "{said}");
        assert!(said.ends_with(&format!("\r\n\r\n{len}")), "{said}");
    }
    let chunked = "POST /len HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    client.write_all(chunked.as_bytes()).await.unwrap();
    assert!(answer(&mut client, 1).await.ends_with("\r\n\r\n2"));
    running.drained(NEVER).await;
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test]
async fn a_client_that_says_too_little_too_slowly_is_closed() {
    let running = Running::start(Limits { handshake_timeout: SHORT, ..UNLIMITED });
    for said in ["", "P", "POST /len HTTP/1.1\r\nhost: a\r\n"] {
        let (mut client, begun) = (running.connect().await, Instant::now());
        client.write_all(said.as_bytes()).await.unwrap();
        assert_eq!(rest(&mut client).await, "", "{said}");
        assert!(begun.elapsed() >= SHORT);
    }
    running.drained(NEVER).await;
}

#[tokio::test]
async fn a_client_that_says_a_byte_now_and_then_is_closed() {
    let running = Running::start(Limits { handshake_timeout: SHORT / 5, ..UNLIMITED });
    let (mut read, mut write) = running.connect().await.into_split();
    let drip = async {
        for byte in "POST /len HTTP/1.1\r\nx: ".bytes().chain(std::iter::repeat(b'y')) {
            if write.write_u8(byte).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let mut said = Vec::new();
    let closed = async {
        tokio::select! {
            () = drip => {}
            _ = read.read_to_end(&mut said) => {}
        }
    };
    timeout(PATIENCE, closed).await.unwrap();
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
    running.drained(NEVER).await;
}

#[tokio::test]
async fn a_connection_may_idle_for_longer_than_a_head_may_take() {
    let running =
        Running::start_paced(UNLIMITED, Pacing { head: SHORT, idle: 6 * SHORT, write: NEVER });
    let (mut client, begun) = (running.connect().await, Instant::now());
    client.write_all(b"POST /len HTTP/1.1\r\n\r\n").await.unwrap();
    answer(&mut client, 1).await;
    assert_eq!(rest(&mut client).await, "");
    assert!(begun.elapsed() >= 6 * SHORT, "{:?}", begun.elapsed());
    running.drained(NEVER).await;
}

#[tokio::test]
async fn the_head_of_a_second_request_may_take_no_longer_than_that_of_the_first() {
    let running = Running::start(Limits { handshake_timeout: SHORT, ..UNLIMITED });
    let mut client = running.connect().await;
    client.write_all(b"POST /len HTTP/1.1\r\n\r\n").await.unwrap();
    answer(&mut client, 1).await;
    client.write_all(b"POST /len HT").await.unwrap();
    assert_eq!(rest(&mut client).await, "");
    running.drained(NEVER).await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let running = Running::start(Limits { request_timeout: SHORT, ..UNLIMITED });
    let mut client = running.connect().await;
    let head = b"POST /len HTTP/1.1\r\nx-request-id: slow\r\ncontent-length: 9\r\n\r\nabc";
    client.write_all(head).await.unwrap();
    let said = rest(&mut client).await;
    assert!(said.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{said}");
    assert!(said.contains("x-request-id: slow\r\n"), "{said}");
    assert!(said.contains("within 50ms: if it was to change"), "{said}");
    running.drained(NEVER).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_in_a_way_that_its_client_sees() {
    let running = Running::start(UNLIMITED);
    for (len, status) in [(1 << 20, 200), ((1 << 20) + 1, 413), (6 << 20, 413)] {
        let mut client = running.connect().await;
        let head = format!("POST /len HTTP/1.1\r\ncontent-length: {len}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        // It reads only when it has written all.
        client.write_all(&vec![b' '; len]).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
        let said = rest(&mut client).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{len}: {said}");
        assert!(status == 200 || said.contains("more than 1048576 bytes: send less"), "{said}");
        assert!(said.contains("HTTP/1.1 404 "), "the connection went on: {said}");
    }
    // One without an end is not read to it.
    let mut client = running.connect().await;
    client.write_all(b"POST /len HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 65536], b"\r\n"].concat();
    while client.write_all(&chunk).await.is_ok() {}
    running.drained(NEVER).await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let running = Running::start(UNLIMITED);
    let mut client = running.connect().await;
    let head = format!("POST /len HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(16 << 10));
    client.write_all(head.as_bytes()).await.unwrap();
    let said = rest(&mut client).await;
    assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    running.drained(NEVER).await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_closed() {
    let running =
        Running::start_paced(UNLIMITED, Pacing { head: NEVER, idle: NEVER, write: SHORT });
    let mut client = running.connect().await;
    client.write_all(b"GET /much HTTP/1.1\r\n\r\n").await.unwrap();
    running.settled(0).await;
    assert!(rest(&mut client).await.len() < 8 << 20);
    running.drained(NEVER).await;
}

#[tokio::test]
async fn one_connection_too_many_takes_the_place_of_the_idlest() {
    let running = Running::start(Limits { max_connections: 2, ..UNLIMITED });
    let mut used = running.connect().await;
    used.write_all(b"POST /len HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(answer(&mut used, 1).await.starts_with("HTTP/1.1 200 "));
    // Those that have made no call go first, even if they are younger.
    for _ in 0..50 {
        let mut unused = running.connect().await;
        running.settled(2).await;
        let mut next = running.connect().await;
        assert_eq!(rest(&mut unused).await, "");
        next.write_all(b"POST /len HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(answer(&mut next, 1).await.starts_with("HTTP/1.1 200 "));
        drop(next);
        running.settled(1).await;
    }
    used.write_all(b"POST /len HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(answer(&mut used, 1).await.starts_with("HTTP/1.1 200 "));
    running.drained(NEVER).await;
}

#[tokio::test]
async fn nobody_loses_a_call_to_one_connection_too_many() {
    let running = Running::start(Limits { max_connections: 2, ..UNLIMITED });
    let mut working = [running.connect().await, running.connect().await];
    let head = b"POST /len HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    for client in &mut working {
        client.write_all(head).await.unwrap();
        assert!(answer(client, 0).await.starts_with("HTTP/1.1 100 "));
    }
    assert_eq!(rest(&mut running.connect().await).await, "");
    for client in &mut working {
        client.write_all(b"abc").await.unwrap();
        assert!(answer(client, 1).await.ends_with("\r\n\r\n3"));
    }
    running.drained(NEVER).await;
}

#[tokio::test]
async fn one_call_too_many_is_turned_away() {
    let running = Running::start(Limits { max_in_flight: 1, ..UNLIMITED });
    let mut working = running.connect().await;
    working.write_all(b"GET /wait HTTP/1.1\r\n\r\n").await.unwrap();
    let head = b"POST /len HTTP/1.1\r\nx-request-id: second\r\nconnection: close\r\n\r\n";
    let begun = Instant::now();
    let said = loop {
        let mut other = running.connect().await;
        other.write_all(head).await.unwrap();
        let said = rest(&mut other).await;
        // The first may not have been seen yet.
        if said.starts_with("HTTP/1.1 503 ") {
            break said;
        }
        assert!(begun.elapsed() < PATIENCE, "{said}");
    };
    assert!(said.contains("retry-after: 1\r\n") && said.contains("x-request-id: second"), "{said}");
    assert!(said.contains("more than 1 calls are in flight: try again"), "{said}");
    running.go.notify_one();
    assert!(answer(&mut working, 0).await.starts_with("HTTP/1.1 200 "));
    // There is room again.
    let mut other = running.connect().await;
    other.write_all(b"POST /len HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(answer(&mut other, 1).await.starts_with("HTTP/1.1 200 "));
    running.drained(NEVER).await;
}

#[tokio::test]
async fn one_whose_body_does_not_arrive_makes_room() {
    let running = Running::start(Limits { max_in_flight: 2, ..UNLIMITED });
    let head = b"POST /len HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    let mut begun = Vec::new();
    for _ in 0..10 {
        let mut client = running.connect().await;
        client.write_all(head).await.unwrap();
        assert!(answer(&mut client, 0).await.starts_with("HTTP/1.1 100 "));
        begun.push(client);
    }
    let mut newest = begun.split_off(8);
    // The oldest went, in turn.
    for client in &mut begun {
        let said = rest(client).await;
        assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    }
    for client in &mut newest {
        client.write_all(b"abc").await.unwrap();
        assert!(answer(client, 1).await.ends_with("\r\n\r\n3"));
    }
    running.drained(NEVER).await;
}

#[tokio::test]
async fn a_drain_lets_be_answered_what_is_in_flight_and_closes_the_rest() {
    let running = Running::start(UNLIMITED);
    let mut silent = running.connect().await;
    let mut idle = running.connect().await;
    idle.write_all(b"POST /len HTTP/1.1\r\n\r\n").await.unwrap();
    answer(&mut idle, 1).await;
    let mut working = running.connect().await;
    let head = b"POST /len HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    working.write_all(head).await.unwrap();
    // Now it is in flight.
    assert!(answer(&mut working, 0).await.starts_with("HTTP/1.1 100 "));
    running.drain(NEVER);
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut silent).await, "");
    working.write_all(b"abc").await.unwrap();
    let said = rest(&mut working).await;
    assert!(said.starts_with("HTTP/1.1 200 ") && said.ends_with("\r\n\r\n3"), "{said}");
    assert!(said.contains("connection: close\r\n"), "{said}");
    timeout(PATIENCE, running.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_ends_what_lasts_too_long() {
    let running = Running::start(UNLIMITED);
    let mut client = running.connect().await;
    let head = b"POST /len HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    client.write_all(head).await.unwrap();
    answer(&mut client, 0).await;
    running.drained(SHORT).await;
    assert_eq!(rest(&mut client).await, "");
}
