//! A key's own page: what it is, how it was used, what may be changed, what was done to it.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};

use super::{
    KeyId, KeyView, LastUsed,
    chart::Chart,
    expires::{ExpirationChoice, Limit},
    new::{Errors, More},
};
use crate::{
    audit::PageRequest,
    clock::Timestamp,
    dashboard::{
        App, Frame, Problem, Section, Visitor,
        audit::EventView,
        frame::actor,
        problem::page,
        roles::{self, Group, RoleView},
        time::Moment,
    },
    event::Filter,
    record::KeyRecord,
    store::Order,
    usage::KeyUsage,
};

/// So long the page waits for others that read the log; then it is shown without the trail.
const PATIENCE: Duration = Duration::from_millis(200);
/// Events of its trail that the page shows; the rest is in the audit log.
const EVENTS: usize = 10;

#[derive(Template)]
#[template(path = "keys/key.html", config = "src/dashboard/askama.toml")]
struct KeyPage {
    frame: Frame,
    key: KeyView,
    /// Switched on, expired or not.
    active: bool,
    created_by: String,
    updated: Moment,
    subject: String,
    description: String,
    labels: Vec<(String, String)>,
    usage: Option<UsageView>,
    secrets: Vec<SecretView>,
    groups: Vec<Group>,
    form: EditForm,
    more: More,
    expires: ExpirationChoice,
    limit: Limit,
    errors: Errors,
    roles: Vec<RoleView>,
    today: String,
    /// `None`: the visitor may not read the log.
    trail: Option<Trail>,
    updates: bool,
    rotates: bool,
    revokes: bool,
    /// It is the key that the visitor is signed in with.
    own: bool,
    /// Why the visitor may change nothing, where that is so.
    why_not: String,
}

/// How often it was used.
struct UsageView {
    allowed: u64,
    denied: u64,
    since: Moment,
    chart: Chart,
}

/// What was last done to it.
enum Trail {
    /// The newest events; whether the log was not looked through for more of them.
    Read(Vec<EventView>, bool),
    Unread,
}

struct SecretView {
    number: u32,
    hint: String,
    created: Moment,
    expires: Option<Moment>,
    last_used: Option<Moment>,
}

/// What the form of a key's fields holds.
pub(in crate::dashboard) struct EditForm {
    pub(in crate::dashboard) etag: String,
    pub(in crate::dashboard) name: String,
    pub(in crate::dashboard) role: String,
    pub(in crate::dashboard) grants: Vec<String>,
    pub(in crate::dashboard) expires: ExpirationChoice,
    pub(in crate::dashboard) more: More,
    /// It was based on a key that is another now: all that it changes is shown before it is saved.
    pub(in crate::dashboard) shows_all: bool,
}

impl EditForm {
    /// The key as it is.
    pub(in crate::dashboard) fn of(key: &KeyRecord) -> Self {
        let labels = key.labels.iter().map(|(name, value)| format!("{name}={value}\n"));
        Self {
            etag: key.etag(),
            name: key.name.clone(),
            role: key.role.clone(),
            grants: key.grants.clone(),
            expires: ExpirationChoice::keep(key.expires),
            more: More {
                description: key.description.clone(),
                subject: key.subject.clone(),
                labels: labels.collect(),
            },
            shows_all: false,
        }
    }
}

impl UsageView {
    fn new((usage, since): &(KeyUsage, Timestamp), now: Timestamp) -> Self {
        Self {
            allowed: usage.allowed,
            denied: usage.denied,
            since: Moment::new(*since, now),
            chart: Chart::new(&usage.days, now),
        }
    }
}

/// The page.
pub(in crate::dashboard) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    KeyId(id): KeyId,
) -> Response {
    match app.keyring.get(&visitor.caller, &id) {
        Ok(key) => {
            let form = EditForm::of(&key);
            with_form(&app, &visitor, &key, form, Errors::default()).await
        }
        Err(error) => Problem::from(error).page(&visitor),
    }
}

/// The page, with what was typed and what is wrong with it.
pub(super) async fn with_form(
    app: &App,
    visitor: &Visitor,
    key: &KeyRecord,
    form: EditForm,
    errors: Errors,
) -> Response {
    let (policy, now) = (app.keyring.policy(), app.clock.now());
    let usage = app.keyring.usage(key);
    let secrets = key.secrets.iter().filter(|secret| secret.is_live(now)).map(|secret| {
        let used = usage.iter().flat_map(|(usage, _)| &usage.secrets);
        let used = used.clone().find(|(number, _)| *number == secret.number);
        SecretView {
            number: secret.number,
            hint: secret.hint.clone(),
            created: Moment::new(secret.created, now),
            expires: secret.expires.map(|at| Moment::new(at, now)),
            last_used: used.map(|(_, at)| Moment::new(*at, now)),
        }
    });
    let service = policy.service(&key.service);
    let rights = policy.rights(key).unwrap_or_default();
    let may = |action| visitor.may_to(action, key, &policy);
    let over = visitor.powers.require_over(key, &policy);
    let why_not = over.err().map(|refusal| refusal.to_string()).unwrap_or_default();
    let is_wrong = !errors.is_empty();
    let answer = page(&KeyPage {
        frame: visitor.frame(Section::Keys),
        active: key.active,
        created_by: actor(key.created_by),
        updated: Moment::new(key.updated, now),
        subject: key.subject.clone(),
        description: key.description.clone(),
        labels: key.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        secrets: secrets.collect(),
        usage: usage.as_ref().map(|usage| UsageView::new(usage, now)),
        groups: service.map(|service| roles::groups(service, &rights)).unwrap_or_default(),
        roles: service.map(|service| roles::of(service, &visitor.powers)).unwrap_or_default(),
        more: form.more.clone(),
        expires: form.expires.clone(),
        limit: Limit::of(visitor, now),
        own: visitor.is(key),
        form,
        errors,
        today: crate::dashboard::time::date(now),
        trail: trail(app, visitor, key).await,
        updates: may("api_keys.update"),
        rotates: may("api_keys.rotate"),
        revokes: may("api_keys.revoke"),
        why_not,
        key: KeyView::new(key, &app.keyring, &policy, now),
    });
    if is_wrong { (StatusCode::UNPROCESSABLE_ENTITY, answer).into_response() } else { answer }
}

/// What was last done to the key, for who may know.
async fn trail(app: &App, visitor: &Visitor, key: &KeyRecord) -> Option<Trail> {
    // Nobody waits for what is not told to them.
    if !visitor.may("audit.read") {
        return None;
    }
    let filter = Filter { key_id: Some(key.id), ..Filter::default() };
    let request =
        PageRequest { size: EVENTS, token: String::new(), filter, order: Order::NewestFirst };
    match crate::dashboard::audit::read(app, visitor, request, Some(PATIENCE)).await {
        Ok(page) => {
            let is_cut = page.events.len() < EVENTS && !page.next.is_empty();
            Some(Trail::Read(page.events, is_cut))
        }
        Err(problem) if problem.status == StatusCode::FORBIDDEN => None,
        Err(_) => Some(Trail::Unread),
    }
}
