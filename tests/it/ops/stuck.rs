//! A worker that does nothing any more: a restart would help.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

use super::{get, health, probes, wait_for_readiness};
use crate::sidecar::{Sidecar, wait_until};

/// Strace on one thread, whose next wait for events takes long. Let go when dropped.
struct Stuck(Child);

impl Stuck {
    fn thread(sidecar: &Sidecar, name: &str) -> Self {
        let tasks = fs::read_dir(format!("/proc/{}/task", sidecar.pid())).unwrap();
        let mut tasks = tasks.map(|task| task.unwrap());
        let is_named = |task: &fs::DirEntry| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let thread = tasks.find(is_named).unwrap().file_name();
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-e", "inject=epoll_wait:delay_exit=40000000", "-p"]).arg(thread);
        Self(strace.stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
#[ignore = "needs strace, and root to use it on one thread; takes 15 s"]
async fn a_worker_that_is_stuck_for_15_s_is_no_life_and_one_that_goes_on_is() {
    let sidecar = Sidecar::start_with(&["--workers", "2"]);
    let ops = sidecar.ops_listen.clone();
    wait_for_readiness(&ops, 200);
    let began = Instant::now();
    let stuck = Stuck::thread(&sidecar, "worker-1");
    wait_until("the worker to be missed", || get(&ops, "/livez").status == 503);
    let took = began.elapsed();
    assert!(took > Duration::from_secs(13), "{took:?}");
    let said = get(&ops, "/livez");
    assert!(said.text().starts_with("stuck: worker 1 has done nothing for "), "{}", said.text());
    assert_eq!(probes(&ops)[..2], [200, 200]);
    let started = Instant::now();
    while health(&ops, "liveness").await != NotServing {
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    drop(stuck);
    wait_until("the worker to go on", || get(&ops, "/livez").status == 200);
    let started = Instant::now();
    while health(&ops, "liveness").await != Serving {
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    sidecar.finish().await;
}
