//! Makes the routes of a draft, and the router that finds them.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::closest;
use crate::policy::{
    Problem, Route, Service,
    draft::{Draft, Listed, Place, RouteDraft, ServiceDraft},
    error::{Fault, Quoted, Suggestion},
    file::FieldTable,
    route::{BodyRules, FieldRule, alike},
    router::{Router, Taken},
};

/// What a segment or a base path may have beside letters and digits: no byte that is ever decoded.
const PUNCTUATION: &[u8] = b"-._~!$&'()*+,=:@";

/// The most segments of a base path or of a route.
const MAX_SEGMENTS: usize = 32;

/// The HTTP API of a service.
#[derive(Debug)]
pub(in crate::policy) struct Api {
    /// Sorted; empty is the root.
    pub(in crate::policy) base_paths: Vec<Box<str>>,
    /// Sorted; none is every host that no service names.
    pub(in crate::policy) hosts: Vec<Box<str>>,
    /// Sorted by path and method.
    pub(in crate::policy) routes: Vec<Arc<Route>>,
}

/// The API of each service, and what finds their routes.
pub(in crate::policy) fn compile_routes(
    draft: &Draft<'_>,
    services: &BTreeMap<Box<str>, Arc<Service>>,
    problems: &mut Vec<Problem>,
) -> (Vec<Api>, Router) {
    let mut router = Router::default();
    let mut apis = Vec::new();
    for (service, draft) in services.values().zip(draft.0.values()) {
        apis.push(api(service, draft, &mut router, problems));
    }
    (apis, router)
}

fn api(
    service: &Service,
    draft: &ServiceDraft<'_>,
    router: &mut Router,
    problems: &mut Vec<Problem>,
) -> Api {
    let base_paths = texts(draft.base_paths.as_ref(), base_path, problems);
    let base_paths = base_paths.unwrap_or_else(|| vec!["".into()]);
    let hosts = texts(draft.hosts.as_ref(), host, problems).unwrap_or_default();
    let mut routes = Vec::new();
    for (&operation, draft) in &draft.routes {
        let Some(route) = RouteCompiler { service, operation, draft, problems }.route() else {
            continue;
        };
        for base in &base_paths {
            let mut insert = |host| {
                if let Err(Taken(by)) = router.insert(host, base, &route) {
                    let (route, other) = (Quoted::new(operation), Quoted::new(&by.to_string()));
                    let service = Quoted::new(by.service());
                    problems.push(draft.place.problem(Fault::RouteTaken { route, other, service }));
                }
            };
            if hosts.is_empty() {
                insert(None);
            }
            hosts.iter().for_each(|host| insert(Some(host)));
        }
        routes.push(route);
    }
    routes.sort_by(|a, b| (&a.path, &a.method).cmp(&(&b.path, &b.method)));
    Api { base_paths, hosts, routes }
}

/// Each text of a list once, as `read` has it.
fn texts(
    list: Option<&Listed<'_>>,
    read: fn(&str) -> Result<Box<str>, Fault>,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Box<str>>> {
    let mut texts = Vec::new();
    for (place, text) in list? {
        match read(text) {
            Ok(text) => texts.push(text),
            Err(fault) => problems.push(place.problem(fault)),
        }
    }
    texts.sort();
    texts.dedup();
    // An empty list says no more than none.
    Some(texts).filter(|texts| !texts.is_empty())
}

fn base_path(text: &str) -> Result<Box<str>, Fault> {
    let path = text.strip_suffix('/').unwrap_or(text);
    let well = path.is_empty()
        || path.split('/').count() <= MAX_SEGMENTS + 1
            && path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment));
    if well { Ok(path.into()) } else { Err(Fault::BasePath { path: Quoted::new(text) }) }
}

fn host(text: &str) -> Result<Box<str>, Fault> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        let byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && label.bytes().all(byte)
    };
    if name.split('.').all(label) {
        Ok(text.into())
    } else {
        Err(Fault::Host { host: Quoted::new(text) })
    }
}

/// Whether `segment` is a literal or a placeholder.
fn is_segment(segment: &str) -> bool {
    match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
        Some(name) => {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        }
        None => {
            let byte = |byte: u8| byte.is_ascii_alphanumeric() || PUNCTUATION.contains(&byte);
            !matches!(segment, "" | "." | "..") && segment.bytes().all(byte)
        }
    }
}

/// One route, and the actions that it can name.
struct RouteCompiler<'a, 'd> {
    service: &'a Service,
    operation: &'a str,
    draft: &'a RouteDraft<'d>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> RouteCompiler<'a, '_> {
    fn route(mut self) -> Option<Arc<Route>> {
        let table = self.draft.table;
        let name = self.name();
        let action = self.action(self.draft.place, &table.action);
        let body = (!table.body.is_empty()).then(|| self.body());
        let ((method, path), action, body) = (name?, action?, body);
        Some(Arc::new(Route {
            service: self.service.name().into(),
            method: method.into(),
            path: path.into(),
            action,
            when_conditional: table.when_conditional,
            body,
        }))
    }

    /// Method and path.
    fn name(&mut self) -> Option<(&'a str, &'a str)> {
        let operation = self.operation;
        let route = || Quoted::new(operation);
        let name = operation.split_once(' ').filter(|(method, path)| {
            let upper = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
            !method.is_empty() && method.bytes().all(upper) && path.starts_with('/')
        });
        let Some((method, path)) = name else {
            self.report(Fault::RouteName { route: route() });
            return None;
        };
        if path.split('/').count() > MAX_SEGMENTS + 1 {
            self.report(Fault::TooManySegments { max: MAX_SEGMENTS });
            return None;
        }
        let mut placeholders = HashSet::new();
        for segment in path.split('/').skip(1).filter(|_| path != "/") {
            if !is_segment(segment) {
                self.report(Fault::RouteSegment { segment: Quoted::new(segment), route: route() });
                return None;
            }
            if segment.starts_with('{') && !placeholders.insert(segment) {
                let placeholder = Quoted::new(segment);
                self.report(Fault::PlaceholderTwice { placeholder, route: route() });
                return None;
            }
        }
        Some((method, path))
    }

    fn body(&mut self) -> BodyRules {
        let mut rules = BodyRules::default();
        for (name, entry) in &self.draft.table.body {
            let place = Place::new(self.draft.source, name);
            let FieldTable { when_true, when_false } = &entry.0;
            let mut action = |action: &Option<String>| self.action(place, action.as_ref()?);
            let rule = FieldRule {
                when_true: action(when_true),
                when_false: action(when_false),
                alike: alike(name.get_ref()).into(),
            };
            if name.get_ref() != "*" {
                rules.fields.push((name.get_ref().as_str().into(), rule));
            } else if when_true.is_some() && when_true == when_false {
                rules.other = rule.when_true;
            } else {
                let route = Quoted::new(self.operation);
                self.problems.push(place.problem(Fault::AnyField { route }));
            }
        }
        rules.fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        rules
    }

    /// The action of that name, if the service has it.
    fn action(&mut self, place: Place<'_>, name: &str) -> Option<Box<str>> {
        if self.service.action(name).is_none() {
            let known = self.service.actions().iter().map(|action| action.name().to_owned());
            let suggestion = Suggestion(closest(name, known));
            let (action, route) = (Quoted::new(name), Quoted::new(self.operation));
            self.problems.push(place.problem(Fault::RouteAction { action, route, suggestion }));
            return None;
        }
        Some(name.into())
    }

    fn report(&mut self, fault: Fault) {
        self.problems.push(self.draft.place.problem(fault));
    }
}
