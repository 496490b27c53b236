//! What the fields of a key may be.
//!
//! INVARIANT: a record that passes has a role and grants that the policy knows,
//! and no text that could garble a log or a terminal. All violations are told at
//! once.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeSet};

use super::{ImportedKey, Patch};
use crate::{
    change::{FieldViolation, Refusal},
    clock::Timestamp,
    expiration::Expiration,
    policy::{ActionSet, Policy, Service},
    printable::is_unprintable,
    record::KeyRecord,
    token::{holds_secret, redacted},
};

const MAX_NAME: usize = 128;
const MAX_TEAM: usize = 63;
const MAX_SUBJECT: usize = 256;
const MAX_DESCRIPTION: usize = 1024;
const SECRET: &str = "must not hold the text of a key: it is shown and logged";
/// So many violations are told.
const MAX_VIOLATIONS: usize = 16;
const MAX_HINT: usize = 32;
const MAX_LABELS: usize = 64;
const MAX_LABEL_NAME: usize = 63;
const MAX_LABEL_VALUE: usize = 256;
/// 9999-12-31T23:59:59.999Z, the last instant of a protobuf Timestamp.
const LAST_INSTANT: Timestamp = Timestamp(253_402_300_799_999);

/// Puts the fields of `patch` into `key`.
pub(super) fn apply(key: &mut KeyRecord, patch: &Patch, now: Timestamp) -> Result<(), Refusal> {
    let set = |field: &mut String, value: &Option<String>| {
        if let Some(value) = value {
            field.clone_from(value);
        }
    };
    set(&mut key.name, &patch.name);
    set(&mut key.role, &patch.role);
    set(&mut key.description, &patch.description);
    set(&mut key.subject, &patch.subject);
    if key.subject.is_empty() {
        key.subject = key.id.to_string();
    }
    if let Some(grants) = &patch.grants {
        key.grants = sorted(grants);
    }
    if let Some(expires) = patch.expires {
        key.expires = resolved(expires, now)?;
    }
    if let Some(active) = patch.active {
        key.active = active;
    }
    if let Some(labels) = &patch.labels {
        key.labels.clone_from(labels);
    }
    Ok(())
}

/// The instant that `expires` stands for.
pub(super) fn resolved(expires: Expiration, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    expires.resolve(now).map_err(|error| Refusal::field("expiration", error.to_string()))
}

/// Grants in the order in which they are kept.
pub(super) fn sorted(grants: &[String]) -> Vec<String> {
    let mut grants = grants.to_vec();
    grants.sort();
    grants
}

/// Refuses a record whose fields are not valid. What is as it was `before` may
/// stay, though a policy or a clock has moved on.
pub(super) fn validate(
    before: Option<&KeyRecord>,
    key: &KeyRecord,
    policy: &Policy,
    now: Timestamp,
) -> Result<(), Refusal> {
    let mut found = Violations(Vec::new());
    found.text("name", &key.name, MAX_NAME, "");
    if key.name.is_empty() {
        found.add("name", "must not be empty");
    } else if key.name.trim() != key.name {
        found.add("name", "must not begin or end with a space");
    }
    if holds_secret(&key.team) {
        found.add("team", SECRET);
    } else if !is_team(&key.team) {
        found.add(
            "team",
            "must be 1 to 63 letters, digits, `.`, `_` or `-`, the first a letter or digit",
        );
    }
    found.text("subject", &key.subject, MAX_SUBJECT, "");
    found.text("description", &key.description, MAX_DESCRIPTION, "\n\t");
    found.labels(key);
    if before.is_none_or(|before| before.expires != key.expires) {
        found.expiration(key.expires, now);
    }
    if before.is_none_or(|before| (&before.role, &before.grants) != (&key.role, &key.grants)) {
        found.role_and_grants(key, policy);
    }
    if found.0.is_empty() { Ok(()) } else { Err(Refusal::Invalid(found.0)) }
}

/// Refuses what only an import says, if it is not valid.
pub(super) fn validate_import(key: &ImportedKey, now: Timestamp) -> Result<(), Refusal> {
    let mut found = Violations(Vec::new());
    found.text("hint", &key.hint, MAX_HINT, "");
    for (field, at) in [("create_time", key.created), ("last_used_time", key.last_used)] {
        if at.is_some_and(|at| at > now || at < Timestamp(0)) {
            found.add(field, "must be after 1970 and not in the future");
        }
    }
    if found.0.is_empty() { Ok(()) } else { Err(Refusal::Invalid(found.0)) }
}

struct Violations(Vec<FieldViolation>);

