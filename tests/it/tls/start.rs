//! A start with TLS files that cannot be used, or without any beyond loopback: exit
//! code 2, before anything is made.

use std::{process::Command, time::Duration};

use tempfile::TempDir;

use super::{Authority, Files, finish};
use crate::{
    command_line::{program, run},
    sidecar::{PROGRAM, Sidecar},
};

/// What a start says that must end with 2 and make nothing.
fn refused(args: &[&str]) -> String {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("data");
    let Err((status, said)) = Sidecar::try_start_on(&dir, args) else { panic!("{args:?} started") };
    assert_eq!(status.code(), Some(2), "{args:?}: {said}");
    assert!(!said.contains("panicked") && !dir.exists(), "{args:?}: {said}");
    said
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_to_do() {
    let (ca, other) = (Authority::new("servers"), Authority::new("others").server());
    let files = Files::new(&ca.server(), None);
    let (cert, key) = (files.text("tls.crt"), files.text("tls.key"));
    let file = |name: &str, text: &str| {
        files.write(name, text);
        files.text(name)
    };
    let none = files.text("none");
    let other = file("other.key", &other.key);
    let empty = file("empty", "");
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
    let encrypted = file("encrypted", encrypted);
    let cases: [(&[&str], &str); 11] = [
        (&["--tls-cert", &cert], "--tls-key"),
        (&["--tls-key", &key], "--tls-cert"),
        (&["--tls-client-ca", &cert], "--tls-cert"),
        (&["--tls-cert", &none, "--tls-key", &key], "cannot read the TLS certificate"),
        (&["--tls-cert", &cert, "--tls-key", &none], "cannot read the TLS key"),
        (&["--tls-cert", &cert, "--tls-key", &cert], "holds no private key: give PEM"),
        (&["--tls-cert", &key, "--tls-key", &key], "holds no certificate: give PEM"),
        (&["--tls-cert", &cert, "--tls-key", &other], "is not that of the certificate"),
        (&["--tls-cert", &cert, "--tls-key", &encrypted], "is encrypted: give one that needs"),
        (
            &["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &empty],
            "holds no certificate",
        ),
        (
            &["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &none],
            "cannot read the TLS client CA",
        ),
    ];
    for (args, expected) in cases {
        let said = refused(args);
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}

#[test]
fn plain_text_beyond_loopback_needs_a_flag() {
    for (flag, address) in [
        ("--listen", "0.0.0.0:0"),
        ("--listen", "[::]:0"),
        ("--admin-listen", "0.0.0.0:0"),
        ("--authzen-listen", "0.0.0.0:0"),
        ("--dashboard-listen", "0.0.0.0:0"),
    ] {
        let said = refused(&[flag, address]);
        for part in [flag, address, "--tls-cert", "127.0.0.1", "--allow-plaintext"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let said = {
        let mut command = program();
        command
            .args(["serve", "--listen", "0.0.0.0:0"])
            .env("OCTAVIA_AUTHZ_ALLOW_PLAINTEXT", "false");
        run(command).refused(2)
    };
    assert!(said.contains("--allow-plaintext"), "{said}");
}

#[tokio::test]
async fn with_the_flag_or_with_tls_it_listens_beyond_loopback() {
    let everywhere = ["--listen", "0.0.0.0:0", "--admin-listen", "0.0.0.0:0"];
    let files = Files::new(&Authority::new("servers").server(), None);
    finish(files.start_with(&everywhere)).await;
    let flag = [&everywhere[..], &["--allow-plaintext"]].concat();
    finish(Sidecar::start_with(&flag)).await;
    let temporary = TempDir::new().unwrap();
    let mut command = Command::new(PROGRAM);
    command.env("OCTAVIA_AUTHZ_ALLOW_PLAINTEXT", "true");
    let dir = temporary.path().join("data");
    finish(Sidecar::try_spawn(command, &dir, &everywhere).unwrap()).await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_served_with_a_warning() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server_until(2020), None);
    let sidecar = files.start();
    super::logged(&sidecar, "the TLS certificate has expired", 1).await;
    let endpoint = super::endpoint(&sidecar.listen, &ca.pem(), None);
    let connected = tokio::time::timeout(Duration::from_secs(5), endpoint.connect()).await.unwrap();
    assert!(connected.is_err(), "the client took it");
    let log = finish(sidecar).await;
    assert!(log.contains(r#""subject":"CN=server""#) && log.contains("2020-01-01"), "{log}");
}
