//! Certificates that hold no more, or not yet, and CAs that expire.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_rustls::rustls::{
    pki_types::{CertificateDer, pem::PemObject as _},
    version::TLS13,
};

use super::{Authority, Files, Issued, TAKEN, client_config, finish, handshake, logged};
use crate::sidecar::Sidecar;

fn replace(files: &Files, server: &Issued) {
    files.write("tls.crt", &server.cert);
    files.write("tls.key", &server.key);
}

/// Whether new connections are shown `server`, by a client that looks at the times.
async fn is_shown(sidecar: &Sidecar, ca: &Authority, server: &Issued) -> bool {
    let config = Arc::new(client_config(&ca.pem(), None, &[&TLS13]));
    let stream = handshake(&sidecar.listen, &config).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    shown == CertificateDer::from_pem_slice(server.cert.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_good_certificate_is_not_replaced_by_one_that_does_not_hold() {
    let (ca, now) = (Authority::new("servers"), SystemTime::now());
    let first = ca.server();
    let files = Files::new(&first, None);
    let sidecar = files.start();
    let next_hour = ca.server_from(now + Duration::from_secs(3600));
    for (server, said) in [
        (&ca.server_until(2020), "has expired at 2020-01-01"),
        (&next_hour, "does not hold before"),
    ] {
        replace(&files, server);
        logged(&sidecar, said, 1).await;
        assert!(is_shown(&sidecar, &ca, &first).await, "{said}");
    }
    // No mistake: it is waited for.
    let soon = ca.server_from(SystemTime::now() + Duration::from_secs(4));
    replace(&files, &soon);
    logged(&sidecar, TAKEN, 1).await;
    assert!(is_shown(&sidecar, &ca, &soon).await);
    let log = finish(sidecar).await;
    for said in ["has expired at", "does not hold before"] {
        assert_eq!(log.matches(said).count(), 1, "{log}");
    }
    assert_eq!(log.matches(TAKEN).count(), 1, "{log}");
}

#[tokio::test]
async fn a_start_with_a_certificate_that_does_not_hold_yet_is_warned_of() {
    let ca = Authority::new("servers");
    let server = ca.server_from(SystemTime::now() + Duration::from_secs(3600));
    let files = Files::new(&server, None);
    let sidecar = files.start();
    logged(&sidecar, "the TLS certificate does not hold yet", 1).await;
    // Any other is as good.
    replace(&files, &ca.server_until(2020));
    logged(&sidecar, TAKEN, 1).await;
    logged(&sidecar, "the TLS certificate has expired", 1).await;
    finish(sidecar).await;
}

#[tokio::test]
async fn a_client_ca_that_expires_while_it_runs_is_warned_of() {
    let clients = Authority::until("clients", SystemTime::now() + Duration::from_secs(4));
    let files = Files::new(&Authority::new("servers").server(), Some(&clients.pem()));
    let sidecar = files.start();
    logged(&sidecar, "a TLS client CA has expired", 1).await;
    let log = finish(sidecar).await;
    assert!(log.contains(r#""subject":"CN=clients""#), "{log}");
}
