//! Last uses of many keys, read ahead.
//!
//! INVARIANT: what is read ahead are all used keys of one range of ids, so that one
//! that is not among them was not used. The ledger is locked for no more than a
//! chunk of them.

use super::{
    Usage,
    moment::{Moment, timestamp},
};
use crate::{clock::Timestamp, token::KeyId};

/// So many are read in one go, in some microseconds.
const CHUNK: usize = 1024;

/// Tells when keys were last used, as of the last [`Usage::collect`]: made for who
/// asks for many keys in the order of their ids, and right for anybody.
pub struct LastUses<'a> {
    usage: &'a Usage,
    /// In the order of ids.
    ahead: Vec<(KeyId, Moment)>,
    /// The first of them that is not before the key asked for last.
    next: usize,
    /// No key after these was used.
    is_rest: bool,
    asked: Option<KeyId>,
}

impl<'a> LastUses<'a> {
    pub(super) fn new(usage: &'a Usage) -> Self {
        Self { usage, ahead: Vec::new(), next: 0, is_rest: false, asked: None }
    }

    /// When the key was last used; `None`: never since [`Usage::known_since`].
    pub fn of(&mut self, id: KeyId) -> Option<Timestamp> {
        if self.asked.is_none_or(|asked| id < asked) {
            self.read(id);
        }
        self.asked = Some(id);
        loop {
            match self.ahead.get(self.next) {
                Some((used, _)) if *used < id => self.next += 1,
                Some((used, moment)) if *used == id => return timestamp(moment.millis()),
                None if !self.is_rest => self.read(id),
                _ => return None,
            }
        }
    }

    fn read(&mut self, first: KeyId) {
        self.ahead.clear();
        let ledger = self.usage.0.ledger();
        let used = ledger.last_used.range(first..).take(CHUNK);
        self.ahead.extend(used.map(|(id, moment)| (*id, *moment)));
        drop(ledger);
        self.next = 0;
        self.is_rest = self.ahead.len() < CHUNK;
    }
}
