//! Clients that begin to say something and take their time.

use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::{
    MIB,
    frame::{PREFACE, call, settings},
    hostile::{Hostile, State},
    siege::{Siege, Tally},
};
use crate::{raw::AUTHORIZE, sidecar::PATIENCE};

/// How many take their time at once.
const CLIENTS: usize = 200;
/// What they cost: a connection has buffers of some 60 KiB when it has begun, and the
/// allocator holds some more.
const KEPT: u64 = 32 * MIB;

/// What `CLIENTS` say, from none of it to all but the last byte, holds up nobody.
fn stay_at_each_byte(siege: &Siege, what: &str, said: &[u8]) {
    let parts = (0..CLIENTS).map(|n| &said[..n * (said.len() - 1) / (CLIENTS - 1)]);
    let staying: Vec<Hostile> = parts
        .map(|part| {
            let mut hostile = Hostile::silent(siege.address());
            hostile.send(part);
            hostile
        })
        .collect();
    siege.others_are_answered();
    println!("{what}: {} connections, {} MiB more", siege.connections(), siege.grown() / MIB);
    assert!(siege.connections() >= CLIENTS, "{}", siege.connections());
    drop(staying);
}

fn beginning() -> Vec<u8> {
    [PREFACE, &settings(&[]), &call(1, AUTHORIZE, &[])].concat()
}

#[test]
fn clients_that_stop_anywhere_in_their_first_call_hold_up_nobody() {
    let siege = Siege::new();
    stay_at_each_byte(&siege, "stopped", &beginning());
    siege.lifted("stopped in a call's headers", &tally(), KEPT);
}

#[test]
fn clients_that_say_nothing_hold_up_nobody() {
    let siege = Siege::new();
    stay_at_each_byte(&siege, "silent", b"P");
    siege.lifted("silent", &tally(), KEPT);
}

#[test]
fn headers_that_arrive_a_byte_at_a_time_hold_up_nobody() {
    let siege = Siege::new();
    let said = beginning();
    let mut slow: Vec<Hostile> = (0..CLIENTS).map(|_| Hostile::silent(siege.address())).collect();
    // Each is given its byte when all others have theirs. The last one is not said.
    for byte in &said[..said.len() - 1] {
        for hostile in &mut slow {
            assert!(hostile.send(&[*byte]));
        }
    }
    siege.others_are_answered();
    for hostile in slow {
        let heard = hostile.leave();
        assert_eq!((heard.goaway, heard.headers.len()), (None, 0));
    }
    siege.lifted("a byte at a time", &tally(), KEPT);
}

#[test]
fn clients_that_stop_anywhere_in_the_tls_handshake_hold_up_nobody() {
    let dir = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let cert = CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (cert_file, key_file) = (file("tls.crt", &cert), file("tls.key", &key.serialize_pem()));
    let siege = Siege::of(&["--tls-cert", &cert_file, "--tls-key", &key_file], Some(&cert), false);
    // A ClientHello of TLS 1.2.
    let hello = b"\x16\x03\x01\x00\x41\x01\x00\x00\x3d\x03\x03\
        0123456789abcdef0123456789abcdef\x00\x00\x02\xc0\x2b\x01\x00\
        \x00\x12\x00\x0d\x00\x06\x00\x04\x04\x03\x08\x04\x00\x0a\x00\x04\x00\x02\x00\x17";
    stay_at_each_byte(&siege, "stopped in TLS", hello);
    // Those that have made it that far, and go no further.
    let staying: Vec<Hostile> = (0..CLIENTS)
        .map(|_| {
            let mut hostile = Hostile::silent(siege.address());
            hostile.send(hello);
            hostile
        })
        .collect();
    siege.others_are_answered();
    drop(staying);
    siege.lifted("stopped in the TLS handshake", &tally(), KEPT);
}

#[test]
#[ignore = "takes 50 s"]
fn a_client_that_never_ends_its_headers_is_sent_away() {
    /// It cannot answer a PING between two parts of a frame: it is sent away when one was
    /// not answered.
    const AWAY_WITHIN: Duration = Duration::from_secs(60);
    let siege = Siege::new();
    let said = beginning();
    let mut hostile = Hostile::silent(siege.address());
    hostile.send(&said[..said.len() - 1]);
    let begun = Instant::now();
    let mut heard = hostile.hear_for(PATIENCE);
    while heard.state == State::Open && begun.elapsed() < 2 * AWAY_WITHIN {
        heard = hostile.hear_for(PATIENCE);
    }
    println!("sent away after {:?}", begun.elapsed());
    assert!(heard.state == State::Ended && begun.elapsed() < AWAY_WITHIN, "{heard:?}");
    siege.lifted("headers that never end", &tally(), KEPT);
}

fn tally() -> Tally {
    Tally { sent: CLIENTS as u64, ..Default::default() }
}