impl Violations {
    fn add(&mut self, field: &'static str, problem: impl Into<String>) {
        match self.0.len().cmp(&MAX_VIOLATIONS) {
            Ordering::Less => self.0.push(FieldViolation { field, problem: problem.into() }),
            Ordering::Equal => {
                self.0.push(FieldViolation { field, problem: "and more is wrong".to_owned() });
            }
            Ordering::Greater => {}
        }
    }

    /// At most `max` characters, none of them a control character but `allowed`.
    fn text(&mut self, field: &'static str, text: &str, max: usize, allowed: &str) {
        let len = text.chars().count();
        if len > max {
            return self.add(field, format!("has {len} characters; at most {max}"));
        }
        if text.chars().any(|c| is_unprintable(c) && !allowed.contains(c)) {
            self.add(field, "must not hold control characters");
        }
        if holds_secret(text) {
            self.add(field, SECRET);
        }
    }

    fn labels(&mut self, key: &KeyRecord) {
        if key.labels.len() > MAX_LABELS {
            self.add("labels", format!("has {} labels; at most {MAX_LABELS}", key.labels.len()));
            return;
        }
        for (name, value) in &key.labels {
            if holds_secret(name) {
                self.add("labels", SECRET);
                continue;
            }
            let fits = (1..=MAX_LABEL_NAME).contains(&name.len());
            if !fits || !name.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c)) {
                let shown: String =
                    name.chars().filter(|c| !is_unprintable(*c)).take(MAX_LABEL_NAME).collect();
                self.add(
                    "labels",
                    format!("`{shown}` must be 1 to {MAX_LABEL_NAME} letters, digits, `.`, `_`, `/` or `-`"),
                );
            }
            self.text("labels", value, MAX_LABEL_VALUE, "");
        }
    }

    fn expiration(&mut self, expires: Option<Timestamp>, now: Timestamp) {
        match expires {
            Some(expires) if expires <= now => {
                self.add(
                    "expire_time",
                    "must be in the future; to end a key now, revoke it or set it INACTIVE",
                );
            }
            Some(expires) if expires > LAST_INSTANT => {
                self.add(
                    "expire_time",
                    "must be before the year 10000; leave it out for a lifetime key",
                );
            }
            _ => {}
        }
    }

    fn role_and_grants(&mut self, key: &KeyRecord, policy: &Policy) {
        let Some(service) = policy.service(&key.service) else {
            let known = list(policy.services().map(|service| service.name()));
            return self.add(
                "service",
                format!("there is no service `{}`; there is {known}", shown(&key.service)),
            );
        };
        let Some(role) = service.role(&key.role) else {
            let known = list(service.roles().iter().map(|role| role.name()));
            let problem = if key.role.is_empty() {
                format!("must be one of {known}")
            } else {
                format!(
                    "service `{}` has no role `{}`; there is {known}",
                    service.name(),
                    shown(&key.role)
                )
            };
            return self.add("role", problem);
        };
        // More than there are actions repeat one or name none.
        if key.grants.len() > ActionSet::CAPACITY {
            let problem =
                format!("has {} grants; at most {}", key.grants.len(), ActionSet::CAPACITY);
            return self.add("grants", problem);
        }
        let mut seen = BTreeSet::new();
        for grant in &key.grants {
            if !seen.insert(grant) {
                self.add("grants", format!("`{}` stands there twice", shown(grant)));
            } else if service.action(grant).is_none() {
                self.add(
                    "grants",
                    format!("service `{}` has no action `{}`", service.name(), shown(grant)),
                );
            } else if !service.action(grant).is_some_and(|action| role.grantable().contains(action))
            {
                let problem = match grantable(service, &key.role) {
                    None => format!("role `{}` takes no grants", role.name()),
                    Some(known) => {
                        format!("role `{}` cannot be granted `{grant}`, only {known}", role.name())
                    }
                };
                self.add("grants", problem);
            }
        }
    }
}

fn grantable(service: &Service, role: &str) -> Option<String> {
    let role = service.role(role).filter(|role| !role.grantable().is_empty())?;
    Some(list(service.names(role.grantable())))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What a caller sent, fit for an error message.
pub(super) fn shown(text: &str) -> String {
    shown_in(text, 64)
}

/// The same, in at most `max` characters.
pub(super) fn shown_in(text: &str, max: usize) -> String {
    // Before it is cut: half a secret is not recognised any more.
    let text = redacted(text).map_or(Cow::Borrowed(text), Cow::Owned);
    text.chars().take(max).map(|c| if is_unprintable(c) { '\u{fffd}' } else { c }).collect()
}

fn is_team(team: &str) -> bool {
    team.len() <= MAX_TEAM
        && team.starts_with(|c: char| c.is_ascii_alphanumeric())
        && team.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}
