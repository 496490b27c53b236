//! What a key may do: actions it may always do, and actions it may do on a condition.
//!
//! INVARIANT: an action that is always allowed stands in no conditional set, so equal rights are
//! equal values. The authorizer asks `right` for every request; the keyring asks `covers` before
//! one key may give rights to another.

use super::{ActionId, ActionSet, Condition, ConditionSet};

/// The rights of a role, or of a key: its role's and its grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    always: ActionSet,
    published: ActionSet,
    own: ActionSet,
    own_draft: ActionSet,
}

/// What the rights say about one action.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// It is allowed, whatever the resource.
    Always,
    /// It is denied.
    Never,
    /// It is allowed where any of these conditions is met. Never empty.
    When(ConditionSet),
}

impl Right {
    /// Whether this right allows a request with these attributes from a key with this `subject`.
    pub fn allows(self, attributes: &super::Attributes<'_>, subject: &str) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::When(conditions) => conditions.met_by(attributes, subject),
        }
    }
}

impl Rights {
    /// What these rights say about `action`.
    pub fn right(&self, action: ActionId) -> Right {
        if self.always.contains(action) {
            return Right::Always;
        }
        let conditions = self.conditions(action);
        if conditions.is_empty() { Right::Never } else { Right::When(conditions) }
    }

    /// Allows `action` without a condition.
    pub fn grant(&mut self, action: ActionId) {
        self.always.insert(action);
        for condition in Condition::ALL {
            self.when_mut(condition).remove(action);
        }
    }

    /// Allows `action` where `condition` is met, beside what is allowed already.
    pub(super) fn grant_when(&mut self, action: ActionId, condition: Condition) {
        if !self.always.contains(action) {
            self.when_mut(condition).insert(action);
        }
    }

    /// The actions that are allowed without a condition.
    pub fn always(&self) -> &ActionSet {
        &self.always
    }

    /// The actions that are allowed on conditions, in policy order.
    pub fn conditional(&self) -> impl Iterator<Item = (ActionId, ConditionSet)> {
        self.published
            .union(&self.own)
            .union(&self.own_draft)
            .iter()
            .map(|action| (action, self.conditions(action)))
    }

    /// Whether whoever holds these rights holds all of `other` too, and so may give them.
    ///
    /// Both must be rights in the same service. `same_subject` says whether both holders have one
    /// subject: only then does "own" mean the same resources for the two.
    pub fn covers(&self, other: &Self, same_subject: bool) -> bool {
        let mut own = self.always;
        let mut own_draft = self.always;
        if same_subject {
            own = own.union(&self.own);
            own_draft = own.union(&self.own_draft);
        }
        other.always.is_subset_of(&self.always)
            && other.published.is_subset_of(&self.always.union(&self.published))
            && other.own.is_subset_of(&own)
            && other.own_draft.is_subset_of(&own_draft)
    }

    /// The sets, `always` first, then as in [`Condition::ALL`].
    pub(super) fn sets(&self) -> [&ActionSet; 4] {
        [&self.always, &self.published, &self.own, &self.own_draft]
    }

    fn conditions(&self, action: ActionId) -> ConditionSet {
        let mut conditions = ConditionSet::default();
        for condition in Condition::ALL {
            if self.when(condition).contains(action) {
                conditions.insert(condition);
            }
        }
        conditions
    }

    fn when(&self, condition: Condition) -> &ActionSet {
        match condition {
            Condition::Published => &self.published,
            Condition::Own => &self.own,
            Condition::OwnDraft => &self.own_draft,
        }
    }

    fn when_mut(&mut self, condition: Condition) -> &mut ActionSet {
        match condition {
            Condition::Published => &mut self.published,
            Condition::Own => &mut self.own,
            Condition::OwnDraft => &mut self.own_draft,
        }
    }
}
