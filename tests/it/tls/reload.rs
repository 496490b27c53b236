//! Files that are replaced while calls are made: as Kubernetes does it, and in place.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::task::JoinSet;
use tokio_rustls::rustls::{
    pki_types::{CertificateDer, pem::PemObject as _},
    version::TLS13,
};

use super::{
    Authority, Files, Issued, TAKEN, ask, channel, client_config, create, finish, handshake, logged,
};
use crate::sidecar::{PATIENCE, Sidecar, step};

/// Callers that keep a connection, and callers that make one for each call.
struct Load {
    answered: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Load {
    async fn start(sidecar: &Sidecar, ca: &str, client: Issued, key: &str) -> Self {
        let (answered, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (mut callers, client) = (JoinSet::new(), Arc::new(client));
        for number in 0..6 {
            let (answered, stop) = (Arc::clone(&answered), Arc::clone(&stop));
            let (address, ca, key) = (sidecar.listen.clone(), ca.to_owned(), key.to_owned());
            let client = Arc::clone(&client);
            let mut at = channel(&address, &ca, Some(&client)).await;
            callers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if number % 2 == 0 {
                        at = channel(&address, &ca, Some(&client)).await;
                    }
                    assert!(ask(&at, &key).await.expect("no call fails").allowed);
                    answered.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            });
        }
        Self { answered, stop, callers }
    }

    /// Waits until `calls` more were answered.
    async fn go_on(&mut self, calls: u64) {
        let (started, until) = (Instant::now(), self.answered.load(Ordering::Relaxed) + calls);
        while self.answered.load(Ordering::Relaxed) < until {
            if let Some(ended) = self.callers.try_join_next() {
                ended.unwrap();
            }
            assert!(started.elapsed() < PATIENCE, "no answers");
            step().await;
        }
    }

    async fn finish(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
        self.answered.load(Ordering::Relaxed)
    }
}

/// The certificate that a new connection is shown.
async fn shown(address: &str, ca: &str, client: &Issued) -> CertificateDer<'static> {
    let config = Arc::new(client_config(ca, Some(client), &[&TLS13]));
    let stream = handshake(address, &config).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// Waits until new connections are shown `server`.
async fn shows(address: &str, ca: &str, client: &Issued, server: &Issued) {
    let expected = CertificateDer::from_pem_slice(server.cert.as_bytes()).unwrap();
    let started = Instant::now();
    while shown(address, ca, client).await != expected {
        assert!(started.elapsed() < PATIENCE, "the new certificate is not shown");
    }
}

