//! What a conditional right asks of the resource, and whether a request answers it.
//!
//! INVARIANT: a missing attribute satisfies nothing, nor does a key without a subject own anything.
//! The authorizer asks here for every right that is conditional.

/// `resource.owner`, the attribute that names whose the resource is.
const OWNER: &str = "resource.owner";
/// `resource.state`, the attribute that says where the resource is in its life.
const STATE: &str = "resource.state";
const PUBLISHED: &str = "published";
const DRAFT: &str = "draft";

/// What a request says about the resource. An empty string is a missing attribute.
#[derive(Copy, Clone, Debug, Default)]
pub struct Attributes<'a> {
    /// `resource.owner`: the principal to whom it belongs.
    pub owner: &'a str,
    /// `resource.state`: `draft`, `published` or another of the service's own.
    pub state: &'a str,
}

/// A condition on a right, as the policy file names it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The resource's state is `published`.
    Published,
    /// The resource's owner is the key's subject.
    Own,
    /// The resource's owner is the key's subject, and its state is `draft`.
    OwnDraft,
}

impl Condition {
    /// Every condition there is.
    pub const ALL: [Self; 3] = [Self::Published, Self::Own, Self::OwnDraft];

    /// Its name in the policy file: `published`, `own` or `own_draft`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Own => "own",
            Self::OwnDraft => "own_draft",
        }
    }

    /// The condition of that name, exactly as written; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// What a request from a key with this `subject` has to carry: attributes and their values.
    pub fn needs(self, subject: &str) -> impl Iterator<Item = (&'static str, &str)> {
        let owner = (OWNER, subject);
        let (owner, state) = match self {
            Self::Published => (None, Some((STATE, PUBLISHED))),
            Self::Own => (Some(owner), None),
            Self::OwnDraft => (Some(owner), Some((STATE, DRAFT))),
        };
        owner.into_iter().chain(state)
    }

    /// Whether a request with these attributes, from a key with this `subject`, fulfils it.
    pub fn met_by(self, attributes: &Attributes<'_>, subject: &str) -> bool {
        let own = !subject.is_empty() && attributes.owner == subject;
        match self {
            Self::Published => attributes.state == PUBLISHED,
            Self::Own => own,
            Self::OwnDraft => own && attributes.state == DRAFT,
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Published => 1,
            Self::Own => 1 << 1,
            Self::OwnDraft => 1 << 2,
        }
    }
}

/// Conditions of which any one is enough.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConditionSet(u8);

impl ConditionSet {
    /// Whether any of them is met by a request with these attributes from a key with this
    /// `subject`. An empty set is never met.
    pub fn met_by(self, attributes: &Attributes<'_>, subject: &str) -> bool {
        self.iter().any(|condition| condition.met_by(attributes, subject))
    }

    /// Whether `condition` is one of them.
    pub fn contains(self, condition: Condition) -> bool {
        self.0 & condition.bit() != 0
    }

    /// Adds `condition`.
    pub fn insert(&mut self, condition: Condition) {
        self.0 |= condition.bit();
    }

    /// The conditions, in the order of [`Condition::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Condition> {
        Condition::ALL.into_iter().filter(move |condition| self.contains(*condition))
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
