//! New API Key, in the steps of the users' guide: name, service scope, role, expiration; then its
//! text, once.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};

use super::{
    expires::{ExpirationChoice, Limit},
    secret,
};
use crate::{
    change::{FieldViolation, Refusal},
    dashboard::{
        App, Frame, Posted, Problem, Section, Visitor,
        fields::Fields,
        problem::{page, sentence},
        roles::{self, RoleView},
        session::{self, Sent},
    },
    keyring::{DEFAULT_TEAM, KeyringError, NewKey},
    policy::{DEFAULT_SERVICE, Policy, service_or_default},
    store::CommitError,
};

#[derive(Template)]
#[template(path = "keys/new.html", config = "src/dashboard/askama.toml")]
struct NewPage {
    frame: Frame,
    /// Sent once only.
    form: String,
    errors: Errors,
    services: Vec<(String, String)>,
    roles: Vec<RoleView>,
    entered: Entered,
    more: More,
    expires: ExpirationChoice,
    limit: Limit,
    /// The day before which an end date makes no sense.
    today: String,
    /// The visitor chooses a team.
    any_team: bool,
}

/// What the form asks for.
struct Asked {
    entered: Entered,
    more: More,
    expires: ExpirationChoice,
}

struct Entered {
    name: String,
    service: String,
    role: String,
    team: String,
    grants: Vec<String>,
}

/// What few keys need: the same in the form of a new key and in that of one that there is.
#[derive(Clone, Debug)]
pub(in crate::dashboard) struct More {
    pub(in crate::dashboard) description: String,
    pub(in crate::dashboard) subject: String,
    /// One a line.
    pub(in crate::dashboard) labels: String,
}

/// What is wrong, by field.
#[derive(Clone, Debug, Default)]
pub(in crate::dashboard) struct Errors(Vec<(String, String)>);

impl Errors {
    pub(in crate::dashboard) fn add(&mut self, field: &str, problem: &str) {
        self.0.push((field.to_owned(), sentence(problem)));
    }

    /// What a refusal says of fields; `None`: it is about something else.
    pub(in crate::dashboard) fn of(error: &KeyringError) -> Option<Self> {
        let KeyringError::Commit(CommitError::Refused(Refusal::Invalid(violations))) = error else {
            return None;
        };
        let mut errors = Self::default();
        for FieldViolation { field, problem } in violations {
            // The form has one field for the two forms of it.
            let field = if *field == "expire_time" { "expiration" } else { field };
            errors.add(field, problem);
        }
        Some(errors)
    }

    pub(in crate::dashboard) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of `field`.
    pub(in crate::dashboard) fn of_field<'a>(
        &'a self,
        field: &str,
    ) -> impl Iterator<Item = &'a str> {
        let of_field = self.0.iter().filter(move |(known, _)| known == field);
        of_field.map(|(_, problem)| problem.as_str())
    }

    pub(in crate::dashboard) fn has(&self, field: &str) -> bool {
        self.of_field(field).next().is_some()
    }

    pub(in crate::dashboard) fn all(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.iter()
    }
}

impl Entered {
    fn read(fields: &Fields) -> Self {
        Self {
            name: fields.get("name").to_owned(),
            service: fields.get("service").to_owned(),
            role: fields.get("role").to_owned(),
            team: fields.get("team").to_owned(),
            grants: grants(fields),
        }
    }
}

/// Those that are ticked below the role that is chosen.
pub(in crate::dashboard) fn grants(fields: &Fields) -> Vec<String> {
    let name = format!("grant.{}", fields.get("role"));
    fields.all(&name).map(str::to_owned).collect()
}

impl Asked {
    fn read(fields: &Fields, expires: ExpirationChoice) -> Self {
        Self { entered: Entered::read(fields), more: More::read(fields), expires }
    }
}

impl More {
    pub(in crate::dashboard) fn read(fields: &Fields) -> Self {
        let text = |name| fields.get(name).to_owned();
        Self { description: text("description"), subject: text("subject"), labels: text("labels") }
    }

    /// The labels, of lines `name=value`.
    ///
    /// # Errors
    /// What is wrong.
    pub(in crate::dashboard) fn labels(&self) -> Result<BTreeMap<String, String>, String> {
        let mut labels = BTreeMap::new();
        for line in self.labels.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let label = line.split_once('=').ok_or("write one label a line, as name=value")?;
            let (name, value) = (label.0.trim().to_owned(), label.1.trim().to_owned());
            if labels.insert(name, value).is_some() {
                return Err("a name stands there twice".to_owned());
            }
        }
        Ok(labels)
    }
}

/// The form.
pub(in crate::dashboard) async fn show(State(app): State<App>, visitor: Visitor) -> Response {
    if let Err(refusal) = visitor.powers.require("api_keys.create") {
        return Problem::from(refusal).page(&visitor);
    }
    let (none, errors) = (Fields::default(), Errors::default());
    let asked = Asked::read(&none, ExpirationChoice::first(&Limit::of(&visitor, app.clock.now())));
    form(&app, &visitor, asked, errors)
}

