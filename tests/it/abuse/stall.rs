//! Clients that ask for much and take no answers.

use std::time::Instant;

use octavia_authz::pb::v1::{AuthorizeRequest, BatchAuthorizeRequest};
use prost::Message as _;

use super::{
    MIB,
    frame::{
        DATA, END_STREAM, INITIAL_WINDOW_SIZE, call, frame, message, stream_id, window_update,
    },
    hostile::Hostile,
    siege::{Siege, Tally},
};
use crate::{
    raw::{AUTHORIZE, BATCH, STREAM},
    sidecar::PATIENCE,
};

const CONNECTIONS: usize = 4;

fn question(siege: &Siege) -> AuthorizeRequest {
    AuthorizeRequest {
        key: siege.key().into(),
        action: "articles.create".into(),
        ..Default::default()
    }
}

fn batch(siege: &Siege) -> Vec<u8> {
    let batch = BatchAuthorizeRequest { requests: vec![question(siege); 1000] };
    message(&batch.encode_to_vec())
}

/// False when it was cut off: it has taken no answer for long enough.
fn ask(hostile: &mut Hostile, stream: u32, batch: &[u8]) -> bool {
    hostile.send(&call(stream, BATCH, &[]));
    let sent = hostile.send_data(stream, batch);
    hostile.send(&frame(DATA, END_STREAM, stream, &[]));
    sent == batch.len()
}

/// Has clients attack at once, which stay until others were answered.
fn stay(siege: &Siege, attack: impl Fn(&str) -> (u64, Hostile) + Sync) -> Tally {
    siege.attack(CONNECTIONS, 1, |address| {
        let (sent, hostile) = attack(address);
        siege.others_are_answered();
        (sent, hostile.leave())
    })
}

#[test]
fn large_answers_that_have_no_window_are_held_once_and_no_more() {
    /// 128 answers of 1000 decisions on each connection, of some 100 bytes each. The
    /// questions are gone when they have been answered.
    const BOUND: u64 = CONNECTIONS as u64 * 128 * 200 * 1000;
    let siege = Siege::new();
    let batch = &batch(&siege);
    let tally = stay(&siege, |address| {
        let mut hostile = Hostile::with_settings(address, &[(INITIAL_WINDOW_SIZE, 0)]);
        let asked = (0..128).take_while(|n| ask(&mut hostile, stream_id(*n), batch)).count();
        (asked as u64, hostile)
    });
    siege.lifted("answers without a window", &tally, BOUND);
}

#[test]
fn answers_that_nobody_reads_are_held_once_and_no_more() {
    /// 12 answers on each connection, and what the sockets hold.
    const BOUND: u64 = CONNECTIONS as u64 * 12 * 200 * 1000 + 16 * MIB;
    let siege = Siege::new();
    let batch = &batch(&siege);
    let tally = stay(&siege, |address| {
        let mut hostile = Hostile::with_settings(address, &[(INITIAL_WINDOW_SIZE, 1 << 30)]);
        hostile.send(&window_update(0, 1 << 30));
        // The connection's window is for so many: for more, it would have to read.
        let asked = (0..12).take_while(|n| ask(&mut hostile, stream_id(*n), batch)).count();
        (asked as u64, hostile)
    });
    siege.lifted("answers that nobody reads", &tally, BOUND);
}

#[test]
fn a_stream_whose_answers_are_not_taken_is_read_no_further() {
    /// What is taken of a connection: less than all that is sent.
    const TAKEN: usize = 8 << 20;
    /// What was taken and not answered yet, its answers, and buffers.
    const BOUND: u64 = CONNECTIONS as u64 * 8 * MIB + 16 * MIB;
    let siege = Siege::new();
    let questions = &message(&question(&siege).encode_to_vec()).repeat(1000);
    let tally = stay(&siege, |address| {
        let mut hostile = Hostile::with_settings(address, &[(INITIAL_WINDOW_SIZE, 0)]);
        let calls: Vec<u8> = (0..128).flat_map(|n| call(stream_id(n), STREAM, &[])).collect();
        hostile.send(&calls);
        let mut taken = 0;
        for n in (0..128).cycle() {
            let sent = hostile.send_data(stream_id(n), questions);
            taken += sent;
            if sent < questions.len() || taken > TAKEN {
                break;
            }
        }
        println!("{taken} bytes of questions taken");
        assert!(taken <= TAKEN, "{taken} bytes and no end");
        (taken as u64, hostile)
    });
    siege.lifted("streams without a window", &tally, BOUND);
}

#[test]
fn who_takes_some_answers_is_cut_off_for_those_that_it_leaves() {
    let siege = Siege::of(&["--request-timeout", "1s"], None, false);
    let batch = &batch(&siege);
    let question = message(&question(&siege).encode_to_vec());
    let mut hostile = Hostile::with_settings(siege.address(), &[(INITIAL_WINDOW_SIZE, 0)]);
    assert!(ask(&mut hostile, stream_id(0), batch));
    let begun = Instant::now();
    // These are answered and taken, each in a window of its own.
    let taken = (1..)
        .take_while(|n| {
            assert!(begun.elapsed() < PATIENCE, "it is let go on: {n} answers taken");
            let stream = stream_id(*n);
            let asked = [&call(stream, AUTHORIZE, &[])[..], &window_update(stream, 1000)].concat();
            let sent = hostile.send(&asked) && hostile.send_data(stream, &question) > 0;
            sent && hostile.send(&frame(DATA, END_STREAM, stream, &[])) && !hostile.is_ended()
        })
        .count();
    assert!(taken > 0);
    drop(hostile);
    let tally = Tally { sent: taken as u64, ..Default::default() };
    siege.lifted("some answers taken", &tally, 16 * MIB);
}
