//! Pages of keys, in the order of their ids.
//!
//! INVARIANT: a page begins after the last id of the page before, which its token
//! names, so that keys that come or go between two pages are neither shown twice
//! nor hide others. Only the first page reads every key.

use std::{fmt, str::FromStr};

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
    /// How many keys matched in all when the first page was made.
    pub total: usize,
}

/// What a page token says: `<last id>.<total>`.
struct PageToken {
    last: KeyId,
    total: usize,
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.last, self.total)
    }
}

impl FromStr for PageToken {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let parsed = text.split_once('.').and_then(|(last, total)| {
            Some(Self { last: last.parse().ok()?, total: total.parse().ok()? })
        });
        parsed.ok_or_else(|| {
            Refusal::field("page_token", "must be the `next_page_token` of the page before")
        })
    }
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
    let after: Option<PageToken> = match request.token.as_str() {
        "" => None,
        token => Some(token.parse()?),
    };
    let (mut keys, mut matches): (Vec<KeyRecord>, usize) = (Vec::new(), 0);
    let filter = request.filter.prepared();
    for record in store.scan(after.as_ref().map(|token| token.last)) {
        let record = record?;
        if !powers.sees(&record) || !filter.matches(&record) {
            continue;
        }
        matches += 1;
        if keys.len() < size {
            keys.push(record);
        } else if after.is_some() {
            // There is another page; how many keys there are is known.
            break;
        }
    }
    let total = after.map_or(matches, |token| token.total);
    let last = keys.last().filter(|_| matches > keys.len());
    let next = last.map(|last| PageToken { last: last.id, total }.to_string()).unwrap_or_default();
    Ok(Page { keys, next, total })
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
