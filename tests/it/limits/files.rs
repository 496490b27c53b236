//! How many connections there may be where the process may have few open files.

use std::{io::ErrorKind, net::TcpStream, process::Command};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::sidecar::{PATIENCE, PROGRAM, Sidecar, wait_until};

fn start(limit: &str, args: &[&str]) -> (TempDir, Sidecar) {
    let dir = TempDir::new().unwrap();
    let mut command = Command::new("prlimit");
    command.args([&format!("--nofile={limit}"), PROGRAM]);
    let sidecar = Sidecar::try_spawn(command, &dir.path().join("data"), args).unwrap();
    (dir, sidecar)
}

#[tokio::test]
async fn connections_leave_open_files_for_the_store_and_it_says_how_many_there_may_be() {
    let (_dir, sidecar) = start("100:600", &[]);
    let log = sidecar.log();
    assert!(
        log.contains(r#""open_files":600,"max_connections":22,"max_side_connections":19"#),
        "{log}"
    );
    let (_, text) = sidecar.create("writer").await;
    let _idle: Vec<_> = (0..300).map(|_| TcpStream::connect(&sidecar.listen).unwrap()).collect();
    for _ in 0..10 {
        sidecar.create("writer").await;
        assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn who_fills_the_other_apis_takes_no_open_file_of_authorization_or_the_store() {
    let limit = getrlimit(Resource::Nofile);
    // Ours, for the clients.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    // Those that say nothing stay.
    let args = ["--authzen-listen", "127.0.0.1:0", "--handshake-timeout", "1h"];
    let (_dir, sidecar) = start("700:700", &args);
    let (_, text) = sidecar.create("writer").await;
    let dashboard = sidecar.dashboard.trim_start_matches("http://");
    let mut idle = Vec::new();
    for address in [&sidecar.ops_listen, &sidecar.authzen_listen, dashboard, &sidecar.admin_listen]
    {
        idle.extend((0..220).map(|_| TcpStream::connect(address).unwrap()));
    }
    let decided = timeout(PATIENCE, sidecar.authorize(&text, "articles.create"));
    assert!(decided.await.expect("nobody is let in").allowed);
    timeout(PATIENCE, sidecar.create("writer")).await.expect("no key can be made");
    assert!(!sidecar.finish().await.contains("could not be accepted"));
    drop(idle);
}

#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised_and_20_000_are_enough() {
    let (_dir, sidecar) = start("100:20000", &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", sidecar.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("20000"), "{line}");
    assert!(!sidecar.log().contains("open_files"));
    sidecar.finish().await;
}

#[tokio::test]
async fn an_api_that_decides_nothing_keeps_1_000_connections() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let (_dir, sidecar) = start("20000:20000", &["--handshake-timeout", "1h"]);
    let dashboard = sidecar.dashboard.trim_start_matches("http://");
    let idle: Vec<_> = (0..1300).map(|_| TcpStream::connect(dashboard).unwrap()).collect();
    let is_kept = |stream: &&TcpStream| {
        stream.set_nonblocking(true).unwrap();
        stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    // While they are ending there are a tenth more; a hundredth at a time has made room.
    wait_until("300 to be closed", || (989..=1000).contains(&idle.iter().filter(is_kept).count()));
    sidecar.finish().await;
}
