//! The digest of a compiled policy.
//!
//! INVARIANT: every list and text goes in behind its length, so that no two policies are the same
//! bytes. Whatever a service or role gains has to go in here too.

use std::{collections::BTreeMap, sync::Arc};

use super::{ActionSet, Role, Service};

/// Says what is hashed, and how: a change of the form below changes this text.
const CONTEXT: &str = "octavia-authz policy digest, form 1";

struct Digest(blake3::Hasher);

pub(super) fn digest(services: &BTreeMap<Box<str>, Arc<Service>>) -> [u8; 32] {
    let mut digest = Digest(blake3::Hasher::new_derive_key(CONTEXT));
    digest.length(services.len());
    for service in services.values() {
        digest.service(service);
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
