//! Messages that are said to be large, and calls that are kept open with most of one.

use super::{
    MIB, NOTHING_KEPT,
    frame::{call, data, message_that_says, stream_id},
    hostile::Hostile,
    siege::{Siege, Tally},
};
use crate::raw::{AUTHORIZE, BATCH, STREAM};

/// The largest message that is read.
const LARGEST: usize = 1 << 20;

/// On 4 connections 100 calls at once, whose messages are said to have `len` bytes.
fn say(siege: &Siege, len: usize) -> Tally {
    siege.attack(4, 4 * 100, |address| {
        let mut hostile = Hostile::connect(address).reading();
        let sent = hostile.flood(100, |n| {
            let path = [AUTHORIZE, BATCH, STREAM][usize::try_from(n % 3).unwrap()];
            let begun = data(stream_id(n), &message_that_says(len), false);
            [call(stream_id(n), path, &[]), begun].concat()
        });
        siege.others_are_answered();
        (sent, hostile.leave())
    })
}

#[test]
fn no_memory_is_held_for_a_message_that_is_only_said_to_be_large() {
    for len in [LARGEST, LARGEST + 1, u32::MAX as usize] {
        let siege = Siege::new();
        let tally = say(&siege, len);
        siege.lifted(&format!("said to have {len} bytes"), &tally, NOTHING_KEPT);
    }
}

#[test]
fn what_all_calls_together_can_make_it_hold_is_64_messages() {
    const CONNECTIONS: usize = 2;
    /// The largest messages, in buffers that double as they grow, and the windows.
    const BOUND: u64 = 2 * 64 * MIB + CONNECTIONS as u64 * MIB + NOTHING_KEPT;
    let siege = Siege::new();
    // All but one byte of the largest message.
    let most = [&message_that_says(LARGEST)[..], &vec![b'x'; LARGEST - 1]].concat();
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut hostile = Hostile::connect(siege.address());
                for n in 0..128 {
                    hostile.send(&call(stream_id(n), AUTHORIZE, &[]));
                    if hostile.send_data(stream_id(n), &most) < most.len() {
                        break;
                    }
                }
                siege.others_are_answered();
            });
        }
    });
    println!("{} MiB of messages in {:?}", CONNECTIONS * 128, begun.elapsed());
    let tally = Tally { sent: 128 * CONNECTIONS as u64, ..Default::default() };
    siege.lifted("calls with most of a message", &tally, BOUND);
}
