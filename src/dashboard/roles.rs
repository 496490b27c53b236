//! Roles as pages show them, and the page with the table of all.

use askama::Template;
use axum::{extract::State, response::Response};

use super::{App, Frame, Section, Visitor, problem::page};
use crate::{
    keyring::Powers,
    policy::{ActionId, ConditionSet, Policy, Right, Rights, Role, Service},
};

/// A role, and what it may do.
pub(super) struct RoleView {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) intended_use: String,
    pub(super) summary: String,
    /// How many of the service's actions it may do, on conditions or without.
    pub(super) count: usize,
    pub(super) groups: Vec<Group>,
    /// What it can be granted beside.
    pub(super) grantable: Vec<ActionView>,
    /// The visitor may give it.
    pub(super) can_be_given: bool,
}

/// The actions on one kind of resource.
pub(super) struct Group {
    pub(super) resource: String,
    pub(super) actions: Vec<ActionView>,
}

/// An action.
#[derive(Clone)]
pub(super) struct ActionView {
    /// `articles.publish`.
    pub(super) name: String,
    /// `publish`.
    pub(super) verb: String,
    /// What it does, in words.
    pub(super) meaning: String,
    /// `only its own drafts`; empty: always.
    pub(super) condition: String,
}

impl RoleView {
    pub(super) fn new(service: &Service, role: &Role, powers: &Powers) -> Self {
        let rights = role.rights();
        let grantable = role.grantable().iter();
        Self {
            name: role.name().to_owned(),
            title: role.title().to_owned(),
            intended_use: role.intended_use().to_owned(),
            summary: role.summary().to_owned(),
            count: rights.always().len() + rights.conditional().count(),
            groups: groups(service, rights),
            grantable: grantable.map(|action| ActionView::new(service, action, "")).collect(),
            can_be_given: powers.cover(service, rights),
        }
    }
}

impl ActionView {
    pub(super) fn new(service: &Service, action: ActionId, condition: &str) -> Self {
        let name = service.action_name(action);
        let meaning = service.actions().get(action.index()).map_or("", |action| action.meaning());
        Self {
            name: name.to_owned(),
            verb: name.split_once('.').map_or(name, |(_, verb)| verb).replace('_', " "),
            meaning: meaning.to_owned(),
            condition: condition.to_owned(),
        }
    }
}

/// The roles of `service`, the least powerful first.
pub(super) fn of(service: &Service, powers: &Powers) -> Vec<RoleView> {
    service.roles().iter().rev().map(|role| RoleView::new(service, role, powers)).collect()
}

/// What `rights` allow in `service`, by resource.
pub(super) fn groups(service: &Service, rights: &Rights) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for action in all(service) {
        let condition = match rights.right(action) {
            Right::Never => continue,
            Right::Always => String::new(),
            Right::When(conditions) => in_words(conditions),
        };
        let view = ActionView::new(service, action, &condition);
        let resource = view.name.split_once('.').map_or("", |(resource, _)| resource);
        match groups.last_mut().filter(|group| group.resource == resource) {
            Some(group) => group.actions.push(view),
            None => {
                groups.push(Group { resource: resource.to_owned(), actions: vec![view] });
            }
        }
    }
    groups
}

/// The actions of `service`, in policy order.
pub(super) fn all(service: &Service) -> impl Iterator<Item = ActionId> {
    service.actions().iter().filter_map(|action| service.action(action.name()))
}

/// Conditions, any of which has to be met.
pub(super) fn in_words(conditions: ConditionSet) -> String {
    use crate::policy::Condition;
    let words = conditions.iter().map(|condition| match condition {
        Condition::Published => "what is published",
        Condition::Own => "its own",
        Condition::OwnDraft => "its own drafts",
    });
    format!("only {}", words.collect::<Vec<_>>().join(" or "))
}

/// The title of a key's service and of its role, or their names where the policy has them no more.
pub(super) fn titles(policy: &Policy, service: &str, role: &str) -> (String, String) {
    let known = policy.service(service);
    let role = known.and_then(|known| known.role(role)).map_or(role, |role| role.title());
    (known.map_or(service, |known| known.title()).to_owned(), role.to_owned())
}

#[derive(Template)]
#[template(path = "roles.html", config = "src/dashboard/askama.toml")]
struct RolesPage {
    frame: Frame,
    services: Vec<ServiceView>,
}

struct ServiceView {
    name: String,
    title: String,
    /// The most powerful first, as the guide has them.
    roles: Vec<RoleView>,
    rows: Vec<Row>,
}

/// A line of the table: an action, or the resource of those that follow.
struct Row {
    resource: Option<String>,
    action: ActionView,
    /// For each role.
    cells: Vec<Cell>,
}

struct Cell {
    mark: &'static str,
    /// For who does not see the mark.
    words: String,
}

/// The table of every service that the visitor sees.
pub(super) async fn show(State(app): State<App>, visitor: Visitor) -> Response {
    let policy = app.keyring.policy();
    let seen = |service: &&std::sync::Arc<Service>| {
        visitor.powers.service().is_none_or(|own| own == service.name())
    };
    let services = policy.services().filter(seen);
    let services = services.map(|service| ServiceView::new(service, &visitor.powers)).collect();
    page(&RolesPage { frame: visitor.frame(Section::Roles), services })
}

impl ServiceView {
    fn new(service: &Service, powers: &Powers) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        let mut resource = String::new();
        for action in all(service) {
            let view = ActionView::new(service, action, "");
            let own = view.name.split_once('.').map_or("", |(resource, _)| resource);
            let is_new = own != resource;
            if is_new {
                own.clone_into(&mut resource);
            }
            let cells = service.roles().iter().map(|role| Cell::new(role, action)).collect();
            rows.push(Row { resource: is_new.then(|| resource.clone()), action: view, cells });
        }
        let roles = service.roles().iter().map(|role| RoleView::new(service, role, powers));
        Self {
            name: service.name().to_owned(),
            title: service.title().to_owned(),
            roles: roles.collect(),
            rows,
        }
    }
}

impl Cell {
    fn new(role: &Role, action: ActionId) -> Self {
        let (mark, words) = match role.rights().right(action) {
            Right::Always => ("yes", "allowed".to_owned()),
            Right::When(conditions) => ("when", in_words(conditions)),
            Right::Never if role.grantable().contains(action) => ("grant", "if granted".to_owned()),
            Right::Never => ("no", "not allowed".to_owned()),
        };
        Self { mark, words }
    }
}
