//! One service under the policy: the actions it knows and the roles a key in it can have.
//!
//! INVARIANT: what is asked for by a name that is not in the policy is `None`, never a default.
//! The authorizer looks actions up here for every request, the keyring roles at every change.

use std::collections::HashMap;

use foldhash::quality::RandomState;

use super::{Action, ActionId, ActionSet, Rights};

/// A service: `ai-cms`, or one that a policy file defines.
#[derive(Debug)]
pub struct Service {
    name: Box<str>,
    title: Box<str>,
    actions: Vec<Action>,
    roles: Vec<Role>,
    /// The place of each action in `actions`. Names come from requests: the seed is random, so that
    /// nobody can choose names that collide.
    ids: HashMap<Box<str>, ActionId, RandomState>,
}

/// A role of a service, and what it may do there.
#[derive(Clone, Debug)]
pub struct Role {
    pub(super) name: Box<str>,
    pub(super) title: Box<str>,
    pub(super) intended_use: Box<str>,
    pub(super) summary: Box<str>,
    pub(super) rights: Rights,
    pub(super) grantable: ActionSet,
}

impl Service {
    /// A service with these actions, at most [`ActionSet::CAPACITY`], of different names.
    pub(super) fn new(name: &str, title: &str, actions: Vec<Action>, roles: Vec<Role>) -> Self {
        let ids = actions
            .iter()
            .enumerate()
            .filter_map(|(index, action)| Some((action.name.clone(), ActionId::new(index)?)))
            .collect();
        Self { name: name.into(), title: title.into(), actions, roles, ids }
    }

    /// Its name, as keys and requests give it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Its actions, in policy order.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// Its roles, in policy order: the most powerful first, in the built-in policy.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// The action of that name; `None` if the service has none.
    pub fn action(&self, name: &str) -> Option<ActionId> {
        self.ids.get(name).copied()
    }

    /// The name of an action of this service. One that this service did not give out may be past
    /// its last action; its name is then empty.
    pub fn action_name(&self, action: ActionId) -> &str {
        self.actions.get(action.index()).map_or("", |action| action.name())
    }

    /// The names of the actions in `set`, in policy order.
    pub fn names(&self, set: &ActionSet) -> impl Iterator<Item = &str> {
        set.iter().map(|action| self.action_name(action))
    }

    /// The role of that name; `None` if the service has none.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| &*role.name == name)
    }

    /// Whether every key of this role may do every action, whatever the resource.
    pub fn gives_all(&self, role: &str) -> bool {
        self.role(role).is_some_and(|role| role.rights.always().len() == self.actions.len())
    }

    /// The rights of a key with this role and these grants, each the name of one action.
    ///
    /// `None` if there is no such role. A grant that the role does not take (any more) gives nothing.
    pub fn rights(&self, role: &str, grants: &[String]) -> Option<Rights> {
        let role = self.role(role)?;
        let mut rights = role.rights.clone();
        for grant in grants {
            if let Some(action) =
                self.action(grant).filter(|action| role.grantable.contains(*action))
            {
                rights.grant(action);
            }
        }
        Some(rights)
    }
}

impl Role {
    /// Its name, as keys carry it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Who it is meant for; empty if the policy does not say.
    pub fn intended_use(&self) -> &str {
        &self.intended_use
    }

    /// What it may do, in a few sentences; empty if the policy does not say.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// What it may do without grants.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// The actions that a key of this role can be granted one by one, beside its rights.
    pub fn grantable(&self) -> &ActionSet {
        &self.grantable
    }
}
