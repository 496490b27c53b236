//! The digest of a compiled policy.
//!
//! INVARIANT: every list and text goes in behind its length, so that no two policies are the same
//! bytes. Whatever a service or role gains has to go in here too.

use std::{collections::BTreeMap, sync::Arc};

use super::{ActionSet, Role, Route, Service, WhenConditional, compile::Api};

/// Says what is hashed, and how: a change of the form below changes this text.
const CONTEXT: &str = "octavia-authz policy digest, form 2";

struct Digest(blake3::Hasher);

/// `apis` has the API of each service, in their order.
pub(super) fn digest(services: &BTreeMap<Box<str>, Arc<Service>>, apis: &[Api]) -> [u8; 32] {
    let mut digest = Digest(blake3::Hasher::new_derive_key(CONTEXT));
    digest.length(services.len());
    for (service, api) in services.values().zip(apis) {
        digest.service(service);
        digest.api(api);
    }
    digest.0.finalize().into()
}

impl Digest {
    fn service(&mut self, service: &Service) {
        self.text(service.name());
        self.text(service.title());
        self.length(service.actions().len());
        for action in service.actions() {
            self.text(action.name());
            self.text(action.meaning());
        }
        self.length(service.roles().len());
        for role in service.roles() {
            self.role(role);
        }
    }

    fn role(&mut self, role: &Role) {
        self.text(role.name());
        self.text(role.title());
        self.text(role.intended_use());
        self.text(role.summary());
        for set in role.rights().sets() {
            self.set(set);
        }
        self.set(role.grantable());
    }

    fn api(&mut self, api: &Api) {
        for list in [&api.base_paths, &api.hosts] {
            self.length(list.len());
            list.iter().for_each(|text| self.text(text));
        }
        self.length(api.routes.len());
        api.routes.iter().for_each(|route| self.route(route));
    }

    fn route(&mut self, route: &Route) {
        self.text(&route.method);
        self.text(&route.path);
        self.text(&route.action);
        self.length(match route.when_conditional {
            WhenConditional::Deny => 0,
            WhenConditional::Forward => 1,
        });
        let Some(body) = &route.body else { return self.length(0) };
        self.length(1 + body.fields.len());
        for (name, rule) in &body.fields {
            self.text(name);
            self.optional(rule.when_true.as_deref());
            self.optional(rule.when_false.as_deref());
        }
        self.optional(body.other.as_deref());
    }

    /// No action has an empty name.
    fn optional(&mut self, text: Option<&str>) {
        self.text(text.unwrap_or_default());
    }

    fn length(&mut self, length: usize) {
        self.0.update(&(length as u64).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.update(text.as_bytes());
    }

    fn set(&mut self, set: &ActionSet) {
        for word in set.words() {
            self.0.update(&word.to_le_bytes());
        }
    }
}