/// Creates the key.
pub(in crate::dashboard) async fn create(
    State(app): State<App>,
    Posted(visitor, fields): Posted,
) -> Response {
    if let Err(refusal) = visitor.powers.require("api_keys.create") {
        return Problem::from(refusal).page(&visitor);
    }
    let asked = Asked::read(&fields, ExpirationChoice::read(&fields, None));
    let mut errors = Errors::default();
    // Another service has other roles: the form is shown again, with those.
    if fields.has("choose") {
        return form(&app, &visitor, asked, errors);
    }
    let expiration = asked.expires.expiration(&Limit::of(&visitor, app.clock.now()));
    let expiration = expiration.inspect_err(|error| errors.add("expiration", error));
    let labels = asked.more.labels().inspect_err(|error| errors.add("labels", error));
    let (Ok(expiration), Ok(labels)) = (expiration, labels) else {
        return form(&app, &visitor, asked, errors);
    };
    let name = fields.get("form");
    if !session::is_random(name) {
        return Problem::no_form().page(&visitor);
    }
    match visitor.send(name) {
        Sent::First => {}
        Sent::Doing => {
            return Problem::new(
                StatusCode::CONFLICT,
                "The form was sent twice",
                "The key is being created, or was. Look for it in the list; if you do not have its text, \
                 rotate it.",
            )
            .page(&visitor);
        }
        Sent::Done(id) => {
            let text = format!(
                "The form was sent before, and key {id} was created then; no second one was. Its text was \
                 shown then and cannot be shown again. If you have not kept it, rotate the key."
            );
            return Problem::new(StatusCode::CONFLICT, "This key exists already", text)
                .page(&visitor);
        }
    }
    let Asked { entered, more, .. } = &asked;
    let policy = app.keyring.policy();
    let role = policy.service(service_or_default(&entered.service));
    let role = role.and_then(|service| service.role(&entered.role));
    // Else they were ticked for a role that was chosen before.
    let takes_grants = role.is_some_and(|role| !role.grantable().is_empty());
    let new = NewKey {
        name: entered.name.clone(),
        service: entered.service.clone(),
        role: entered.role.clone(),
        expires: expiration.unwrap_or_default(),
        inactive: false,
        team: entered.team.clone(),
        grants: if takes_grants { entered.grants.clone() } else { Vec::new() },
        subject: more.subject.clone(),
        description: more.description.clone(),
        labels,
    };
    match visitor.create(name, new).await {
        Ok((key, token)) => {
            let frame = visitor.frame(Section::Keys);
            secret::show(&app, frame, &key, &token, "created", String::new())
        }
        Err(error) => match Errors::of(&error) {
            Some(errors) => form(&app, &visitor, asked, errors),
            // What was typed is not lost.
            None => {
                let problem = Problem::from(error);
                errors.add("", &problem.text);
                (problem.status, form(&app, &visitor, asked, errors)).into_response()
            }
        },
    }
}

fn form(app: &App, visitor: &Visitor, asked: Asked, errors: Errors) -> Response {
    let Asked { mut entered, more, expires } = asked;
    let policy = app.keyring.policy();
    let services = services(visitor, &policy);
    if !services.iter().any(|(name, _)| *name == entered.service) {
        let first = services.iter().find(|(name, _)| name == DEFAULT_SERVICE).or(services.first());
        entered.service = first.map(|(name, _)| name.clone()).unwrap_or_default();
    }
    let roles = policy.service(&entered.service);
    let roles = roles.map(|service| roles::of(service, &visitor.powers)).unwrap_or_default();
    // The smallest is offered first.
    if !roles.iter().any(|role| role.name == entered.role) {
        let first = roles.iter().find(|role| role.can_be_given);
        entered.role = first.map(|role| role.name.clone()).unwrap_or_default();
    }
    if entered.team.is_empty() {
        visitor.powers.team().unwrap_or(DEFAULT_TEAM).clone_into(&mut entered.team);
    }
    let form = match session::random() {
        Ok(form) => form,
        Err(error) => return Problem::unavailable(&error).page(visitor),
    };
    let is_wrong = !errors.is_empty();
    let answer = page(&NewPage {
        frame: visitor.frame(Section::Keys),
        form,
        errors,
        services,
        roles,
        entered,
        more,
        expires,
        limit: Limit::of(visitor, app.clock.now()),
        today: crate::dashboard::time::date(app.clock.now()),
        any_team: visitor.is_operator(),
    });
    if is_wrong { (StatusCode::UNPROCESSABLE_ENTITY, answer).into_response() } else { answer }
}

/// The services that the visitor may create keys for: name and title.
fn services(visitor: &Visitor, policy: &Policy) -> Vec<(String, String)> {
    let own = visitor.powers.service();
    let services = policy.services().filter(|service| own.is_none_or(|own| own == service.name()));
    services.map(|service| (service.name().to_owned(), service.title().to_owned())).collect()
}
