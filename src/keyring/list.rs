//! Pages of keys, in the order of their ids.
//!
//! INVARIANT: a page token is the last id of the page before, so that keys that
//! come or go between two pages are neither shown twice nor hide others.

use super::powers::Powers;
use crate::{
    change::Refusal,
    record::KeyRecord,
    store::{CommitError, Store},
    token::KeyId,
};

/// The size of a page when none is asked for.
const DEFAULT_PAGE: usize = 100;
/// The largest page.
pub const MAX_PAGE: usize = 1000;

/// Which page of which keys.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// How many keys; 0 is the default, what is above the largest is that.
    pub size: usize,
    /// What the page before gave; empty is the first page.
    pub token: String,
    /// Which keys.
    pub filter: Filter,
}

/// Which keys to list: all that is set has to match.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The team.
    pub team: Option<String>,
    /// The service.
    pub service: Option<String>,
    /// Any of these; empty is every role.
    pub roles: Vec<String>,
    /// Switched on or off.
    pub active: Option<bool>,
    /// Part of the name, in any case of letters.
    pub name_contains: Option<String>,
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The keys.
    pub keys: Vec<KeyRecord>,
    /// For the next page; empty when this was the last.
    pub next: String,
    /// How many keys match in all.
    pub total: usize,
}

pub(super) fn page(
    store: &dyn Store,
    powers: &Powers,
    request: &PageRequest,
) -> Result<Page, CommitError> {
    let size = match request.size {
        0 => DEFAULT_PAGE,
        size => size.min(MAX_PAGE),
    };
    let after: Option<KeyId> = match request.token.as_str() {
        "" => None,
        token => Some(token.parse().map_err(|_| {
            Refusal::field("page_token", "must be the `next_page_token` of the page before")
        })?),
    };
    let mut page = Page { keys: Vec::new(), next: String::new(), total: 0 };
    let filter = request.filter.prepared();
    for record in store.scan(None) {
        let record = record?;
        if !powers.sees(&record) || !filter.matches(&record) {
            continue;
        }
        page.total += 1;
        if after.is_some_and(|after| record.id <= after) {
            continue;
        }
        if page.keys.len() < size {
            page.keys.push(record);
        } else if page.next.is_empty() {
            page.next = page.keys.last().map(|last| last.id.to_string()).unwrap_or_default();
        }
    }
    Ok(page)
}

impl Filter {
    fn prepared(&self) -> Self {
        Self {
            name_contains: self.name_contains.as_ref().map(|part| part.to_lowercase()),
            ..self.clone()
        }
    }

    fn matches(&self, key: &KeyRecord) -> bool {
        self.team.as_ref().is_none_or(|team| *team == key.team)
            && self.service.as_ref().is_none_or(|service| *service == key.service)
            && (self.roles.is_empty() || self.roles.contains(&key.role))
            && self.active.is_none_or(|active| active == key.active)
            && self.name_contains.as_ref().is_none_or(|part| key.name.to_lowercase().contains(part))
    }
}
