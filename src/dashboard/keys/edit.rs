//! Changes of a key's fields. One that changes what the key may do is shown first: what it gains, and
//! what it loses. So is one that may sign its own visitor out.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};

use super::{
    KeyId, KeyView,
    expires::{ExpirationChoice, Limit},
    key::{self, EditForm},
    new::{Errors, More, grants},
};
use crate::{
    change::Refusal,
    dashboard::{
        App, Frame, Posted, Problem, Section, Visitor,
        fields::Fields,
        frame::Notice,
        problem::{in_words, page},
        roles::{self, ActionView},
        sign_in::RIGHT,
        time,
    },
    keyring::{KeyringError, Patch, Updated},
    policy::{Policy, Right, RightChange},
    record::KeyRecord,
    store::CommitError,
};

#[derive(Template)]
#[template(path = "keys/review.html", config = "src/dashboard/askama.toml")]
struct ReviewPage {
    frame: Frame,
    key: KeyView,
    /// Field, before, after.
    changes: Vec<(&'static str, String, String)>,
    gained: Vec<ActionView>,
    lost: Vec<ActionView>,
    /// Allowed before and after, on another condition: the action, and both.
    moved: Vec<(ActionView, String, String)>,
    /// What it means for the visitor, whose own key it is; empty: nothing.
    own: String,
    form: EditForm,
    /// The end date that the form offered.
    offered: String,
}

/// Asks before somebody's own key is switched off.
#[derive(Template)]
#[template(path = "keys/disable.html", config = "src/dashboard/askama.toml")]
struct DisablePage {
    frame: Frame,
    key: KeyView,
    etag: String,
}

impl EditForm {
    fn read(fields: &Fields) -> Self {
        Self {
            etag: fields.get("etag").to_owned(),
            name: fields.get("name").to_owned(),
            role: fields.get("role").to_owned(),
            grants: grants(fields),
            expires: ExpirationChoice::read(fields, Some(fields.get("offered").to_owned())),
            more: More::read(fields),
            shows_all: fields.has("shows_all"),
        }
    }

