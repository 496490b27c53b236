//! Who gets through the handshake, and who holds up nobody.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream as StdTcp,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::io::AsyncReadExt as _;
use tokio_rustls::rustls::{
    ProtocolVersion,
    version::{TLS12, TLS13},
};

use super::{Authority, Files, ask, channel, client_config, create, endpoint, finish, handshake};
use crate::sidecar::{PATIENCE, Sidecar, connect};

#[tokio::test]
async fn both_apis_speak_tls_1_2_and_1_3_and_only_http_2() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server(), None);
    let sidecar = files.start();
    let key = create(&sidecar, channel(&sidecar.admin_listen, &ca.pem(), None).await).await;
    let at = channel(&sidecar.listen, &ca.pem(), None).await;
    assert!(ask(&at, &key).await.unwrap().allowed);

    for address in [&sidecar.listen, &sidecar.admin_listen] {
        for (version, spoken) in
            [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
        {
            let mut config = client_config(&ca.pem(), None, &[version]);
            let stream = handshake(address, &Arc::new(config.clone())).await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(spoken));
            assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            assert!(handshake(address, &Arc::new(config)).await.is_err(), "HTTP/1.1");
        }
    }
    finish(sidecar).await;
}

/// A ClientHello of TLS 1.1; with `\x03\x03` for its version one of TLS 1.2.
const TLS_1_1: &[u8] = b"\x16\x03\x01\x00\x41\x01\x00\x00\x3d\x03\x02\
    0123456789abcdef0123456789abcdef\x00\x00\x02\xc0\x2b\x01\x00\
    \x00\x12\x00\x0d\x00\x06\x00\x04\x04\x03\x08\x04\x00\x0a\x00\x04\x00\x02\x00\x17";

/// What the server says first to a ClientHello: the record's type, and all of it.
fn first_answer(address: &str, hello: &[u8]) -> Vec<u8> {
    let mut stream = StdTcp::connect(address).unwrap();
    stream.write_all(hello).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut header = [0; 5];
    stream.read_exact(&mut header).unwrap();
    let mut body = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
    stream.read_exact(&mut body).unwrap();
    [&header[..1], &body].concat()
}

#[tokio::test]
async fn tls_1_1_is_refused() {
    let files = Files::new(&Authority::new("servers").server(), None);
    let sidecar = files.start();
    // A fatal alert: protocol_version.
    assert_eq!(first_answer(&sidecar.listen, TLS_1_1), [21, 2, 70]);
    let mut tls_1_2 = TLS_1_1.to_vec();
    tls_1_2[10] = 3;
    let hello = first_answer(&sidecar.listen, &tls_1_2);
    assert_eq!((hello[0], hello[1]), (22, 2), "a ServerHello");
    finish(sidecar).await;
}

#[tokio::test]
async fn plain_text_and_tls_do_not_mistake_each_other_for_long() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server(), None);
    let (tls, plain) = (files.start(), Sidecar::start());
    let asked = Instant::now();
    for address in [&tls.listen, &tls.admin_listen] {
        let mut stream = StdTcp::connect(address).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // An alert, or a reset because of what was not read.
        if let Err(error) = stream.read_to_end(&mut Vec::new()) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    }
    for address in [&plain.listen, &plain.admin_listen] {
        assert!(endpoint(address, &ca.pem(), None).connect().await.is_err());
    }
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    let log = finish(tls).await;
    assert!(log.contains("the client does not speak TLS"), "{log}");
    finish(plain).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut_and_holds_up_nobody() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server(), None);
    let sidecar = files.start_with(&["--workers", "1"]);
    let begun = Instant::now();
    let mut slow = Vec::new();
    for address in [&sidecar.listen, &sidecar.admin_listen] {
        for said in [&b""[..], &TLS_1_1[..20]] {
            for _ in 0..20 {
                let mut stream = StdTcp::connect(address).unwrap();
                stream.write_all(said).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                slow.push(stream);
            }
        }
    }
    // One that has made the handshake, and says nothing then.
    let config = Arc::new(client_config(&ca.pem(), None, &[&TLS13]));
    let mut silent = handshake(&sidecar.listen, &config).await.unwrap();

    let key = create(&sidecar, channel(&sidecar.admin_listen, &ca.pem(), None).await).await;
    for _ in 0..50 {
        assert!(ask(&channel(&sidecar.listen, &ca.pem(), None).await, &key).await.unwrap().allowed);
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "held up: {:?}", begun.elapsed());
    for mut stream in slow {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let _ = silent.read_to_end(&mut Vec::new()).await;
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(9), "{took:?}");
    finish(sidecar).await;
}

#[tokio::test]
async fn with_a_client_ca_only_its_clients_get_in() {
    let (servers, clients, others) =
        (Authority::new("servers"), Authority::new("clients"), Authority::new("others"));
    let files = Files::new(&servers.server(), Some(&clients.pem()));
    let sidecar = files.start();
    let (ca, alice) = (servers.pem(), clients.client("alice"));
    let key = create(&sidecar, channel(&sidecar.admin_listen, &ca, Some(&alice)).await).await;
    assert!(ask(&channel(&sidecar.listen, &ca, Some(&alice)).await, &key).await.unwrap().allowed);

    let outsiders = [
        None,
        Some(others.client("alice")),
        Some(clients.client_until("alice", 2020)),
        // A certificate that is for servers only.
        Some(clients.server()),
    ];
    for outsider in outsiders {
        for address in [&sidecar.listen, &sidecar.admin_listen] {
            // With TLS 1.3 a client learns it from the first call.
            if let Ok(channel) = endpoint(address, &ca, outsider.as_ref()).connect().await {
                let refused = ask(&channel, &key).await.unwrap_err();
                assert_ne!(refused.code(), tonic::Code::Unimplemented, "it was answered");
            }
        }
    }
    let log = finish(sidecar).await;
    assert!(log.contains("a TLS handshake failed"), "{log}");
}

#[tokio::test]
async fn unix_sockets_stay_plain() {
    let files = Files::new(&Authority::new("servers").server(), None);
    let socket = format!("unix:{}", files.text("a.sock"));
    let sidecar = files.start_with(&["--admin-listen", &socket, "--listen", &format!("{socket}2")]);
    let key = create(&sidecar, connect(&socket).await).await;
    assert!(ask(&connect(&format!("{socket}2")).await, &key).await.unwrap().allowed);
    finish(sidecar).await;
}
