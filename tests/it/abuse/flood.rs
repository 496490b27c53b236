//! Frames without end, each of them harmless: the sidecar takes as many as it can
//! answer, and answers others meanwhile.

use super::{
    NOTHING_KEPT,
    frame::{
        ACK, CONTINUATION, DATA, HEADERS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, PING, PRIORITY,
        SETTINGS, call, frame, request, settings, stream_id, window_update,
    },
    hostile::Hostile,
    siege::{Siege, Tally},
};
use crate::raw::{AUTHORIZE, STREAM};

const CONNECTIONS: usize = 4;
/// Of all connections together.
const FRAMES: u64 = 200_000;
/// No connection sends more.
const OF_ONE: u64 = 50_000;

/// Sends `frames` after `first`, on connections whose answers are read or not.
fn flood(what: &str, reads: bool, first: &[u8], frames: impl Fn(u64) -> Vec<u8> + Sync) -> Tally {
    let siege = Siege::new();
    let tally = siege.attack(CONNECTIONS, FRAMES, |address| {
        let mut hostile = Hostile::connect(address);
        if reads {
            hostile = hostile.reading();
        }
        hostile.send(first);
        (hostile.flood(OF_ONE, &frames), hostile.leave())
    });
    siege.lifted(what, &tally, NOTHING_KEPT);
    tally
}

#[test]
fn pings_whose_answers_are_read_hold_up_nobody() {
    flood("PING, read", true, &[], |n| frame(PING, 0, 0, &n.to_be_bytes()));
}

#[test]
fn pings_whose_answers_are_not_read_are_not_kept() {
    flood("PING, not read", false, &[], |n| frame(PING, 0, 0, &n.to_be_bytes()));
}

#[test]
fn answers_to_pings_that_were_not_sent_do_not_fill_the_log() {
    // Not as many as elsewhere: writing the log would take longest.
    const FRAMES: u64 = 4_000;
    let siege = Siege::new();
    let tally = siege.attack(CONNECTIONS, FRAMES, |address| {
        let mut hostile = Hostile::connect(address).reading();
        let sent = hostile.flood(FRAMES, |n| frame(PING, ACK, 0, &n.to_be_bytes()));
        // What was sent before has been read.
        hostile.send(&frame(PING, 0, 0, b"arrived?"));
        siege.others_are_answered();
        (sent, hostile.leave())
    });
    siege.lifted("PING acknowledged", &tally, NOTHING_KEPT);
}

#[test]
fn settings_whose_answers_are_read_hold_up_nobody() {
    flood("SETTINGS, read", true, &[], |_| settings(&[(INITIAL_WINDOW_SIZE, 65_535)]));
}

#[test]
fn settings_whose_answers_are_not_read_are_not_kept() {
    flood("SETTINGS, not read", false, &[], |_| settings(&[(INITIAL_WINDOW_SIZE, 65_535)]));
}

#[test]
fn settings_that_change_the_windows_of_many_calls_hold_up_nobody() {
    let calls: Vec<u8> = (0..20).flat_map(|n| call(stream_id(n), STREAM, &[])).collect();
    flood("SETTINGS with 20 calls", true, &calls, |n| {
        settings(&[(INITIAL_WINDOW_SIZE, if n % 2 == 0 { 0 } else { 1 << 30 })])
    });
}

#[test]
fn acknowledgements_that_nobody_asked_for_hold_up_nobody() {
    flood("SETTINGS acknowledged", true, &[], |_| frame(SETTINGS, ACK, 0, &[]));
}

#[test]
fn data_frames_without_data_hold_up_nobody() {
    flood("DATA, empty", true, &call(1, STREAM, &[]), |_| frame(DATA, 0, 1, &[]));
}

#[test]
fn data_frames_of_padding_alone_hold_up_nobody() {
    let padded = [&[255][..], &[0; 255]].concat();
    flood("DATA, padding", true, &call(1, STREAM, &[]), |_| frame(DATA, 8, 1, &padded));
}

#[test]
fn priorities_are_not_kept() {
    flood("PRIORITY", true, &[], |n| {
        // Of streams that do not exist, each of which depends on another.
        let on = u32::try_from(n % 1000).unwrap().to_be_bytes();
        frame(PRIORITY, 0, stream_id(n + 1000), &[&on[..], &[255]].concat())
    });
}

#[test]
fn window_updates_of_one_byte_hold_up_nobody() {
    flood("WINDOW_UPDATE", true, &call(1, STREAM, &[]), |n| {
        window_update(u32::try_from(n % 2).unwrap(), 1)
    });
}

#[test]
fn frames_of_a_type_that_nobody_knows_hold_up_nobody() {
    flood("type 0xfa", true, &[], |_| frame(0xfa, 0, 0, b"unknown"));
}

/// HEADERS that do not end, and then `more` without end. The connection must be ended.
fn continue_with(what: &str, more: impl Fn() -> Vec<u8>) {
    let siege = Siege::new();
    let begin = frame(HEADERS, 0, 1, &request(AUTHORIZE));
    let (begin, more) = (&begin, more());
    let tally = siege.attack(CONNECTIONS, 10_000, |address| {
        let mut hostile = Hostile::connect(address).reading();
        hostile.send(begin);
        let sent = hostile.flood(OF_ONE, |_| frame(CONTINUATION, 0, 1, &more));
        (sent.max(1), hostile.wait_for_end())
    });
    assert!(tally.all_ended(), "{tally:?}");
    siege.lifted(what, &tally, NOTHING_KEPT);
}

#[test]
fn headers_that_go_on_for_ever_end_the_connection() {
    let one = super::frame::header("x", &"v".repeat(1000));
    continue_with("CONTINUATION of 16 KiB", || one.repeat(MAX_FRAME_SIZE / one.len()));
}

#[test]
fn headers_that_go_on_with_nothing_end_the_connection() {
    continue_with("CONTINUATION, empty", Vec::new);
}

#[test]
fn headers_that_go_on_a_byte_at_a_time_end_the_connection() {
    // `accept-encoding: gzip, deflate`, from the static table.
    continue_with("CONTINUATION of a byte", || vec![0x90]);
}

#[test]
fn a_header_whose_value_never_ends_ends_the_connection() {
    let siege = Siege::new();
    // A literal whose value is said to have 2 MiB less a few bytes.
    let begin = [request(AUTHORIZE), vec![0x00, 1, b'x', 0x7f, 0x80, 0xff, 0x7f]].concat();
    let begin = &frame(HEADERS, 0, 1, &begin);
    let tally = siege.attack(CONNECTIONS, 1_000, |address| {
        let mut hostile = Hostile::connect(address).reading();
        hostile.send(begin);
        let piece = frame(CONTINUATION, 0, 1, &[b'v'; MAX_FRAME_SIZE]);
        let sent = hostile.flood(OF_ONE, |_| piece.clone());
        (sent.max(1), hostile.wait_for_end())
    });
    assert!(tally.all_ended(), "{tally:?}");
    siege.lifted("a value without end", &tally, NOTHING_KEPT);
}
