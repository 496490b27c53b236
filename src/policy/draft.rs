//! A policy put together from its files, the built-in one beneath, before patterns are expanded.
//!
//! Names are checked here, because here each still has its place in its file. `compile` makes the
//! policy of what comes out: it sees the same, whichever file a part is from.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use toml::Spanned;

use super::{
    Problem,
    error::{Fault, Noun, Quoted},
    file::{Document, RoleTable, RouteTable, ServiceTable, Source},
};

/// All services, by name.
#[derive(Default)]
pub(super) struct Draft<'a>(pub(super) BTreeMap<&'a str, ServiceDraft<'a>>);

/// A service, its actions by full name.
pub(super) struct ServiceDraft<'a> {
    pub(super) place: Place<'a>,
    pub(super) title: Option<&'a str>,
    pub(super) actions: IndexMap<String, ActionDraft<'a>>,
    pub(super) roles: IndexMap<&'a str, RoleDraft<'a>>,
    pub(super) base_paths: Option<Listed<'a>>,
    pub(super) hosts: Option<Listed<'a>>,
    pub(super) routes: IndexMap<&'a str, RouteDraft<'a>>,
}

/// A list of texts, each with its place in its file.
pub(super) type Listed<'a> = Vec<(Place<'a>, &'a str)>;

/// What an action means, and where that is said.
pub(super) struct ActionDraft<'a> {
    pub(super) place: Place<'a>,
    pub(super) meaning: &'a str,
}

/// A role as its file has it.
pub(super) struct RoleDraft<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) table: &'a RoleTable,
}

/// A route as its file has it.
pub(super) struct RouteDraft<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) place: Place<'a>,
    pub(super) table: &'a RouteTable,
}

/// A place in a file.
#[derive(Copy, Clone)]
pub(super) struct Place<'a> {
    source: &'a Source<'a>,
    offset: usize,
}

impl<'a> Place<'a> {
    pub(super) fn new<T>(source: &'a Source<'a>, part: &Spanned<T>) -> Self {
        Self { source, offset: part.span().start }
    }

    /// A mistake at this place.
    pub(super) fn problem(self, fault: Fault) -> Problem {
        self.source.problem(self.offset, fault)
    }
}

impl<'a> Draft<'a> {
    /// Puts each layer on those before it. Mistakes are added to `problems`.
    pub(super) fn merge(layers: &'a [(Source<'a>, Document)], problems: &mut Vec<Problem>) -> Self {
        let mut draft = Self::default();
        for (source, document) in layers {
            for (name, table) in &document.services {
                check_name(Noun::Service, Place::new(source, name), name.get_ref(), problems);
                if table.replace {
                    draft.0.remove(name.get_ref().as_str());
                }
                draft
                    .0
                    .entry(name.get_ref())
                    .or_insert_with(|| ServiceDraft {
                        place: Place::new(source, name),
                        title: None,
                        actions: IndexMap::new(),
                        roles: IndexMap::new(),
                        base_paths: None,
                        hosts: None,
                        routes: IndexMap::new(),
                    })
                    .merge(source, table, problems);
            }
            if let Some(built_in) = &document.built_in
                && draft.0.is_empty()
            {
                problems.push(Place::new(source, built_in).problem(Fault::NoServices));
            }
        }
        draft
    }
}

impl<'a> ServiceDraft<'a> {
    fn merge(
        &mut self,
        source: &'a Source<'a>,
        table: &'a ServiceTable,
        problems: &mut Vec<Problem>,
    ) {
        if let Some(title) = &table.title {
            self.title = Some(title);
        }
        for (resource, verbs) in &table.actions {
            let place = Place::new(source, resource);
            check_name(Noun::Resource, place, resource.get_ref(), problems);
            for (verb, meaning) in verbs {
                let place = Place::new(source, verb);
                check_name(Noun::Verb, place, verb.get_ref(), problems);
                self.actions.insert(
                    format!("{}.{}", resource.get_ref(), verb.get_ref()),
                    ActionDraft { place, meaning },
                );
            }
        }
        for (name, table) in &table.roles {
            check_name(Noun::Role, Place::new(source, name), name.get_ref(), problems);
            self.roles.insert(name.get_ref(), RoleDraft { source, table });
        }
        let listed = |list: &'a Option<Vec<Spanned<String>>>| {
            let list = list.as_ref()?.iter();
            Some(list.map(|text| (Place::new(source, text), text.get_ref().as_str())).collect())
        };
        self.base_paths = listed(&table.http.base_paths).or(self.base_paths.take());
        self.hosts = listed(&table.http.hosts).or(self.hosts.take());
        for (operation, entry) in &table.routes {
            let place = Place::new(source, operation);
            self.routes.insert(operation.get_ref(), RouteDraft { source, place, table: &entry.0 });
        }
    }
}

fn check_name(noun: Noun, place: Place<'_>, name: &str, problems: &mut Vec<Problem>) {
    let starts_well = name.starts_with(|first: char| first.is_ascii_lowercase());
    let goes_on_well = name.bytes().all(|byte| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || byte == b'_'
            || (byte == b'-' && noun.takes_hyphen())
    });
    if !(starts_well && goes_on_well && name.len() <= 63) {
        let name = Quoted::new(name);
        problems.push(place.problem(Fault::Name { noun, name }));
    }
}