    /// What it changes of `key`, and what is wrong with it.
    fn patch(&self, key: &KeyRecord, policy: &Policy, limit: &Limit) -> Result<Patch, Errors> {
        let mut errors = Errors::default();
        let expires = self.expires.expiration(limit);
        let expires = expires.inspect_err(|error| errors.add("expiration", error));
        // As the form showed it: what nobody touched stays, to the last space.
        let shown = Self::of(key);
        let other = |text: &String, shown: &String| (text != shown.trim()).then(|| text.clone());
        let labels = other(&self.more.labels, &shown.more.labels);
        let labels = labels.map(|_| self.more.labels()).transpose();
        let labels = labels.inspect_err(|error| errors.add("labels", error));
        let (Ok(expires), Ok(labels)) = (expires, labels) else { return Err(errors) };
        // The policy may not have the key's role any more: then none is ticked, and it stays.
        let role = if self.role.is_empty() { &key.role } else { &self.role };
        let service = policy.service(&key.service);
        let known = service.and_then(|service| service.role(role));
        // A role that takes none loses those of the role before.
        let takes = known.is_some_and(|role| !role.grantable().is_empty());
        let mut grants = if takes { self.grants.clone() } else { Vec::new() };
        grants.sort();
        Ok(Patch {
            name: other(&self.name, &shown.name),
            role: (*role != key.role).then(|| role.clone()),
            grants: (grants != key.grants && known.is_some()).then_some(grants),
            expires,
            active: None,
            subject: other(&self.more.subject, &shown.more.subject),
            description: other(&self.more.description, &shown.more.description),
            labels,
        })
    }
}

/// Saves what the form changes; shows first what that means where it changes rights.
pub(in crate::dashboard) async fn save(
    State(app): State<App>,
    KeyId(id): KeyId,
    Posted(visitor, fields): Posted,
) -> Response {
    let before = match app.keyring.get(&visitor.caller, &id) {
        Ok(key) => key,
        Err(error) => return Problem::from(error).page(&visitor),
    };
    let policy = app.keyring.policy();
    let form = EditForm::read(&fields);
    if fields.has("edit") {
        return key::with_form(&app, &visitor, &before, form, Errors::default()).await;
    }
    let patch = match form.patch(&before, &policy, &Limit::of(&visitor, app.clock.now())) {
        Ok(patch) => patch,
        Err(errors) => return key::with_form(&app, &visitor, &before, form, errors).await,
    };
    if form.etag.is_empty() {
        return Problem::no_form().page(&visitor);
    }
    let is_same = [patch.name.is_none(), patch.role.is_none(), patch.grants.is_none()]
        .into_iter()
        .chain([patch.expires.is_none(), patch.subject.is_none(), patch.description.is_none()])
        .chain([patch.labels.is_none()])
        .all(|is_none| is_none);
    let path = format!("/keys/{}", before.id);
    if is_same && form.etag == before.etag() {
        return visitor.go(&path, Notice::from("Nothing was changed: everything is as it was."));
    }
    let may_end = visitor.is(&before) && patch.expires.is_some();
    let shows = patch.role.is_some() || patch.grants.is_some() || may_end || form.shows_all;
    let asks = shows && !fields.has("reviewed");
    let etag = form.etag.clone();
    let updated = app.keyring.update(visitor.caller.clone(), &id, patch, etag, asks).await;
    match updated {
        Ok(updated) if asks => review(&app, &visitor, &updated, form),
        Ok(updated) => {
            let changed = changes(&policy, &updated.before, &updated.after);
            let fields: Vec<_> = changed.iter().map(|(field, ..)| field.to_lowercase()).collect();
            visitor.go(&path, Notice::from(format!("Saved: {}.", fields.join(", "))))
        }
        Err(error) => {
            if let Some(errors) = Errors::of(&error) {
                return key::with_form(&app, &visitor, &before, form, errors).await;
            }
            if let KeyringError::Commit(CommitError::Refused(refusal @ Refusal::StaleEtag { .. })) =
                &error
            {
                // What was typed stays; sent again it is based on the key as it is now.
                let mut errors = Errors::default();
                errors.add("", &in_words(refusal));
                // Its other fields may have been changed meanwhile: all is shown before it is saved.
                let form = EditForm { etag: before.etag(), shows_all: true, ..form };
                let answer = key::with_form(&app, &visitor, &before, form, errors).await;
                return (StatusCode::CONFLICT, answer).into_response();
            }
            // What was typed is not lost.
            let problem = Problem::from(error);
            let mut errors = Errors::default();
            errors.add("", &problem.text);
            let answer = key::with_form(&app, &visitor, &before, form, errors).await;
            (problem.status, answer).into_response()
        }
    }
}

/// Switches a key on or off.
pub(in crate::dashboard) async fn switch(
    State(app): State<App>,
    KeyId(id): KeyId,
    Posted(visitor, fields): Posted,
) -> Response {
    let active = match fields.get("status") {
        "active" => true,
        "inactive" => false,
        _ => return Problem::no_form().page(&visitor),
    };
    let patch = Patch { active: Some(active), ..Patch::default() };
    let etag = fields.get("etag").to_owned();
    if etag.is_empty() {
        return Problem::no_form().page(&visitor);
    }
    let is_own = visitor.own_key().is_some_and(|own| own.as_str() == id);
    // Nobody signs themselves out with a slip of the mouse.
    let asks = !active && is_own && !fields.has("confirmed");
    match app.keyring.update(visitor.caller.clone(), &id, patch, etag.clone(), asks).await {
        Ok(Updated { before, .. }) if asks => {
            let key = KeyView::new(&before, &app.keyring, &app.keyring.policy(), app.clock.now());
            page(&DisablePage { frame: visitor.frame(Section::Keys), key, etag })
        }
        Ok(Updated { after, .. }) => {
            let now = if active { "active again" } else { "inactive: whoever uses it is refused" };
            let notice = Notice::from(format!("{} is {now}.", after.name));
            visitor.go(&format!("/keys/{}", after.id), notice)
        }
        Err(error) => Problem::from(error).about(&id).page(&visitor),
    }
}

fn review(app: &App, visitor: &Visitor, updated: &Updated, form: EditForm) -> Response {
    let (policy, now) = (app.keyring.policy(), app.clock.now());
    let Updated { before, after } = updated;
    let (mut gained, mut lost, mut moved) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(service) = policy.service(&after.service) {
        let words = |right| match right {
            Right::Always => "always".to_owned(),
            Right::Never => "never".to_owned(),
            Right::When(conditions) => roles::in_words(conditions),
        };
        let condition = |right| if right == Right::Always { String::new() } else { words(right) };
        for change in RightChange::between(service, policy.rights(before), policy.rights(after)) {
            let (was, is) = (change.before, change.after);
            match (was, is) {
                (Right::Never, _) => {
                    gained.push(ActionView::new(service, change.action, &condition(is)));
                }
                (_, Right::Never) => {
                    lost.push(ActionView::new(service, change.action, &condition(was)));
                }
                _ => {
                    moved.push((ActionView::new(service, change.action, ""), words(was), words(is)))
                }
            }
        }
    }
    let ends = |key: &KeyRecord| key.expires.map_or(i64::MAX, |at| at.0);
    let own = match after.expires {
        _ if !visitor.is(before) => String::new(),
        _ if lost.iter().any(|action| action.name == RIGHT) => {
            "You are signed in with this key, and it may not see API keys any more: saving this signs \
             you out."
                .to_owned()
        }
        Some(at) if ends(after) < ends(before) => {
            format!("You are signed in with this key, and it ends earlier: {}.", time::end(at))
        }
        _ => String::new(),
    };
    page(&ReviewPage {
        frame: visitor.frame(Section::Keys),
        key: KeyView::new(before, &app.keyring, &policy, now),
        changes: changes(&policy, before, after),
        gained,
        lost,
        moved,
        own,
        offered: form.expires.keeps.clone().unwrap_or_default(),
        form,
    })
}

/// The fields that differ: name, before, after.
pub(in crate::dashboard) fn changes(
    policy: &Policy,
    before: &KeyRecord,
    after: &KeyRecord,
) -> Vec<(&'static str, String, String)> {
    let role = |key: &KeyRecord| roles::titles(policy, &key.service, &key.role).1;
    let expires = |key: &KeyRecord| key.expires.map_or_else(|| "Lifetime".to_owned(), time::end);
    let status = |key: &KeyRecord| if key.active { "Active" } else { "Inactive" }.to_owned();
    let labels = |key: &KeyRecord| {
        let labels = key.labels.iter().map(|(name, value)| format!("{name}={value}"));
        labels.collect::<Vec<_>>().join(", ")
    };
    let all = [
        ("Name", before.name.clone(), after.name.clone()),
        ("Role", role(before), role(after)),
        ("Grants", before.grants.join(", "), after.grants.join(", ")),
        ("Expiration", expires(before), expires(after)),
        ("Status", status(before), status(after)),
        ("Description", before.description.clone(), after.description.clone()),
        ("Subject", before.subject.clone(), after.subject.clone()),
        ("Labels", labels(before), labels(after)),
    ];
    all.into_iter().filter(|(_, before, after)| before != after).collect()
}
