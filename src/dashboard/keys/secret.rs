//! The page that shows a key's text, once.

use askama::Template;
use axum::response::Response;

use super::KeyView;
use crate::{
    dashboard::{App, Frame, problem::page, roles},
    policy::{Condition, DEFAULT_SERVICE, Policy, Right},
    record::KeyRecord,
    token::Token,
};

#[derive(Template)]
#[template(path = "keys/secret.html", config = "src/dashboard/askama.toml")]
struct SecretPage<'a> {
    frame: Frame,
    key: KeyView,
    text: &'a str,
    /// `created` or `rotated`.
    done: &'static str,
    /// What else there is to know, in sentences.
    about: String,
    /// A command that asks for something the key may do; empty: it may do nothing.
    check: String,
}

/// The answer to the form that made `token`: it stands on no other page, and not in an address.
pub(super) fn show(
    app: &App,
    frame: Frame,
    key: &KeyRecord,
    token: &Token,
    done: &'static str,
    about: String,
) -> Response {
    let policy = app.keyring.policy();
    let (check, text) = (check(&policy, key).unwrap_or_default(), token.reveal());
    let key = KeyView::new(key, &app.keyring, &policy, app.clock.now());
    page(&SecretPage { frame, key, text, done, about, check })
}

/// A command that is answered that `key` may: on no condition, if it may anything so.
fn check(policy: &Policy, key: &KeyRecord) -> Option<String> {
    let (service, rights) = (policy.service(&key.service)?, policy.rights(key)?);
    let ways = roles::all(service).filter_map(|action| {
        let condition = match rights.right(action) {
            Right::Never => return None,
            Right::Always => None,
            Right::When(conditions) => Some(conditions.iter().min_by_key(rank)?),
        };
        Some((service.action_name(action), condition))
    });
    let (action, condition) =
        ways.min_by_key(|(_, condition)| condition.as_ref().map_or(0, rank))?;
    let mut command = format!("octavia-authz check {action}");
    for (attribute, value) in condition.iter().flat_map(|condition| condition.needs(&key.subject)) {
        let option = attribute.strip_prefix("resource.").unwrap_or(attribute);
        command.push_str(&format!(" --{option} {}", quoted(value)));
    }
    if key.service != DEFAULT_SERVICE {
        command.push_str(&format!(" --service {}", key.service));
    }
    Some(command)
}

/// The simplest to meet first.
fn rank(condition: &Condition) -> u8 {
    match condition {
        Condition::Published => 1,
        Condition::Own => 2,
        Condition::OwnDraft => 3,
    }
}

/// A text as a shell takes it.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
    match text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
