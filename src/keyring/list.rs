//! Pages of keys: found among the catalog's cards, read from the store.
//!
//! INVARIANT: a page begins after the place in the order where the page before
//! ended, which its token names, so that keys that come or go between two pages
//! are neither shown twice nor hide others. The page before it is read as if it
//! were the next of the whole order reversed. No more than one page of places is
//! held, however many keys there are.

mod filter;
mod order;
mod page_token;

use std::{collections::BinaryHeap, ops::ControlFlow};

pub(super) use self::filter::{Criteria, Facts, Matcher};
pub use self::{
    filter::Filter,
    order::{By, Order},
};
use self::{
    order::{Place, Way},
    page_token::PageToken,
};
use super::{
    catalog::{Card, Catalog, Classes, LabelHasher},
    powers::Powers,
};
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
    /// What another page gave, as its `next` or `previous`; empty is the first page.
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
    /// For the page before, of the keys right before these; empty when this is the
    /// first.
    pub previous: String,
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

/// Finds the places of one page among cards that come in the order of ids.
pub(super) struct Finder<'a> {
    request: &'a PageRequest,
    size: usize,
    from: Option<PageToken>,
    way: Way,
    uses: &'a Uses<'a>,
    matcher: Matcher<'a>,
    /// How many cards matched so far.
    matches: usize,
    /// The best so far, the worst of them on top; one more than a page holds, to
    /// know whether there is another.
    best: BinaryHeap<Place>,
}

impl<'a> Finder<'a> {
    /// # Errors
    /// [`CommitError::Refused`] when the page's token is none, or another list's.
    pub(super) fn new(
        request: &'a PageRequest,
        powers: &'a Powers,
        uses: &'a Uses<'a>,
        now: Timestamp,
        labels: &LabelHasher,
    ) -> Result<Self, CommitError> {
        let PageRequest { size, token, order, filter } = request;
        let size = match *size {
            0 => DEFAULT_PAGE,
            size => size.min(MAX_PAGE),
        };
        let from = match token.as_str() {
            "" => None,
            token => Some(PageToken::read(token, filter, *order)?),
        };
        let way = from.as_ref().map_or(Way { order: *order, back: false }, |from| from.edge.way);
        let matcher = Matcher::new(filter, powers, uses, now, labels);
        Ok(Self { request, size, from, way, uses, matcher, matches: 0, best: BinaryHeap::new() })
    }

    /// No card up to this one is of the page.
    pub(super) fn start(&self) -> Option<KeyId> {
        let in_turn = self.way.is_the_catalogs();
        let from = self.from.as_ref().filter(|from| in_turn && !from.inclusive);
        from.map(|from| from.edge.id)
    }

    /// Looks at the next card; breaks when no other can be of the page.
    pub(super) fn visit(&mut self, classes: &Classes, id: KeyId, card: &Card) -> ControlFlow<()> {
        if !self.matcher.matches(classes, id, card) {
            return ControlFlow::Continue(());
        }
        self.matches += 1;
        let in_turn = self.way.is_the_catalogs();
        if in_turn && self.best.len() > self.size {
            // None that comes is better; only the total is not known yet.
            return ControlFlow::Continue(());
        }
        let spot = self.request.order.spot(id, card, self.uses);
        if self.from.as_ref().is_some_and(|from| from.has_passed(spot)) {
            return ControlFlow::Continue(());
        }
        if self.best.len() <= self.size {
            self.best.push(Place::new(self.way, spot));
        } else if let Some(mut worst) = self.best.peek_mut()
            && self.way.compare(spot, worst.spot()).is_lt()
        {
            *worst = Place::new(self.way, spot);
        }
        // Now the total is known as well.
        if in_turn && self.from.is_some() && self.best.len() > self.size {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// The page, when all cards were visited.
    ///
    /// # Errors
    /// [`CommitError`] when its keys cannot be read.
    pub(super) fn page(self, reader: &dyn Reader, powers: &Powers) -> Result<Page, CommitError> {
        let Self { request, size, from, way, matches, best, .. } = self;
        let total = from.as_ref().map_or(matches, |from| from.total);
        let mut places = best.into_sorted_vec();
        let mut more = places.len() > size;
        places.truncate(size);
        let mut keys = Vec::with_capacity(places.len());
        let (mut reply, mut fits) = (0, places.len());
        for (index, place) in places.iter().enumerate() {
            // One that is gone meanwhile is left out; the token stands all the same.
            let Some(key) = reader.get(place.id)?.filter(|key| powers.sees(key)) else { continue };
            reply += reply_len(&key);
            if reply > MAX_REPLY && !keys.is_empty() {
                // The page after this one begins with it.
                (fits, more) = (index, true);
                break;
            }
            keys.push(key);
        }
        places.truncate(fits);
        let at = |edge: &Place, inclusive| PageToken { edge: edge.clone(), inclusive, total };
        let on = places.last().filter(|_| more).map(|last| at(last, false));
        // Back from the first key; when there is none, from where it should be.
        let back = from.map(|from| places.first().map_or(from, |first| at(first, true)).turned());
        let text = |token: Option<PageToken>| token.map(|token| token.text(&request.filter));
        let [on, back] = [on, back].map(|token| text(token).unwrap_or_default());
        let (next, previous) = if way.back { (back, on) } else { (on, back) };
        if way.back {
            keys.reverse();
        }
        Ok(Page { keys, next, previous, total })
    }
}

/// One page, found among the cards of `catalog`.
pub(super) fn page(
    reader: &dyn Reader,
    catalog: &Catalog,
    powers: &Powers,
    uses: &Uses<'_>,
    now: Timestamp,
    request: &PageRequest,
) -> Result<Page, CommitError> {
    let mut finder = Finder::new(request, powers, uses, now, catalog.labels())?;
    catalog.walk(finder.start(), |classes, id, card| finder.visit(classes, id, card));
    finder.page(reader, powers)
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
