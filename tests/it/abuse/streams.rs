//! More calls at once on a connection than the 128 that it carries.

use std::collections::BTreeSet;

use prost::Message as _;

use octavia_authz::pb::v1::AuthorizeRequest;

use super::{
    NOTHING_KEPT,
    frame::{PING, REFUSED_STREAM, call, data, frame, message, stream_id},
    hostile::Hostile,
    siege::{Siege, Tally},
};
use crate::raw::AUTHORIZE;

const AT_ONCE: u64 = 128;

#[test]
fn calls_over_128_are_refused_and_those_within_are_answered() {
    let siege = Siege::new();
    let mut hostile = Hostile::connect(siege.address());
    let begun: Vec<u8> =
        (0..AT_ONCE + 200).flat_map(|n| call(stream_id(n), AUTHORIZE, &[])).collect();
    hostile.send(&[begun, frame(PING, 0, 0, b"arrived?")].concat());
    let heard = hostile.hear_until(|heard| heard.pongs == 1 && heard.resets.len() >= 200);
    let refused: BTreeSet<_> = heard.resets.iter().copied().collect();
    let over = (AT_ONCE..AT_ONCE + 200).map(|n| (stream_id(n), REFUSED_STREAM)).collect();
    assert_eq!((refused, heard.goaway), (over, None));

    let question = AuthorizeRequest {
        key: siege.key().into(),
        action: "articles.create".into(),
        ..Default::default()
    };
    let question = message(&question.encode_to_vec());
    let asked: Vec<u8> = (0..AT_ONCE).flat_map(|n| data(stream_id(n), &question, true)).collect();
    hostile.send(&asked);
    let heard = hostile.hear_until(|heard| {
        // Headers and trailers.
        heard.headers.len() == 2 * usize::try_from(AT_ONCE).unwrap()
    });
    let answered: BTreeSet<u32> = heard.headers.iter().map(|(stream, _)| *stream).collect();
    assert_eq!(answered, (0..AT_ONCE).map(stream_id).collect());
    assert_eq!((heard.resets.len(), heard.goaway), (0, None));
    siege.others_are_answered();
    drop(hostile);
    let tally = Tally { sent: AT_ONCE + 200, ..Default::default() };
    siege.lifted("328 calls at once", &tally, NOTHING_KEPT);
}

#[test]
fn a_client_that_goes_on_opening_calls_over_128_holds_up_nobody() {
    let siege = Siege::new();
    let tally = siege.attack(4, 100_000, |address| {
        let mut hostile = Hostile::connect(address).reading();
        let sent = hostile.flood(50_000, |n| call(stream_id(n), AUTHORIZE, &[]));
        (sent.max(1), hostile.leave())
    });
    siege.lifted("calls over 128 without end", &tally, NOTHING_KEPT);
}

#[test]
fn clients_that_open_more_calls_than_may_wait_shut_nobody_out() {
    /// More than `--max-in-flight` together.
    const CLIENTS: u64 = 40;
    /// Calls that wait cost some KiB each.
    const BOUND: u64 = NOTHING_KEPT + CLIENTS * AT_ONCE * (8 << 10);
    let siege = Siege::new();
    let begun: Vec<u8> = (0..AT_ONCE).flat_map(|n| call(stream_id(n), AUTHORIZE, &[])).collect();
    let open: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut hostile = Hostile::connect(siege.address());
            hostile.send(&[&begun[..], &frame(PING, 0, 0, b"arrived?")].concat());
            hostile.hear_until(|heard| heard.pongs == 1);
            hostile
        })
        .collect();
    siege.others_are_answered();
    drop(open);
    let tally = Tally { sent: CLIENTS * AT_ONCE, ..Default::default() };
    siege.lifted("more open calls than may wait", &tally, BOUND);
}
