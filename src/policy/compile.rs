//! Makes the policy of a draft: numbers its actions, expands patterns, and checks every list.
//!
//! It goes on after a mistake, so that one start shows all of them; what it returns is the policy
//! only if it added none to `problems`.

mod routes;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use indexmap::IndexMap;
use toml::Spanned;

use super::{
    Action, ActionId, ActionSet, Condition, Problem, Rights, Role, Service,
    draft::{ActionDraft, Draft, Place, RoleDraft, ServiceDraft},
    error::{Fault, List, Quoted, Suggestion, Through},
    file::Conditions,
};

pub(super) use self::routes::{Api, compile_routes};

pub(super) fn compile(
    draft: &Draft<'_>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<Box<str>, Arc<Service>> {
    draft
        .0
        .iter()
        .map(|(&name, draft)| (name.into(), Arc::new(service(name, draft, problems))))
        .collect()
}

fn service(name: &str, draft: &ServiceDraft<'_>, problems: &mut Vec<Problem>) -> Service {
    let quoted = || Quoted::new(name);
    if draft.roles.is_empty() {
        let fault = Fault::NoRoles { service: quoted() };
        problems.push(draft.place.problem(fault));
    }
    let surplus = draft.actions.get_index(ActionSet::CAPACITY);
    if let Some((_, surplus)) = surplus {
        problems.push(
            surplus
                .place
                .problem(Fault::TooManyActions { service: quoted(), count: draft.actions.len() }),
        );
    } else if draft.actions.is_empty() {
        let fault = Fault::NoActions { service: quoted() };
        problems.push(draft.place.problem(fault));
    }
    let actions = draft
        .actions
        .iter()
        .map(|(name, action)| Action { name: name.as_str().into(), meaning: action.meaning.into() })
        .collect();
    let roles = draft
        .roles
        .iter()
        // Without its actions, each entry of every role would be reported beside the one mistake.
        .filter(|_| surplus.is_none() && !draft.actions.is_empty())
        .map(|(&name, role)| {
            RoleCompiler { actions: &draft.actions, name, draft: role, problems }.role()
        })
        .collect();
    Service::new(name, draft.title.unwrap_or(name), actions, roles)
}

/// What an entry of a list covers.
type Covered<'a> = (&'a Spanned<String>, ActionSet);

