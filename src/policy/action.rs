//! Actions of a service: what one is called and means, its number, and sets of numbers.
//!
//! A number is the action's place in its service's list, so that a set is four words and asking it
//! is one bit test. Numbers mean nothing outside the service that gave them.

/// Something that a key may or may not do, such as `articles.publish`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub(super) name: Box<str>,
    pub(super) meaning: Box<str>,
}

impl Action {
    /// Its name, `resource.verb`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it does, in words for people.
    pub fn meaning(&self) -> &str {
        &self.meaning
    }
}

/// An action's place in its service's list.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ActionId(u8);

impl ActionId {
    /// The action at `index` of its service's list; `None` past [`ActionSet::CAPACITY`].
    pub(super) fn new(index: usize) -> Option<Self> {
        u8::try_from(index).ok().map(Self)
    }

    /// Its index in [`Service::actions`](super::Service::actions).
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    fn word(self) -> usize {
        usize::from(self.0 / 64)
    }

    fn bit(self) -> u64 {
        1 << (self.0 % 64)
    }
}

/// A set of one service's actions.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionSet([u64; 4]);

impl ActionSet {
    /// The most actions that a service can have.
    pub const CAPACITY: usize = 256;

    /// Whether `action` is in the set.
    pub fn contains(&self, action: ActionId) -> bool {
        self.0.get(action.word()).is_some_and(|word| word & action.bit() != 0)
    }

    /// Adds `action`.
    pub fn insert(&mut self, action: ActionId) {
        if let Some(word) = self.0.get_mut(action.word()) {
            *word |= action.bit();
        }
    }

    /// Takes `action` out.
    pub(super) fn remove(&mut self, action: ActionId) {
        if let Some(word) = self.0.get_mut(action.word()) {
            *word &= !action.bit();
        }
    }

    /// The actions that are in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut union = *self;
        for (word, more) in union.0.iter_mut().zip(other.0) {
            *word |= more;
        }
        union
    }

    /// Whether every action of this set is in `other`.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).all(|(word, all)| word & !all == 0)
    }

    /// Whether the set has no action.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// How many actions the set has.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// The actions, in the order of their service's list.
    pub fn iter(&self) -> impl Iterator<Item = ActionId> + use<> {
        let set = *self;
        (0..=u8::MAX).map(ActionId).filter(move |action| set.contains(*action))
    }

    /// The set as bits, action 0 being the lowest of the first word.
    pub(super) fn words(&self) -> [u64; 4] {
        self.0
    }
}
