//! The ops listener and the limits, with TLS on.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{io::AsyncReadExt as _, time::timeout};
use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::{
    Authority, Files, TAKEN, ask, channel, client_config, create, finish, handshake, logged,
};
use crate::{
    ops::{get, value, wait_for},
    sidecar::{PATIENCE, wait_until},
};

/// Midnights of 1 January, since the epoch.
const YEAR_3000: f64 = 32_503_680_000.0;
const YEAR_4000: f64 = 64_060_588_800.0;

fn expiry(listener: &str) -> String {
    format!("octavia_authz_tls_certificate_expiry_timestamp_seconds{{listener=\"{listener}\"}}")
}

#[tokio::test]
async fn probes_and_metrics_are_plain_and_tell_when_the_certificate_expires() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server(), None);
    let sidecar = files.start_with(&["--authzen-listen", "127.0.0.1:0"]);
    wait_until("readiness", || get(&sidecar.ops_listen, "/readyz").status == 200);
    assert_eq!(get(&sidecar.ops_listen, "/livez").text(), "ok\n");
    for listener in ["authorization", "admin", "authzen"] {
        wait_for(&sidecar, &expiry(listener), YEAR_4000);
    }
    assert_eq!(value(&sidecar.ops_listen, &expiry("ops")), None);
    let sooner = ca.server_until(3000);
    files.write("tls.key", &sooner.key);
    files.write("tls.crt", &sooner.cert);
    logged(&sidecar, TAKEN, 1).await;
    for listener in ["authorization", "admin", "authzen"] {
        wait_for(&sidecar, &expiry(listener), YEAR_3000);
    }
    assert_eq!(
        value(&sidecar.ops_listen, "octavia_authz_tls_reloads_total{result=\"done\"}"),
        Some(1.0)
    );
    // Who does not speak TLS is counted.
    let refused = "octavia_authz_connections_refused_total{listener=\"admin\"}";
    assert_eq!(value(&sidecar.ops_listen, refused), Some(0.0));
    let mut plain = TcpStream::connect(&sidecar.admin_listen).unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    wait_for(&sidecar, refused, 1.0);
    finish(sidecar).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_within_its_timeout_is_closed() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server(), None);
    let sidecar = files.start_with(&["--handshake-timeout", "300ms"]);
    let key = create(&sidecar, channel(&sidecar.admin_listen, &ca.pem(), None).await).await;
    let kept = channel(&sidecar.listen, &ca.pem(), None).await;
    // Nothing, and the beginning of a greeting.
    for said in [&b""[..], &[22, 3, 1], &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc]] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(&sidecar.listen).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(said).unwrap();
        if let Err(error) = stream.read_to_end(&mut Vec::new()) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(4), "{took:?}");
    }
    assert!(ask(&kept, &key).await.unwrap().allowed);
    wait_for(&sidecar, "octavia_authz_connections_refused_total{listener=\"authorization\"}", 3.0);
    finish(sidecar).await;
}

#[tokio::test]
async fn who_makes_a_handshake_and_says_nothing_is_closed_too() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server(), None);
    let sidecar = files.start_with(&["--handshake-timeout", "300ms"]);
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(client_config(&ca.pem(), None, &[version]));
        for address in [&sidecar.listen, &sidecar.admin_listen] {
            let began = Instant::now();
            let mut stream = handshake(address, &config).await.unwrap();
            let mut said = Vec::new();
            let ended = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
            if let Err(error) = ended.expect("still open") {
                assert!(
                    [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof].contains(&error.kind()),
                    "{error}"
                );
            }
            let took = began.elapsed();
            assert!(
                took >= Duration::from_millis(300) && took < Duration::from_secs(4),
                "{took:?}"
            );
        }
    }
    finish(sidecar).await;
}
