//! Calls that are taken back: by the client (CVE-2023-44487), or by the server, which was
//! made to (CVE-2025-8671).

use super::{
    NOTHING_KEPT,
    frame::{ENHANCE_YOUR_CALM, PING, call, frame, reset, stream_id, window_update},
    hostile::{Heard, Hostile},
    siege::Siege,
};
use crate::raw::AUTHORIZE;

const CONNECTIONS: usize = 4;
const STREAMS: u64 = 100_000;

#[test]
fn a_client_that_takes_back_its_calls_at_once_is_sent_away() {
    let siege = Siege::new();
    let tally = siege.attack(CONNECTIONS, STREAMS, |address| {
        let mut hostile = Hostile::connect(address).reading();
        let sent = hostile.flood(STREAMS, |n| {
            let stream = stream_id(n);
            [call(stream, AUTHORIZE, &[]), reset(stream)].concat()
        });
        (sent, hostile.wait_for_end())
    });
    assert!(tally.all_ended(), "{tally:?}");
    assert!(tally.ends.contains_key(&format!("GOAWAY {ENHANCE_YOUR_CALM}")), "{tally:?}");
    siege.lifted("calls taken back at once", &tally, NOTHING_KEPT);
}

#[test]
fn calls_that_are_taken_back_when_they_have_begun_leave_nothing_behind() {
    let siege = Siege::new();
    let tally = siege.attack(CONNECTIONS, 20_000, |address| {
        let mut hostile = Hostile::connect(address);
        let (mut next, mut heard) = (0, Heard::default());
        while next < 5_000 {
            let streams = || (next..next + 100).map(stream_id);
            let begin: Vec<u8> = streams().flat_map(|id| call(id, AUTHORIZE, &[])).collect();
            let take_back: Vec<u8> = streams().flat_map(reset).collect();
            // An answer to the PING says that the calls have arrived.
            if !hostile.send(&[begin, frame(PING, 0, 0, b"arrived?")].concat()) {
                break;
            }
            heard = hostile.hear_until(|heard| heard.pongs == 1 || heard.goaway.is_some());
            if heard.goaway.is_some() || !hostile.send(&take_back) {
                break;
            }
            next += 100;
        }
        (next, heard)
    });
    siege.lifted("calls taken back when begun", &tally, NOTHING_KEPT);
}

#[test]
fn a_client_that_has_its_calls_reset_by_the_server_is_sent_away() {
    let siege = Siege::new();
    let tally = siege.attack(CONNECTIONS, STREAMS, |address| {
        let mut hostile = Hostile::connect(address).reading();
        let sent = hostile.flood(STREAMS, |n| {
            let stream = stream_id(n);
            // An increment of 0 is an error of the stream.
            [call(stream, AUTHORIZE, &[]), window_update(stream, 0)].concat()
        });
        (sent, hostile.wait_for_end())
    });
    assert!(tally.all_ended(), "{tally:?}");
    siege.lifted("calls reset by the server", &tally, NOTHING_KEPT);
}
