//! What becomes of rights when a key is changed.

use super::{ActionId, Right, Rights, Service};

/// An action to which a right changes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RightChange {
    /// The action.
    pub action: ActionId,
    /// What the rights before say about it.
    pub before: Right,
    /// What the rights after say about it: something else.
    pub after: Right,
}

impl RightChange {
    /// The actions of `service` about which two rights in it differ, in policy order. `None`, of a
    /// role that the service does not have, is no right at all.
    pub fn between(
        service: &Service,
        before: Option<Rights>,
        after: Option<Rights>,
    ) -> impl Iterator<Item = Self> + use<> {
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let actions = (0..service.actions().len()).filter_map(ActionId::new);
        actions.filter_map(move |action| {
            let (before, after) = (before.right(action), after.right(action));
            (before != after).then_some(Self { action, before, after })
        })
    }
}
