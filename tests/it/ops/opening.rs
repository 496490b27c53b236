//! While the store is being opened: it lives, and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

use super::{get, health, probes, value, wait_for_readiness};
use crate::sidecar::{PROGRAM, Sidecar, Starting, wait_until};

/// A sidecar that starts on sockets in a directory, and does not get beyond the operator token:
/// nobody writes to the pipe that is in its file's place. The store's files are open then.
struct Held {
    temporary: TempDir,
    starting: Starting,
    token: String,
}

impl Held {
    async fn start() -> Self {
        let temporary = TempDir::new().unwrap();
        let dir = temporary.path().join("data");
        let sidecar = Sidecar::start_on(&dir, &[]);
        sidecar.create("writer").await;
        let token = sidecar.operator_token();
        sidecar.finish().await;
        fs::remove_file(dir.join("operator.token")).unwrap();
        mknodat(CWD, dir.join("operator.token"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .unwrap();
        let at = |name: &str| format!("unix:{}", temporary.path().join(name).display());
        let args = [
            "--listen",
            &at("authorization"),
            "--admin-listen",
            &at("admin"),
            "--authzen-listen",
            &at("authzen"),
            "--ops-listen",
            &at("ops"),
        ];
        let starting = Starting::spawn(Command::new(PROGRAM), &dir, &args);
        let held = Self { temporary, starting, token };
        wait_until("the ops listener", || listens(&held.path("ops")));
        held
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    fn at(&self, name: &str) -> String {
        format!("unix:{}", self.path(name).display())
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }
}

fn listens(path: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(path).is_ok()
}

#[tokio::test]
async fn while_the_store_is_being_opened_it_lives_and_does_not_listen() {
    let held = Held::start().await;
    let ops = held.at("ops");
    let state = held.data().join("state");
    wait_until("the store's files", || state.exists());
    for _ in 0..20 {
        assert_eq!(probes(&ops), [503, 503, 200]);
        for name in ["authorization", "admin", "authzen"] {
            assert!(!listens(&held.path(name)), "{name}");
        }
    }
    assert_eq!(get(&ops, "/startupz").text(), "starting: the store is being opened\n");
    assert_eq!(get(&ops, "/readyz").text(), "not ready: the store is being opened\n");
    for (service, status) in [
        ("", NotServing),
        ("startup", NotServing),
        ("readiness", NotServing),
        ("liveness", Serving),
        ("octavia.authz.v1.AuthorizationService", NotServing),
        ("octavia.authz.v1.ApiKeyService", NotServing),
    ] {
        assert_eq!(health(&ops, service).await, status, "{service}");
    }
    assert_eq!(value(&ops, "octavia_authz_ready"), Some(0.0));
    assert!(!held.starting.log().contains("serving"), "{}", held.starting.log());

    fs::write(held.data().join("operator.token"), &held.token).unwrap();
    wait_for_readiness(&ops, 200);
    assert_eq!(probes(&ops), [200; 3]);
    for service in ["", "startup", "readiness", "liveness"] {
        assert_eq!(health(&ops, service).await, Serving, "{service}");
    }
    assert_eq!(value(&ops, "octavia_authz_ready"), Some(1.0));
    let Held { starting, temporary, .. } = held;
    let sidecar = starting.serving().unwrap();
    for name in ["authorization", "admin", "authzen"] {
        assert!(listens(&temporary.path().join(name)), "{name}");
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn who_watches_from_the_first_moment_is_told_when_it_is_ready() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let held = Held::start().await;
    let mut client = HealthClient::new(crate::sidecar::connect(&held.at("ops")).await);
    let request = HealthCheckRequest { service: "readiness".into() };
    let mut watch = client.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), NotServing);
    fs::write(held.data().join("operator.token"), &held.token).unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), Serving);
    let Held { starting, temporary: _temporary, .. } = held;
    let sidecar = starting.serving().unwrap();
    drop((watch, client));
    sidecar.finish().await;
}

#[tokio::test]
async fn sigterm_while_the_store_is_being_opened_ends_it_at_once() {
    let held = Held::start().await;
    let ops = held.at("ops");
    assert_eq!(probes(&ops), [503, 503, 200]);
    let Held { temporary, starting, token } = held;
    let asked = Instant::now();
    let (status, log) = starting.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(log.contains("SIGTERM") && !log.contains("serving"), "{log}");
    assert!(!log.contains("a defect") && !log.contains("panicked"), "{log}");

    // Nothing is lost, and the socket that may be left behind is in nobody's way.
    let dir = temporary.path().join("data");
    fs::remove_file(dir.join("operator.token")).unwrap();
    fs::write(dir.join("operator.token"), token).unwrap();
    let sidecar = Sidecar::start_on(&dir, &["--ops-listen", &ops]);
    wait_for_readiness(&ops, 200);
    assert_eq!(value(&ops, "octavia_authz_revision"), Some(1.0));
    sidecar.finish().await;
}
