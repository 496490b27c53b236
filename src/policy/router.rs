//! Finds the route of a request: by host, then segment by segment.
//!
//! The cost grows with the path, not with the number of routes: a step is a look-up in a hash table.
//! INVARIANT: a literal segment wins over a placeholder, and a segment that only looks like a
//! literal (encoded, or in other case) matches nothing: the service behind may take it for the
//! literal, and act on another operation than the one that was decided on.

use std::{collections::HashMap, sync::Arc};

use foldhash::quality::RandomState;

use super::{
    PathFault, Route,
    path::{MAX_HOST, decode, fold, segments},
};

/// Keys come from requests: the seed is random, so that nobody can choose ones that collide.
type Map<V> = HashMap<Box<str>, V, RandomState>;

/// The routes of every service.
#[derive(Debug, Default)]
pub(super) struct Router {
    /// Of services that name hosts, by host; `*.example.com` stands here as `.example.com`.
    hosts: Map<Node>,
    /// Of services that name none.
    any: Node,
}

/// The routes that go on from here.
#[derive(Debug, Default)]
struct Node {
    literals: Map<Node>,
    /// The literals in lower case.
    folded: Map<()>,
    placeholder: Option<Box<Node>>,
    /// The routes that end here, by method.
    ends: Map<Arc<Route>>,
}

/// Another route has the same method and path already.
#[derive(Debug)]
pub(super) struct Taken(pub(super) Arc<Route>);

impl Router {
    /// Adds `route` under `base`, for one `host` (`*.` before it: every host below it) or for all
    /// hosts that no service names.
    pub(super) fn insert(
        &mut self,
        host: Option<&str>,
        base: &str,
        route: &Arc<Route>,
    ) -> Result<(), Taken> {
        let mut node = match host {
            Some(host) => self.hosts.entry(host.trim_start_matches('*').into()).or_default(),
            None => &mut self.any,
        };
        for segment in base.split('/').chain(route.path.split('/')).filter(|part| !part.is_empty())
        {
            node = if segment.starts_with('{') {
                node.placeholder.get_or_insert_default()
            } else {
                node.folded.insert(fold(segment).into(), ());
                node.literals.entry(segment.into()).or_default()
            };
        }
        match node.ends.insert(route.method.clone(), Arc::clone(route)) {
            Some(taken) => Err(Taken(taken)),
            None => Ok(()),
        }
    }

    /// The route of `method` and `target`, a path as it came with or without a query, at `host`,
    /// with or without a port; `None` if there is none.
    ///
    /// # Errors
    /// [`PathFault`], whether or not a route would match.
    pub(super) fn find(
        &self,
        host: &str,
        method: &str,
        target: &str,
    ) -> Result<Option<&Arc<Route>>, PathFault> {
        if host.len() > MAX_HOST {
            return Err(PathFault::Host);
        }
        let segments = segments(target)?;
        Ok(self.at(host).find(method, segments))
    }

    /// The routes at `host`: those of services that name it, or else the closest domain above it.
    fn at(&self, host: &str) -> &Node {
        if self.hosts.is_empty() {
            return &self.any;
        }
        let host = name(host).to_ascii_lowercase();
        let above = host.match_indices('.').filter_map(|(dot, _)| host.get(dot..));
        std::iter::once(&*host)
            .chain(above)
            .find_map(|host| self.hosts.get(host))
            .unwrap_or(&self.any)
    }
}

impl Node {
    fn find<'s>(
        &self,
        method: &str,
        mut segments: impl Iterator<Item = &'s str> + Clone,
    ) -> Option<&Arc<Route>> {
        let Some(segment) = segments.next() else { return self.ends.get(method) };
        if let Some(literal) = self.literals.get(segment) {
            let found = literal.find(method, segments.clone());
            if found.is_some() {
                return found;
            }
        } else if segment.is_empty() || self.looks_like_a_literal(segment) {
            return None;
        }
        self.placeholder.as_ref()?.find(method, segments)
    }

    fn looks_like_a_literal(&self, segment: &str) -> bool {
        if self.folded.is_empty() {
            return false;
        }
        // A path that cannot be decoded is refused before it comes here.
        decode(segment).map_or(true, |decoded| self.folded.contains_key(&*fold(&decoded)))
    }
}

/// The name in a `Host` header: without a port and without the dot of the root.
fn name(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        // Not within the brackets of an IPv6 address.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}
