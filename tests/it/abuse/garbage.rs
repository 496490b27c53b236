//! What is no HTTP/2 at all, or only looks like it.

use super::{
    NOTHING_KEPT,
    frame::{PREFACE, frame, frame_that_says, settings},
    hostile::Hostile,
    siege::Siege,
};

/// Numbers that are the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.roll().to_le_bytes()[0]).collect()
    }

    /// A frame that may mean something: mostly known types, low streams, any payload.
    fn frame(&mut self) -> Vec<u8> {
        let len = [0, 4, 5, 6, 8, 40][usize::try_from(self.below(6)).unwrap()];
        let kind = u8::try_from(self.below(11)).unwrap();
        let flags = self.bytes(1)[0];
        let stream = u32::try_from(self.below(6)).unwrap();
        frame(kind, flags, stream, &self.bytes(len))
    }
}

#[test]
fn clients_that_do_not_speak_http2_are_turned_away() {
    let siege = Siege::new();
    let mut dice = Dice(1);
    let talks: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nhost: sidecar\r\n\r\n".into(),
        b"POST /octavia.authz.v1.AuthorizationService/Authorize HTTP/1.1\r\nhost: sidecar\r\n\
          transfer-encoding: chunked\r\n\r\nffffffff\r\n"
            .into(),
        b"GET / HTTP/1.1\r\nhost: sidecar\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n".into(),
        // A TLS ClientHello, of which more is to come.
        [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &dice.bytes(40)].concat(),
        vec![0; 1 << 20],
        b"\n".repeat(1 << 20),
        dice.bytes(1 << 16),
        // Right but for the last byte.
        [&PREFACE[..23], b"\r"].concat(),
        // The preface twice.
        [PREFACE, PREFACE].concat(),
        // What should be SETTINGS is not.
        [PREFACE, &dice.bytes(1000)].concat(),
        [PREFACE, &frame(0, 0, 1, b"data of no call")].concat(),
        // A frame that is said to be larger than any may be.
        [PREFACE, &settings(&[]), &frame_that_says((1 << 24) - 1, 1, 4, 1, &[0; 100])].concat(),
        [PREFACE, &settings(&[]), &frame_that_says((1 << 14) + 1, 0, 0, 1, &[0; 100])].concat(),
    ];
    let tally = siege.attack(4, 100 * talks.len() as u64, |address| {
        let mut heard = Default::default();
        for talk in &talks {
            let mut hostile = Hostile::silent(address);
            hostile.send(talk);
            heard = hostile.wait_for_end();
            assert!(heard.headers.is_empty() && heard.end() != "open", "{heard:?} of {talk:x?}");
        }
        (talks.len() as u64, heard)
    });
    siege.lifted("garbage", &tally, NOTHING_KEPT);
}

#[test]
fn frames_of_any_type_and_content_hold_up_nobody() {
    let siege = Siege::new();
    let seed = std::sync::atomic::AtomicU64::new(0);
    let tally = siege.attack(4, 20_000, |address| {
        let seed = seed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dice = std::cell::RefCell::new(Dice(seed));
        let mut hostile = Hostile::connect(address).reading();
        let sent = hostile.flood(100, |_| dice.borrow_mut().frame());
        (sent.max(1), hostile.leave())
    });
    siege.lifted("frames at random", &tally, NOTHING_KEPT);
}