/// A client that has nothing but its CA: whether a call of it is answered.
async fn let_in(address: &str, ca: &str, client: &Issued, key: &str) -> bool {
    let Ok(at) = super::endpoint(address, ca, Some(client)).connect().await else { return false };
    ask(&at, key).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_kubernetes_swaps_certificate_key_and_client_ca() {
    let (servers, lasting) = (Authority::new("servers"), Authority::new("lasting"));
    let files = Files::new(&servers.server(), Some(&lasting.pem()));
    // tls.crt → ..data/tls.crt, and ..data → a directory of one version.
    let version = |number: usize, server: &Issued, ca: &str| {
        let dir = files.path(&format!("..{number}"));
        fs::create_dir(&dir).unwrap();
        for (name, text) in [("tls.crt", &server.cert), ("tls.key", &server.key)] {
            fs::write(dir.join(name), text).unwrap();
        }
        fs::write(dir.join("ca.crt"), ca).unwrap();
        let (new, data) = (files.path("..data_tmp"), files.path("..data"));
        symlink(format!("..{number}"), &new).unwrap();
        fs::rename(new, data).unwrap();
    };
    version(0, &servers.server(), &lasting.pem());
    for name in ["tls.crt", "tls.key", "ca.crt"] {
        fs::remove_file(files.path(name)).unwrap();
        symlink(format!("..data/{name}"), files.path(name)).unwrap();
    }
    let (sidecar, ca) = (files.start(), servers.pem());
    let admin = channel(&sidecar.admin_listen, &ca, Some(&lasting.client("x"))).await;
    let key = create(&sidecar, admin).await;
    let mut load = Load::start(&sidecar, &ca, lasting.client("lasting"), &key).await;

    let mut before: Option<Issued> = None;
    for number in 1..=12 {
        let (server, passing) = (servers.server(), Authority::new(&format!("passing {number}")));
        version(number, &server, &(lasting.pem() + &passing.pem()));
        load.go_on(100).await;
        // Every third is waited for; the others come before it was looked.
        if number % 3 == 0 {
            let client = passing.client("passing");
            shows(&sidecar.listen, &ca, &lasting.client("y"), &server).await;
            assert!(let_in(&sidecar.listen, &ca, &client, &key).await, "{number}");
            if let Some(before) = before.replace(client) {
                assert!(
                    !let_in(&sidecar.listen, &ca, &before, &key).await,
                    "{number}: its CA is gone"
                );
            }
        }
    }
    let answered = load.finish().await;
    let log = finish(sidecar).await;
    let taken = log.matches(TAKEN).count();
    assert!(taken >= 4 && answered >= 1200, "{taken} taken, {answered} answered: {log}");
    assert!(!log.contains("cannot be used"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_files_are_written_in_place_one_after_the_other() {
    let (servers, lasting) = (Authority::new("servers"), Authority::new("lasting"));
    let files = Files::new(&servers.server(), Some(&lasting.pem()));
    let (sidecar, ca) = (files.start(), servers.pem());
    let admin = channel(&sidecar.admin_listen, &ca, Some(&lasting.client("x"))).await;
    let key = create(&sidecar, admin).await;
    let mut load = Load::start(&sidecar, &ca, lasting.client("lasting"), &key).await;
    for number in 1..=6 {
        let (server, passing) = (servers.server(), Authority::new(&format!("passing {number}")));
        // Half of a certificate, then the old key to a new one, for a while.
        files.write("tls.crt", &server.cert[..server.cert.len() / 2]);
        load.go_on(30).await;
        files.write("tls.crt", &server.cert);
        if number % 2 == 0 {
            logged(&sidecar, "is not that of the certificate", number / 2).await;
        }
        load.go_on(30).await;
        files.write("tls.key", &server.key);
        load.go_on(30).await;
        files.write("ca.crt", &(passing.pem() + &lasting.pem()));
        let client = passing.client("passing");
        shows(&sidecar.listen, &ca, &lasting.client("y"), &server).await;
        let started = Instant::now();
        while !let_in(&sidecar.listen, &ca, &client, &key).await {
            assert!(started.elapsed() < PATIENCE, "{number}: it is not let in");
        }
    }
    let answered = load.finish().await;
    let log = finish(sidecar).await;
    assert!(log.matches(TAKEN).count() >= 6 && answered >= 500, "{answered} answered: {log}");
}

#[tokio::test]
async fn files_that_are_wrong_leave_the_last_good_ones_in_use_and_are_told_once() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let first = servers.server();
    let files = Files::new(&first, Some(&clients.pem()));
    let (sidecar, ca, alice) = (files.start(), servers.pem(), clients.client("alice"));
    let other = servers.server();
    let wrong: [(&str, &str, &str); 7] = [
        ("tls.key", &other.key, "is not that of the certificate"),
        ("tls.key", "", "holds no private key"),
        (
            "tls.key",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "is encrypted",
        ),
        ("tls.crt", "nonsense", "holds no certificate"),
        (
            "tls.crt",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "holds what is no certificate",
        ),
        ("ca.crt", "", "holds no certificate"),
        ("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n", "is cut off"),
    ];
    for (name, text, said) in wrong {
        let good = fs::read_to_string(files.path(name)).unwrap();
        let before = sidecar.log().matches(said).count();
        files.write(name, text);
        logged(&sidecar, said, before + 1).await;
        assert_eq!(shown(&sidecar.listen, &ca, &alice).await.as_ref(), der(&first));
        files.write(name, &good);
    }
    fs::remove_file(files.path("ca.crt")).unwrap();
    logged(&sidecar, "cannot read the TLS client CA", 1).await;
    assert_eq!(shown(&sidecar.listen, &ca, &alice).await.as_ref(), der(&first));

    files.write("ca.crt", &clients.pem());
    files.write("tls.crt", &other.cert);
    files.write("tls.key", &other.key);
    logged(&sidecar, TAKEN, 1).await;
    assert_eq!(shown(&sidecar.listen, &ca, &alice).await.as_ref(), der(&other));
    let log = finish(sidecar).await;
    let warned = log.matches("the last good ones stay in use").count();
    assert_eq!((warned, log.matches(TAKEN).count()), (8, 1), "{log}");
    assert!(!log.contains("AAAA"), "{log}");
}

fn der(issued: &Issued) -> Vec<u8> {
    CertificateDer::from_pem_slice(issued.cert.as_bytes()).unwrap().to_vec()
}
