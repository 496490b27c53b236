//! How many connections there may be where the process may have few open files.

use std::{net::TcpStream, process::Command};

use tempfile::TempDir;

use crate::sidecar::{PROGRAM, Sidecar};

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
    assert!(log.contains(r#""open_files":600,"max_connections":80"#), "{log}");
    let (_, text) = sidecar.create("writer").await;
    let _idle: Vec<_> = (0..300).map(|_| TcpStream::connect(&sidecar.listen).unwrap()).collect();
    for _ in 0..10 {
        sidecar.create("writer").await;
        assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised() {
    let (_dir, sidecar) = start("100:20000", &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", sidecar.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("20000"), "{line}");
    assert!(!sidecar.log().contains("open_files"));
    sidecar.finish().await;
}
