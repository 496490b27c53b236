//! Pages of keys: found among the catalog's cards, read from the store.
//!
//! INVARIANT: a page begins after the place in the order where the page before
//! ended, which its token names, so that keys that come or go between two pages
//! are neither shown twice nor hide others. No more than one page of places is
//! held, however many keys there are.

mod filter;
mod order;
mod page_token;

use std::{collections::BinaryHeap, ops::ControlFlow};

pub(super) use self::filter::Matcher;
pub use self::{
    filter::Filter,
    order::{By, Order},
};
use self::{order::Place, page_token::PageToken};
use super::{catalog::Catalog, powers::Powers};
use crate::{
    clock::Timestamp,
    record::KeyRecord,
    store::{CommitError, Reader},
    token::KeyId,
};

/// The size of a page when none is asked for.
const DEFAULT_PAGE: usize = 100;
/// The largest page.
pub const MAX_PAGE: usize = 1000;
/// The keys of a page are about as large at most: a client of tonic takes 4 MiB.
const MAX_REPLY: usize = 3 << 20;
/// More than what of a key has a bounded size takes in a reply: ids, times, counts,
/// secrets.
const FIXED_LEN: usize = 1024;
/// More than what stands around a text in a reply.
const AROUND: usize = 12;

/// Which page of which keys.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// How many keys; 0 is the default, what is above the largest is that. Of large
    /// keys it may be fewer.
    pub size: usize,
    /// What the page before gave; empty is the first page.
    pub token: String,
    /// In which order.
    pub order: Order,
    /// Which keys.
    pub filter: Filter,
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

/// What is known of the use of keys.
pub(super) struct Uses<'a> {
    /// When a key was last used; `None`: not since `since`.
    pub(super) last_used: &'a dyn Fn(KeyId) -> Option<Timestamp>,
    /// Since when use is known.
    pub(super) since: Timestamp,
}

pub(super) fn page(
    reader: &dyn Reader,
    catalog: &Catalog,
    powers: &Powers,
    uses: &Uses<'_>,
    now: Timestamp,
    request: &PageRequest,
) -> Result<Page, CommitError> {
    let PageRequest { size, token, order, filter } = request;
    let size = match *size {
        0 => DEFAULT_PAGE,
        size => size.min(MAX_PAGE),
    };
    let after = match token.as_str() {
        "" => None,
        token => Some(PageToken::read(token, filter, *order)?),
    };
    let after = after.as_ref();
    let mut matcher = Matcher::new(filter, powers, uses, now, catalog.labels());
    let mut matches = 0;
    // The best so far, the worst of them on top; one more than a page holds, to
    // know whether there is another.
    let mut best: BinaryHeap<Place> = BinaryHeap::new();
    let in_turn = order.is_the_catalogs();
    let start = after.filter(|_| in_turn).map(|after| after.last.id);
    catalog.walk(start, |classes, id, card| {
        if !matcher.matches(classes, id, card) {
            return ControlFlow::Continue(());
        }
        matches += 1;
        if in_turn && best.len() > size {
            // None that comes is better; only the total is not known yet.
            return ControlFlow::Continue(());
        }
        let spot = order.spot(id, card, uses);
        let is_before = |place: &Place| order.compare(spot, place.spot()).is_le();
        if after.is_some_and(|after| is_before(&after.last)) {
            return ControlFlow::Continue(());
        }
        if best.len() <= size {
            best.push(Place::new(*order, spot));
        } else if let Some(mut worst) = best.peek_mut()
            && is_before(&worst)
        {
            *worst = Place::new(*order, spot);
        }
        // Now the total is known as well.
        if in_turn && after.is_some() && best.len() > size {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let total = after.map_or(matches, |after| after.total);
    let mut places = best.into_sorted_vec();
    let mut is_last = places.len() <= size;
    places.truncate(size);
    let mut keys = Vec::with_capacity(places.len());
    let (mut reply, mut fits) = (0, places.len());
    for (index, place) in places.iter().enumerate() {
        // One that is gone meanwhile is left out; the token stands all the same.
        let Some(key) = reader.get(place.id)?.filter(|key| powers.sees(key)) else { continue };
        reply += reply_len(&key);
        if reply > MAX_REPLY && !keys.is_empty() {
            // The next page begins with it.
            (fits, is_last) = (index, false);
            break;
        }
        keys.push(key);
    }
    places.truncate(fits);
    let last = places.pop().filter(|_| !is_last);
    let next = last.map(|last| PageToken { last, total }.text(filter)).unwrap_or_default();
    Ok(Page { keys, next, total })
}

/// About how many bytes `key` takes in a reply; rather more than less.
fn reply_len(key: &KeyRecord) -> usize {
    let texts = [&key.name, &key.team, &key.service, &key.role, &key.subject, &key.description];
    let labels = key.labels.iter().flat_map(|(name, value)| [name, value]);
    let texts = texts.into_iter().chain(&key.grants).chain(labels);
    texts.fold(FIXED_LEN, |len, text| len + text.len() + AROUND)
}

#[cfg(test)]
mod tests;