/// One role, and the actions that its lists can name.
struct RoleCompiler<'a> {
    actions: &'a IndexMap<String, ActionDraft<'a>>,
    name: &'a str,
    draft: &'a RoleDraft<'a>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> RoleCompiler<'a> {
    fn role(mut self) -> Role {
        let table = self.draft.table;
        let mut rights = Rights::default();
        let allow = self.list("allow", &table.allow);
        for action in allow.iter().flat_map(|(_, actions)| actions.iter()) {
            rights.grant(action);
        }
        for (action, conditions) in &table.when {
            self.conditional(action, conditions, &allow, &mut rights);
        }
        let mut grantable = ActionSet::default();
        for (entry, actions) in self.list("grantable", &table.grantable) {
            grantable = grantable.union(&actions);
            self.check_grantable(entry, &actions, &allow);
        }
        Role {
            name: self.name.into(),
            title: table.title.as_deref().unwrap_or(self.name).into(),
            intended_use: table.intended_use.as_str().into(),
            summary: table.summary.as_str().into(),
            rights,
            grantable,
        }
    }

    /// Each entry of a list of actions and patterns, with what it covers.
    fn list(&mut self, field: &'static str, entries: &'a [Spanned<String>]) -> Vec<Covered<'a>> {
        let mut seen = HashSet::new();
        let mut covered = Vec::new();
        for entry in entries {
            if !seen.insert(entry.get_ref()) {
                let fault = Fault::Twice {
                    entry: Quoted::new(entry.get_ref()),
                    list: self.name_list(field),
                };
                self.report(entry, fault);
                continue;
            }
            match self.entry(field, entry.get_ref()) {
                Ok(actions) => covered.push((entry, actions)),
                Err(fault) => self.report(entry, fault),
            }
        }
        covered
    }

    /// The actions that one entry, an action's name or a pattern, covers.
    fn entry(&self, field: &'static str, entry: &str) -> Result<ActionSet, Fault> {
        if !entry.contains('*') {
            let mut one = ActionSet::default();
            one.insert(self.action(field, entry)?);
            return Ok(one);
        }
        let prefix = entry
            .strip_suffix('*')
            .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
            .filter(|prefix| !prefix.contains('*'))
            .ok_or_else(|| Fault::Pattern {
                pattern: Quoted::new(entry),
                list: self.name_list(field),
            })?;
        let mut covered = ActionSet::default();
        self.actions
            .keys()
            .enumerate()
            .filter(|(_, name)| name.starts_with(prefix))
            .filter_map(|(index, _)| ActionId::new(index))
            .for_each(|action| covered.insert(action));
        if covered.is_empty() {
            return Err(Fault::NothingMatches {
                pattern: Quoted::new(entry),
                list: self.name_list(field),
                suggestion: self.suggestion(field, entry),
            });
        }
        Ok(covered)
    }

    /// The action of that name.
    fn action(&self, field: &'static str, name: &str) -> Result<ActionId, Fault> {
        let index = self.actions.get_index_of(name);
        index.and_then(ActionId::new).ok_or_else(|| Fault::UnknownAction {
            action: Quoted::new(name),
            list: self.name_list(field),
            suggestion: self.suggestion(field, name),
        })
    }

    /// One line of `when`.
    fn conditional(
        &mut self,
        name: &'a Spanned<String>,
        conditions: &'a Conditions,
        allow: &[Covered<'_>],
        rights: &mut Rights,
    ) {
        let list = self.name_list("when");
        let action = || Quoted::new(name.get_ref());
        if name.get_ref().contains('*') {
            let pattern = action();
            return self.report(name, Fault::PatternInWhen { pattern, list });
        }
        let id = match self.action("when", name.get_ref()) {
            Ok(id) => id,
            Err(fault) => return self.report(name, fault),
        };
        if let Some(through) = through(id, name.get_ref(), allow) {
            let fault = Fault::AllowedAnyway { action: action(), list: list.clone(), through };
            self.report(name, fault);
        }
        if conditions.0.is_empty() {
            let fault = Fault::NoCondition { action: action(), list: list.clone() };
            self.report(name, fault);
        }
        let mut seen = HashSet::new();
        for condition in &conditions.0 {
            let text = condition.get_ref().as_str();
            if !seen.insert(text) {
                let fault = Fault::ConditionTwice {
                    condition: Quoted::new(text),
                    action: action(),
                    list: list.clone(),
                };
                self.report(condition, fault);
            } else if let Some(condition) = Condition::parse(text) {
                rights.grant_when(id, condition);
            } else {
                let fault = Fault::UnknownCondition {
                    condition: Quoted::new(text),
                    action: action(),
                    list: list.clone(),
                };
                self.report(condition, fault);
            }
        }
    }

    /// Reports the first action of an entry of `grantable` that the role has anyway.
    fn check_grantable(
        &mut self,
        entry: &'a Spanned<String>,
        actions: &ActionSet,
        allow: &[Covered<'_>],
    ) {
        let allowed = actions.iter().find_map(|action| {
            let (name, _) = self.actions.get_index(action.index())?;
            Some((name, through(action, name, allow)?))
        });
        if let Some((name, through)) = allowed {
            let fault = Fault::AlreadyAllowed {
                action: Quoted::new(name),
                list: self.name_list("grantable"),
                through,
            };
            self.report(entry, fault);
        }
    }

    /// The known name that `entry` is closest to, if one is close enough to have been meant.
    fn suggestion(&self, field: &'static str, entry: &str) -> Suggestion {
        let patterns = self
            .actions
            .keys()
            .filter(|_| field != "when") // which takes no patterns
            .filter_map(|name| Some(format!("{}.*", name.split_once('.')?.0)));
        Suggestion(closest(entry, self.actions.keys().cloned().chain(patterns)))
    }

    fn name_list(&self, field: &'static str) -> List {
        List { field, role: Quoted::new(self.name) }
    }

    fn report(&mut self, part: &Spanned<String>, fault: Fault) {
        let place = Place::new(self.draft.source, part);
        self.problems.push(place.problem(fault));
    }
}

/// The known name that `entry` is closest to, if one is close enough to have been meant.
fn closest(entry: &str, known: impl Iterator<Item = String>) -> Option<Quoted> {
    known
        .map(|known| (strsim::osa_distance(entry, &known), known))
        .filter(|(distance, _)| distance * 3 <= entry.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| Quoted::new(&known))
}

/// The entry of `allow` that covers `action`, if one does.
fn through(action: ActionId, name: &str, allow: &[Covered<'_>]) -> Option<Through> {
    let (entry, _) = allow.iter().find(|(_, covered)| covered.contains(action))?;
    let pattern = Some(entry.get_ref()).filter(|entry| *entry != name);
    Some(Through(pattern.map(|pattern| Quoted::new(pattern))))
}
