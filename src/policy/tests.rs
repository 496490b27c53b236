//! The policy against the guide's table, the file format against its rules, rights against their
//! properties.

use super::*;

mod faults;
mod golden;
mod overlay;
mod rights;
mod routes;

/// The built-in policy with `text` on it, as if from `policy.toml`.
fn overlay(text: &str) -> Policy {
    Policy::overlay("policy.toml", text).unwrap()
}

/// What is said about `text` as a policy file.
fn complaint(text: &str) -> String {
    Policy::overlay("policy.toml", text).unwrap_err().to_string()
}

/// The names of the actions that a role may always do.
fn allowed<'a>(service: &'a Service, role: &str) -> Vec<&'a str> {
    let rights = service.role(role).unwrap().rights();
    service.names(rights.always()).collect()
}
