//! Headers that are too large, too many, or grow when they are read.

use super::{
    MIB, NOTHING_KEPT,
    frame::{
        CONTINUATION, END_HEADERS, HEADERS, MAX_FRAME_SIZE, NEWEST, frame, header, kept_header,
        request, stream_id,
    },
    hostile::{Hostile, State},
    siege::Siege,
};
use crate::raw::AUTHORIZE;

/// `:status 431`, as its value is encoded: the call's headers are too large.
const TOO_LARGE: &[u8] = b"\x83\x69\x90\xff";

/// HEADERS and CONTINUATION frames that carry `block`.
fn frames_of(stream: u32, block: &[u8]) -> Vec<u8> {
    let mut chunks = block.chunks(MAX_FRAME_SIZE).enumerate().peekable();
    let mut frames = Vec::new();
    while let Some((n, chunk)) = chunks.next() {
        let kind = if n == 0 { HEADERS } else { CONTINUATION };
        let flags = if chunks.peek().is_none() { END_HEADERS } else { 0 };
        frames.extend(frame(kind, flags, stream, chunk));
    }
    frames
}

/// A call with `more` in its headers is answered 431, or the connection is ended.
fn refused(what: &str, more: &[u8]) {
    let siege = Siege::new();
    let block = &[request(AUTHORIZE), more.to_vec()].concat();
    let tally = siege.attack(4, 200, |address| {
        let mut hostile = Hostile::connect(address);
        if hostile.send(&frames_of(1, block)) {
            let heard = hostile.hear_until(|heard| {
                heard.goaway.is_some() || !heard.headers.is_empty() || !heard.resets.is_empty()
            });
            let answers = heard.headers.iter().map(|(_, block)| block);
            for block in answers {
                assert!(block.windows(TOO_LARGE.len()).any(|part| part == TOO_LARGE), "{block:x?}");
            }
            return (1, heard);
        }
        (1, hostile.wait_for_end())
    });
    siege.lifted(what, &tally, NOTHING_KEPT);
}

#[test]
fn one_header_of_more_than_16_kib_is_refused() {
    refused("a header of 17 KiB", &header("x", &"v".repeat(17 << 10)));
    refused("a header of 60 KiB", &header("x", &"v".repeat(60 << 10)));
}

#[test]
fn ten_thousand_small_headers_are_refused() {
    let many: Vec<u8> = (0..10_000).flat_map(|n| header(&format!("x{n}"), "v")).collect();
    refused("10,000 headers", &many);
}

#[test]
fn one_header_that_is_referred_to_thousands_of_times_does_not_grow() {
    let siege = Siege::new();
    // It just fits the table of 4 KiB; a frame refers to it 16,000 times: 64 MiB.
    let kept = kept_header("x", &"v".repeat(4000));
    let bomb = frame(HEADERS, END_HEADERS, 1, &[request(AUTHORIZE), kept].concat());
    let again = [request(AUTHORIZE), vec![NEWEST; MAX_FRAME_SIZE - 100]].concat();
    let (bomb, again) = (&bomb, &again);
    let tally = siege.attack(4, 400, |address| {
        let mut hostile = Hostile::connect(address).reading();
        hostile.send(bomb);
        let sent = hostile.flood(100, |n| frames_of(stream_id(n + 1), again));
        (sent.max(1), hostile.leave())
    });
    siege.lifted("headers that grow", &tally, NOTHING_KEPT);
}

#[test]
fn headers_within_the_limit_are_all_that_calls_can_make_it_hold() {
    /// 4 connections with 128 calls that have 16 KiB of headers each, as few large ones or
    /// many small ones. A small one costs some 100 bytes in a map.
    const BOUND: u64 = 64 * MIB;
    let siege = Siege::new();
    let few = header("x", &"v".repeat(15_000));
    let many: Vec<u8> = (0..400).flat_map(|n| header(&format!("{n:x}"), "")).collect();
    let (few, many) = (&few, &many);
    let tally = siege.attack(4, 4 * 128, |address| {
        let mut hostile = Hostile::connect(address).reading();
        let sent = hostile.flood(128, |n| {
            let more = if n % 2 == 0 { few } else { many };
            frames_of(stream_id(n), &[request(AUTHORIZE), more.clone()].concat())
        });
        siege.others_are_answered();
        let heard = hostile.leave();
        assert_eq!((heard.state, heard.goaway), (State::Open, None));
        (sent, heard)
    });
    siege.lifted("headers within the limit", &tally, BOUND);
}
