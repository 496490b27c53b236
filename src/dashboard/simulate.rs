//! What would be decided of a key, and why.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};

use super::{
    App, Frame, Problem, Section, Visitor,
    fields::Fields,
    keys::KeyView,
    problem::page,
    roles::{self, ActionView},
};
use crate::{
    authorizer::{Outcome, Question, Reason},
    grpc::reason_name,
    keyring::{By, Filter, Order, PageRequest},
    policy::Attributes,
    record::KeyRecord,
};

/// Longer than any name.
const MAX_NAME: usize = 512;
/// Keys that are looked at for one with a name.
const LOOK: usize = 50;

#[derive(Template)]
#[template(path = "simulate.html", config = "src/dashboard/askama.toml")]
struct SimulatePage {
    frame: Frame,
    query: Fields,
    /// What is wrong with what was asked.
    error: String,
    key: Option<KeyView>,
    actions: Vec<ActionView>,
    answer: Option<Answer>,
}

/// A decision in words.
struct Answer {
    allowed: bool,
    /// As the APIs say it.
    reason: String,
    why: String,
    /// Attributes that would be needed: for each way that leads to an allow.
    needs: Vec<Vec<(&'static str, String)>>,
}

/// The page, with the decision once a key and an action are given.
pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Response {
    let query = Fields::parse(query.unwrap_or_default().as_bytes());
    let policy = app.keyring.policy();
    let mut shown = SimulatePage {
        frame: visitor.frame(Section::Simulate),
        error: String::new(),
        key: None,
        actions: Vec::new(),
        answer: None,
        query,
    };
    let services = policy
        .services()
        .filter(|service| visitor.powers.service().is_none_or(|own| own == service.name()));
    for service in services {
        shown
            .actions
            .extend(roles::all(service).map(|action| ActionView::new(service, action, "")));
    }
    let asked = shown.query.get("key").to_owned();
    if asked.is_empty() {
        return page(&shown);
    }
    let key = match find(&app, &visitor, &asked).await {
        Ok(key) => key,
        Err(error) => {
            shown.error = error;
            return page(&shown);
        }
    };
    shown.key = Some(KeyView::new(&key, &app.keyring, &policy, app.clock.now()));
    let (action, owner, state) =
        (shown.query.get("action"), shown.query.get("owner"), shown.query.get("state"));
    if action.is_empty() {
        return page(&shown);
    }
    if action.len() > Question::MAX_NAME || owner.len().max(state.len()) > Question::MAX_ATTRIBUTE {
        shown.error = "The action or an attribute is longer than a request may give it.".to_owned();
        return page(&shown);
    }
    let attributes = Attributes { owner, state };
    let question = Question { key: "", action, service: &key.service, attributes };
    match app.authorizer.simulate(key.id, &question) {
        Ok(decision) => shown.answer = Some(Answer::new(decision.outcome, &key, action)),
        Err(error) => return Problem::unavailable(&error).page(&visitor),
    }
    page(&shown)
}

/// The key with this id, or with this name if it is the only one; or why there is none.
async fn find(app: &App, visitor: &Visitor, asked: &str) -> Result<KeyRecord, String> {
    let by_id = app.keyring.get(&visitor.caller, asked);
    let error = match by_id {
        Ok(key) => return Ok(key),
        Err(error) => Problem::from(error).text,
    };
    if asked.len() > MAX_NAME {
        return Err(error);
    }
    let filter = Filter { search: Some(asked.to_owned()), ..Filter::default() };
    let (order, token) = (Order { by: By::Name, descending: false }, String::new());
    let request = PageRequest { size: LOOK, token, order, filter };
    let listed = app.keyring.list(visitor.caller.clone(), request).await;
    let listed = listed.map_err(|error| Problem::from(error).text)?;
    let mut named = listed.keys.iter().filter(|key| key.name == asked);
    match (named.next(), named.next()) {
        (Some(key), None) if listed.next.is_empty() => Ok(KeyRecord::clone(key)),
        (Some(_), Some(_)) => Err("Several keys have this name: give the id of one.".to_owned()),
        (Some(_), None) => Err("Too many names are like this one: give the key's id.".to_owned()),
        (None, _) => Err(error),
    }
}

impl Answer {
    fn new(outcome: Outcome, key: &KeyRecord, action: &str) -> Self {
        let mut needs = Vec::new();
        let why = match outcome {
            Outcome::Allow => format!("The key may do {action}."),
            Outcome::Deny(reason) => match reason {
                Reason::KeyInactive => {
                    "The key is inactive: it may do nothing until it is enabled.".to_owned()
                }
                Reason::KeyExpired => "The key has expired: it may do nothing.".to_owned(),
                Reason::ActionUnknown => format!(
                    "The service has no action {action}, so it is denied to every key. Is it spelt right?"
                ),
                Reason::ActionDenied => {
                    "Neither the key's role nor a grant gives it the right.".to_owned()
                }
                Reason::ConditionUnmet(conditions) => {
                    needs = conditions
                        .iter()
                        .map(|condition| {
                            let needs = condition.needs(&key.subject);
                            needs.map(|(name, value)| (name, value.to_owned())).collect()
                        })
                        .collect();
                    format!(
                        "The key may do this to {} alone, and the request does not say that it is.",
                        roles::in_words(conditions).trim_start_matches("only ")
                    )
                }
                Reason::ServiceMismatch => "The key is good for another service.".to_owned(),
                Reason::KeyUnknown | Reason::KeyMalformed => {
                    "The key was revoked while this page was made.".to_owned()
                }
                Reason::RequestInvalid => "The request contradicts itself.".to_owned(),
            },
        };
        Self {
            allowed: outcome == Outcome::Allow,
            reason: reason_name(Some(outcome)).to_owned(),
            why,
            needs,
        }
    }
}
