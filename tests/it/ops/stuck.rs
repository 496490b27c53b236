//! Threads that do nothing any more: a worker, for which a restart would help, and those that have
//! no part in probes.

use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tonic_health::pb::health_check_response::ServingStatus::{self, NotServing, Serving};

use super::{get, health, probes, value, wait_for_readiness};
use crate::sidecar::{Sidecar, wait_until};

/// Strace on the threads of a name, whose next waits take long. Let go when dropped.
struct Stuck {
    strace: Child,
    threads: Vec<PathBuf>,
}

impl Stuck {
    fn threads(sidecar: &Sidecar, name: &str, count: usize) -> Self {
        let tasks = fs::read_dir(format!("/proc/{}/task", sidecar.pid())).unwrap();
        let tasks = tasks.map(|task| task.unwrap());
        let is_named = |task: &fs::DirEntry| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let threads: Vec<_> = tasks.filter(is_named).map(|task| task.path()).collect();
        assert_eq!(threads.len(), count, "{name}");
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-e", "inject=epoll_wait,futex:delay_exit=40000000"]);
        for thread in &threads {
            strace.arg("-p").arg(thread.file_name().unwrap());
        }
        Self { strace: strace.stderr(Stdio::null()).spawn().unwrap(), threads }
    }

    /// Whether all of them are held at this moment.
    fn are_held(&self) -> bool {
        let status = |thread: &PathBuf| fs::read_to_string(thread.join("status")).unwrap();
        self.threads.iter().all(|thread| status(thread).contains("tracing stop"))
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.strace.kill().unwrap();
        self.strace.wait().unwrap();
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
    let stuck = Stuck::threads(&sidecar, "worker-1", 1);
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
    let stuck = Stuck::threads(&sidecar, "background", 2);
    // What is asked there makes each of them wait once more.
    let mut held_since = None;
    wait_until("the others to be held", || {
        TcpStream::connect(&sidecar.authzen_listen).unwrap();
        held_since = stuck.are_held().then(|| held_since.unwrap_or_else(Instant::now));
        held_since.is_some_and(|since| since.elapsed() > Duration::from_secs(1))
    });
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(probes(&ops), [200; 3]);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(stuck);
    sidecar.finish().await;
}
