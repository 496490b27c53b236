//! What the catalog keeps of one key: 80 bytes, and a long name or many labels.
//!
//! INVARIANT: a card holds nothing that proves a key. It is small, for there is
//! one for each key: times have no room for "none", team, service and role are one
//! number. Lists look at all cards: what most of them need stands in the card
//! itself, since to fetch it from elsewhere would take most of their time.

use std::hash::BuildHasher as _;

use smallvec::SmallVec;

use crate::{clock::Timestamp, record::KeyRecord};

/// The key never expires: after everything else in order.
pub(in crate::keyring) const LIFETIME: i64 = i64::MAX;

/// What lists filter and sort by, but for the id.
pub(in crate::keyring) struct Card {
    /// How many labels, in one byte; a hash of each, in eight; the name. Elsewhere
    /// only if it is longer than this.
    text: SmallVec<[u8; 32]>,
    created: Timestamp,
    updated: Timestamp,
    came: Timestamp,
    expires: i64,
    class: u32,
    active: bool,
}

/// Makes a number of a label, in each process another. Two labels with the same
/// are as likely as guessing a number of 64 bits.
#[derive(Clone, Default)]
pub(in crate::keyring) struct LabelHasher(foldhash::quality::RandomState);

impl LabelHasher {
    /// The number of a label.
    pub(in crate::keyring) fn hash(&self, name: &str, value: &str) -> u64 {
        self.0.hash_one((name, value))
    }
}

impl Card {
    /// The card of `key`, which is of the class of that number.
    pub(super) fn new(key: &KeyRecord, class: u32, labels: &LabelHasher) -> Self {
        // The keyring lets a key have 64.
        let count = u8::try_from(key.labels.len()).unwrap_or(u8::MAX);
        let mut text = SmallVec::with_capacity(1 + usize::from(count) * 8 + key.name.len());
        text.push(count);
        for (name, value) in key.labels.iter().take(usize::from(count)) {
            text.extend_from_slice(&labels.hash(name, value).to_le_bytes());
        }
        text.extend_from_slice(key.name.as_bytes());
        Self {
            text,
            created: key.created,
            updated: key.updated,
            came: key.came(),
            expires: key.expires.map_or(LIFETIME, |at| at.0.min(LIFETIME - 1)),
            class,
            active: key.active,
        }
    }

    /// The name, in UTF-8.
    pub(in crate::keyring) fn name(&self) -> &[u8] {
        self.parts().1
    }

    /// Whether it has the label of this hash.
    pub(in crate::keyring) fn has_label(&self, hash: u64) -> bool {
        self.parts().0.chunks_exact(8).any(|label| label == hash.to_le_bytes())
    }

    /// The number of its team, service and role.
    pub(in crate::keyring) fn class(&self) -> u32 {
        self.class
    }

    /// Whether it is switched on.
    pub(in crate::keyring) fn is_active(&self) -> bool {
        self.active
    }

    /// When it was created.
    pub(in crate::keyring) fn created(&self) -> Timestamp {
        self.created
    }

    /// When it was last changed.
    pub(in crate::keyring) fn updated(&self) -> Timestamp {
        self.updated
    }

    /// From when on its use is known, if use is tracked since then.
    pub(in crate::keyring) fn came(&self) -> Timestamp {
        self.came
    }

    /// When it expires; `None` is lifetime.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        Some(Timestamp(self.expires)).filter(|_| self.expires != LIFETIME)
    }

    /// Its place among others by expiration: [`LIFETIME`] is last.
    pub(in crate::keyring) fn expires_place(&self) -> i64 {
        self.expires
    }

    pub(super) fn set_class(&mut self, class: u32) {
        self.class = class;
    }

    /// Labels, and name.
    fn parts(&self) -> (&[u8], &[u8]) {
        // INVARIANT: as `new` has put it together.
        let Some((count, rest)) = self.text.split_first() else { return (&[], &[]) };
        rest.split_at_checked(usize::from(*count) * 8).unwrap_or_default()
    }
}
