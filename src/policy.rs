//! What each role may do in each service, and what each operation of its HTTP API needs: the
//! built-in policy of AI CMS, and what a file adds.
//!
//! Pure and total: a file is read and checked once, when it is loaded; from then on every question
//! has an answer, without I/O or failure. Absence denies.
//! The authorizer, the keyring and the gateway ask it; none decides anything without it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

mod action;
mod compile;
mod condition;
mod current;
mod digest;
mod draft;
mod error;
mod file;
mod path;
mod right_change;
mod rights;
mod route;
mod router;
mod service;
#[cfg(test)]
mod tests;

pub use self::{
    action::{Action, ActionId, ActionSet},
    condition::{Attributes, Condition, ConditionSet},
    current::CurrentPolicy,
    error::{PolicyError, Problem},
    path::{MAX_PATH, PathFault, path_fault},
    right_change::RightChange,
    rights::{Right, Rights},
    route::{Body, FieldValue, Route, WhenConditional},
    service::{Role, Service},
};
use self::{
    compile::{compile, compile_routes},
    digest::digest,
    draft::Draft,
    file::{Document, Source},
    router::Router,
};

use crate::record::KeyRecord;

/// The service that is meant where none is named.
pub const DEFAULT_SERVICE: &str = "ai-cms";

/// The largest policy file that is read, in bytes: hundreds of times the built-in policy.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

const BUILT_IN: Source<'static> =
    Source { name: "built-in policy", text: include_str!("policy/ai_cms.toml") };

/// The policy in force.
#[derive(Debug)]
pub struct Policy {
    services: BTreeMap<Box<str>, Arc<Service>>,
    router: Router,
    digest: [u8; 32],
}

/// `name`, or the service that is meant when it is empty.
pub fn service_or_default(name: &str) -> &str {
    if name.is_empty() { DEFAULT_SERVICE } else { name }
}

impl Policy {
    /// The policy of AI CMS that every sidecar starts with.
    ///
    /// # Errors
    /// [`PolicyError::Invalid`] if the text built in is wrong, which the tests rule out.
    pub fn built_in() -> Result<Self, PolicyError> {
        let document = BUILT_IN.parse()?;
        Self::compile(&[(BUILT_IN, document)])
    }

    /// The policy that the file at `path` makes: added to the built-in one or, where the file says
    /// `built_in = false`, instead of it.
    ///
    /// # Errors
    /// The file cannot be read, is longer than [`MAX_FILE_BYTES`] or is not UTF-8; or
    /// [`PolicyError::Invalid`] with every mistake found in it.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let text = file::read(path)?;
        Self::overlay(&path.display().to_string(), &text)
    }

    /// As [`Policy::load`], of a file that has been read. `file_name` stands in error messages.
    ///
    /// # Errors
    /// [`PolicyError::Invalid`] with every mistake found in the text.
    pub fn overlay(file_name: &str, text: &str) -> Result<Self, PolicyError> {
        let source = Source { name: file_name, text };
        let document = source.parse()?;
        if document.keeps_built_in() {
            Self::compile(&[(BUILT_IN, BUILT_IN.parse()?), (source, document)])
        } else {
            Self::compile(&[(source, document)])
        }
    }

    fn compile(layers: &[(Source<'_>, Document)]) -> Result<Self, PolicyError> {
        let mut problems = Vec::new();
        let draft = Draft::merge(layers, &mut problems);
        let services = compile(&draft, &mut problems);
        let (apis, router) = compile_routes(&draft, &services, &mut problems);
        if !problems.is_empty() {
            problems.sort_by_key(Problem::line);
            return Err(PolicyError::Invalid(problems));
        }
        let digest = digest(&services, &apis);
        Ok(Self { services, router, digest })
    }

    /// The service of that name; `None` if the policy has none.
    pub fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.get(name)
    }

    /// Every service, sorted by name.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// The operation that an HTTP request asks for; `None` if there is no such operation. `host`
    /// may have a port and `target`, the path as it came, a query.
    ///
    /// # Errors
    /// [`PathFault`] for a path that could be read in two ways: it is no operation of anything.
    pub fn route(
        &self,
        host: &str,
        method: &str,
        target: &str,
    ) -> Result<Option<&Arc<Route>>, PathFault> {
        self.router.find(host, method, target)
    }

    /// What `key` may do: its role's rights and its grants. `None` if the policy does not have its
    /// service or role: then it may do nothing.
    pub fn rights(&self, key: &KeyRecord) -> Option<Rights> {
        self.service(&key.service)?.rights(&key.role, &key.grants)
    }

    /// A BLAKE3 digest of what is in force: equal where two sidecars decide and describe alike.
    ///
    /// It is taken over the compiled policy, so comments, layout, the order of services, and a
    /// pattern in place of the actions it covers, make no difference. Every change of an action, a
    /// role, a right, a text that is shown, or their order, does.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}
