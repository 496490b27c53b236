//! Threads that do nothing any more: a worker, for which a restart would help, and those that have
//! no part in probes.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tonic_health::pb::health_check_response::ServingStatus::{self, NotServing, Serving};

use super::{get, health, probes, value, wait_for_readiness};
use crate::sidecar::{Sidecar, wait_until};

/// Strace on the threads of a name, whose next waits take long. Let go when dropped.
struct Stuck(Child);

impl Stuck {
    fn threads(sidecar: &Sidecar, name: &str) -> Self {
        let tasks = fs::read_dir(format!("/proc/{}/task", sidecar.pid())).unwrap();
        let tasks = tasks.map(|task| task.unwrap());
        let is_named = |task: &fs::DirEntry| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let threads: Vec<_> = tasks.filter(is_named).map(|task| task.file_name()).collect();
        assert!(!threads.is_empty(), "{name}");
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-e", "inject=epoll_wait,futex:delay_exit=40000000"]);
        for thread in threads {
            strace.arg("-p").arg(thread);
        }
        Self(strace.stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Waits until gRPC is told `expected` of a service.
async fn wait_for_health(ops: &str, service: &str, expected: ServingStatus) {
    let started = Instant::now();
    while health(ops, service).await != expected {
        assert!(started.elapsed() < Duration::from_secs(5), "{service} is not {expected:?}");
    }
}

#[tokio::test]
#[ignore = "needs strace, and root to use it on one thread; takes 15 s"]
async fn a_worker_that_is_stuck_is_not_ready_after_5_s_and_no_life_after_15_s() {
    let sidecar = Sidecar::start_with(&["--workers", "2"]);
    let ops = sidecar.ops_listen.clone();
    wait_for_readiness(&ops, 200);
    let began = Instant::now();
    let stuck = Stuck::threads(&sidecar, "worker-1");
    wait_for_readiness(&ops, 503);
    let took = began.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(10), "{took:?}");
    let said = get(&ops, "/readyz");
    assert!(said.text().starts_with("not ready: worker 1 has done nothing"), "{}", said.text());
    wait_for_health(&ops, "readiness", NotServing).await;
    assert_eq!(value(&ops, "octavia_authz_ready"), Some(0.0));
    assert_eq!(probes(&ops), [200, 503, 200]);

    wait_until("the worker to be missed", || get(&ops, "/livez").status == 503);
    let took = began.elapsed();
    assert!(took > Duration::from_secs(13), "{took:?}");
    let said = get(&ops, "/livez");
    assert!(said.text().starts_with("stuck: worker 1 has done nothing for "), "{}", said.text());
    wait_for_health(&ops, "liveness", NotServing).await;
    drop(stuck);
    wait_until("the worker to go on", || probes(&ops) == [200; 3]);
    wait_for_health(&ops, "liveness", Serving).await;
    wait_for_health(&ops, "readiness", Serving).await;
    wait_until("it to be told", || sidecar.log().contains("ready again"));
    assert!(sidecar.log().contains(r#""reason":"worker 1 has done nothing"#), "{}", sidecar.log());
    assert_eq!(sidecar.stop().await.code(), Some(0));
}

#[tokio::test]
#[ignore = "needs strace, and root to use it on threads"]
async fn probes_are_answered_whatever_keeps_the_threads_of_the_other_apis_busy() {
    let sidecar = Sidecar::start_with(&["--authzen-listen", "127.0.0.1:0"]);
    let ops = sidecar.ops_listen.clone();
    wait_for_readiness(&ops, 200);
    let stuck = Stuck::threads(&sidecar, "background");
    wait_until("the others to be held", || {
        let mut stream = TcpStream::connect(&sidecar.authzen_listen).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        stream.write_all(request).is_ok() && stream.read(&mut [0]).is_err()
    });
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(probes(&ops), [200; 3]);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(stuck);
    sidecar.finish().await;
}
