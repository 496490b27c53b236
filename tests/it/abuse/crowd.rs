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

/// What an idle connection may cost: buffers, tasks, timers. 12 to 15 KiB were measured.
const OF_ONE: u64 = 24 << 10;
/// Files that the sidecar and the test need besides, and a few clients that behave.
const OWN: u64 = 600;
/// What the sidecar keeps for its three other APIs, and a tenth of it for connections that are ending.
const ASIDE: u64 = 3 * 1101;

/// As many as `wanted`, or as a sidecar that is started from now on may have. Root may have as many as
/// it asks for.
fn as_many_as(wanted: u64) -> u64 {
    let enough = OWN + ASIDE + wanted * 11 / 10;
    if getrlimit(Resource::Nofile).maximum.is_some_and(|most| most < enough) {
        let _ =
            setrlimit(Resource::Nofile, Rlimit { current: Some(enough), maximum: Some(enough) });
    }
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let may = limit.maximum.map_or(wanted, |most| {
        let equal = most.saturating_sub(OWN) / 4;
        most.saturating_sub(OWN + ASIDE).max(equal) / 11 * 10
    });
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
    let count = as_many_as(10_100).saturating_sub(100);
    // With room for those that behave: over the limit, idle ones would make room.
    let siege = Siege::of(&["--max-connections", &(count + 100).to_string()], None, false);
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
    /// Those that have gone may still be waiting for their turn to be closed: at most as
    /// many as there may be at once.
    const BOUND: u64 = NOTHING_KEPT + 10_000 * OF_ONE;
    let siege = Siege::new();
    let greeting = &[PREFACE, &settings(&[])].concat();
    let tally = siege.attack(2, 4_000, |address| {
        drop(TcpStream::connect(address).unwrap());
        for said in [0, 1, PREFACE.len(), greeting.len() - 1, greeting.len()] {
            let mut hostile = Hostile::silent(address);
            hostile.send(&greeting[..said]);
        }
        (6, Heard::default())
    });
    siege.lifted("connections that come and go", &tally, BOUND);
}

/// `--max-connections 100`, under 1,000 idle ones.
mod at_the_limit {
    use super::*;

    const LIMIT: usize = 100;
    /// Of the admin API, and one that is being closed.
    const BESIDES: usize = 10;

    fn siege(persistent: bool) -> Siege {
        let siege = Siege::of(&["--max-connections", "100"], None, persistent);
        siege.others_are_answered();
        siege
    }

    #[test]
    fn those_that_make_calls_stay_and_new_ones_get_in() {
        // One that is turned away in the midst of the rush may have to try again.
        let siege = siege(true);
        let mut early = Hostile::connect(siege.address());
        early.ask(0, siege.key());
        let idle = idle(&siege, 1_000);
        siege.others_are_answered();
        // One of a library would connect anew without a word.
        early.ask(1, siege.key());
        wait_until("the idle ones to be closed", || siege.connections() <= LIMIT + BESIDES);
        siege.others_are_answered();
        let still_there = idle.into_iter().filter_map(|mut one| (!one.is_ended()).then_some(one));
        let still_there: Vec<Hostile> = still_there.collect();
        println!("{} of 1,000 idle connections are still there", still_there.len());
        assert!(still_there.len() <= LIMIT + BESIDES);
        drop((early, still_there));
        let tally = Tally { sent: 1_000, ..Default::default() };
        siege.lifted("idle connections over the limit", &tally, NOTHING_KEPT);
    }

    #[test]
    fn a_new_one_gets_in_at_once_when_all_others_are_idle() {
        let siege = siege(false);
        let idle = idle(&siege, LIMIT as u64);
        siege.others_are_answered();
        drop(idle);
        let tally = Tally { sent: LIMIT as u64, ..Default::default() };
        siege.lifted("idle connections at the limit", &tally, NOTHING_KEPT);
    }

    #[test]
    fn a_new_one_gets_in_in_the_midst_of_a_rush() {
        // One that is turned away may have to try again.
        let siege = siege(true);
        let idle = idle(&siege, 1_000);
        siege.others_are_answered();
        drop(idle);
        let tally = Tally { sent: 1_000, ..Default::default() };
        siege.lifted("a rush over the limit", &tally, NOTHING_KEPT);
    }

    #[test]
    fn those_that_come_without_end_do_not_push_out_one_that_makes_calls() {
        let siege = siege(true);
        let mut early = Hostile::connect(siege.address());
        early.ask(0, siege.key());
        let tally = siege.attack(2, 4_000, |address| {
            let come: Vec<Hostile> = (0..50).map(|_| Hostile::connect(address)).collect();
            drop(come);
            (50, Heard::default())
        });
        early.ask(1, siege.key());
        drop(early);
        siege.lifted("connections without end over the limit", &tally, NOTHING_KEPT);
    }
}
