//! Probes over plain HTTP/1.1.

use tempfile::TempDir;

use super::{get, probes, wait_for_readiness};
use crate::{authzen::client::Client, sidecar::Sidecar};

const PATHS: [&str; 3] = ["/startupz", "/readyz", "/livez"];

#[tokio::test]
async fn probes_say_ok_again_and_again_on_one_connection() {
    let sidecar = Sidecar::start();
    wait_for_readiness(&sidecar.ops_listen, 200);
    let mut client = Client::at(&sidecar.ops_listen);
    for path in PATHS.into_iter().cycle().take(30) {
        let answer = client.ask("GET", path, &[], "");
        assert_eq!((answer.status, answer.text()), (200, "ok\n"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        client.send(format!("HEAD {path} HTTP/1.1\r\nhost: sidecar\r\n\r\n"));
        let answer = client.receive_head();
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("3")), "{path}");
    }
    client.send("HEAD /metrics HTTP/1.1\r\nhost: sidecar\r\n\r\n");
    assert_eq!(client.receive_head().status, 200);
    // As the oldest probes ask.
    client.send("GET /readyz HTTP/1.0\r\n\r\n");
    assert!(client.rest().ends_with(b"\r\n\r\nok\n"));
    sidecar.finish().await;
}

#[tokio::test]
async fn whoever_asks_for_what_is_not_there_is_told_what_is() {
    let sidecar = Sidecar::start();
    let mut client = Client::at(&sidecar.ops_listen);
    let index = client.ask("GET", "/", &[], "");
    assert_eq!(index.status, 200);
    for path in PATHS.into_iter().chain(["/metrics", "grpc.health.v1.Health"]) {
        assert!(index.text().contains(path), "{}", index.text());
    }
    for path in ["/healthz", "/readyz/", "/readyz/verbose", "/metrics.json", "//readyz", "/READYZ"]
    {
        for method in ["GET", "POST", "DELETE"] {
            let answer = client.ask(method, path, &[], "");
            assert_eq!((answer.status, answer.text()), (404, index.text()), "{method} {path}");
        }
    }
    for path in PATHS.into_iter().chain(["/", "/metrics"]) {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = client.ask(method, path, &[], "");
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{method} {path}");
        }
    }
    // A question behind it is no other path.
    assert_eq!(client.ask("GET", "/startupz?verbose=1", &[], "").status, 200);
    for wrong in ["hello\r\n\r\n", "GET /readyz HTTP/1.1\r\nbad header\r\n\r\n"] {
        let mut client = Client::at(&sidecar.ops_listen);
        client.send(wrong);
        assert!(client.rest().starts_with(b"HTTP/1.1 400"));
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn probes_are_on_every_address_that_was_named_or_nowhere() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("ops.sock");
    let socket = format!("unix:{}", path.display());
    let args = ["--ops-listen", "127.0.0.1:0", "--ops-listen", &socket];
    let sidecar = Sidecar::start_with(&args);
    let addresses: Vec<&str> = sidecar.ops_listen.split(", ").collect();
    assert_eq!((addresses.len(), addresses[1]), (2, socket.as_str()), "{addresses:?}");
    wait_for_readiness(&socket, 200);
    for address in addresses {
        assert_eq!(probes(address), [200; 3], "{address}");
        assert!(get(address, "/metrics").text().contains("octavia_authz_ready 1\n"));
    }
    sidecar.finish().await;
    assert!(!path.exists(), "the socket's file was left behind");

    let sidecar = Sidecar::start_with(&["--ops-listen", "none"]);
    assert_eq!(sidecar.ops_listen, "");
    sidecar.finish().await;
}
