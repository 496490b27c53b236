//! Thousands of connections on which nothing happens.

use std::{net::TcpStream, time::Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    MIB, NOTHING_KEPT,
    frame::{PREFACE, settings},
    hostile::{Heard, Hostile},
    siege::{Siege, Tally},
};
use crate::sidecar::wait_until;

/// Descriptors that the test itself needs besides.
const OWN: u64 = 500;

/// As many as `wanted`, or as this process and the sidecar may have.
fn as_many_as(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let may = limit.maximum.map_or(wanted, |most| most.saturating_sub(OWN));
    if may < wanted {
        println!("only {may} connections: the limit of open files is too low for {wanted}");
    }
    wanted.min(may)
}

/// Connections that have begun to speak HTTP/2, and go no further.
fn idle(siege: &Siege, count: u64) -> Vec<Hostile> {
    (0..count).map(|_| Hostile::connect(siege.address())).collect()
}

#[test]
fn beside_10_000_idle_connections_others_are_answered_at_once() {
    /// Buffers of a connection.
    const OF_ONE: u64 = 64 << 10;
    let siege = Siege::new();
    let count = as_many_as(10_000);
    let begun = Instant::now();
    let idle = idle(&siege, count);
    wait_until("the connections to be accepted", || siege.connections() as u64 >= count);
    let opened = begun.elapsed();
    siege.others_are_answered();
    println!("{count} idle connections in {opened:?}: {} MiB more", siege.grown() / MIB);
    drop(idle);
    let tally = Tally { sent: count, ..Default::default() };
    siege.lifted("idle connections", &tally, NOTHING_KEPT + count * OF_ONE);
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let siege = Siege::new();
    let greeting = &[PREFACE, &settings(&[])].concat();
    let tally = siege.attack(4, 4_000, |address| {
        drop(TcpStream::connect(address).unwrap());
        for said in [0, 1, PREFACE.len(), greeting.len() - 1, greeting.len()] {
            let mut hostile = Hostile::silent(address);
            hostile.send(&greeting[..said]);
        }
        (6, Heard::default())
    });
    siege.lifted("connections that come and go", &tally, NOTHING_KEPT);
}

/// `--max-connections 100`, under 1,000 idle ones.
mod at_the_limit {
    use super::*;

    const LIMIT: usize = 100;
    /// Of the admin API, and one that is being closed.
    const BESIDES: usize = 10;

    #[test]
    #[ignore = "needs --max-connections"]
    fn those_that_make_calls_stay_and_new_ones_get_in() {
        let siege = Siege::of(&["--max-connections", "100"], None);
        // The client that behaves is there already, and fails if its connection is cut.
        siege.others_are_answered();
        let idle = idle(&siege, 1_000);
        siege.others_are_answered();
        wait_until("the idle ones to be closed", || siege.connections() <= LIMIT + BESIDES);
        siege.others_are_answered();
        assert!(siege.connections() >= LIMIT - BESIDES, "{}", siege.connections());

        // Those that came first went first.
        let states = idle.into_iter().map(|mut hostile| hostile.is_ended());
        let states: Vec<bool> = states.collect();
        let (first, last) = states.split_at(1_000 - LIMIT - BESIDES);
        assert!(first.iter().all(|ended| *ended), "one that came early is still there");
        assert!(last.iter().filter(|ended| !**ended).count() >= LIMIT - 2 * BESIDES, "{last:?}");
        let tally = Tally { sent: 1_000, ..Default::default() };
        siege.lifted("idle connections over the limit", &tally, NOTHING_KEPT);
    }

    #[test]
    #[ignore = "needs --max-connections"]
    fn those_that_come_without_end_do_not_push_out_one_that_makes_calls() {
        let siege = Siege::of(&["--max-connections", "100"], None);
        siege.others_are_answered();
        let tally = siege.attack(4, 4_000, |address| {
            let come: Vec<Hostile> = (0..50).map(|_| Hostile::connect(address)).collect();
            drop(come);
            (50, Heard::default())
        });
        siege.lifted("connections without end over the limit", &tally, NOTHING_KEPT);
    }
}
