//! Pages of events, the newest or the oldest first.
//!
//! INVARIANT: a token names the sequence number to go on with, so events that are
//! appended between two pages neither repeat nor hide any. A page may be short or
//! empty and still have a token: then its bounds were reached.

use std::{fmt, str::FromStr};

use super::{AuditError, MAX_BYTES, MAX_REPLY, MAX_TIME};
use crate::{
    change::Refusal,
    event::{Event, Filter},
    store::{Log, Order, Scan},
};

/// The size of a page when none is asked for.
const DEFAULT_PAGE: usize = 100;
/// The largest page.
pub const MAX_PAGE: usize = 1000;

/// Which page of which events.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// How many events; 0 is the default, what is above the largest is that.
    pub size: usize,
    /// What the page before gave; empty is the first page.
    pub token: String,
    /// Which events.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// For the next page; empty when this was the last.
    pub next: String,
}

/// What a page token says: `o<sequence>` or `n<sequence>`, by the order.
struct PageToken {
    order: Order,
    from: u64,
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match self.order {
            Order::OldestFirst => 'o',
            Order::NewestFirst => 'n',
        };
        write!(f, "{order}{}", self.from)
    }
}

impl FromStr for PageToken {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let wrong =
            || Refusal::field("page_token", "must be the `next_page_token` of the page before");
        let (order, from) = match text.split_at_checked(1).ok_or_else(wrong)? {
            ("o", from) => (Order::OldestFirst, from),
            ("n", from) => (Order::NewestFirst, from),
            _ => return Err(wrong()),
        };
        // Only what this program writes: no sign, no zeros in front.
        let from = from.parse().ok().filter(|number: &u64| number.to_string() == from);
        Ok(Self { order, from: from.ok_or_else(wrong)? })
    }
}

pub(super) fn read(
    log: &dyn Log,
    filter: &Filter,
    request: &PageRequest,
) -> Result<Page, AuditError> {
    let order = request.order;
    let from = match (request.token.as_str(), order) {
        ("", Order::OldestFirst) => 0,
        ("", Order::NewestFirst) => u64::MAX,
        (token, _) => {
            let token: PageToken = token.parse()?;
            if token.order != order {
                return Err(Refusal::field(
                    "page_token",
                    "is of a list in the other order; begin that list anew",
                )
                .into());
            }
            token.from
        }
    };
    let limit = match request.size {
        0 => DEFAULT_PAGE,
        size => size.min(MAX_PAGE),
    };
    let scanned = log.read(&Scan {
        order,
        from,
        filter,
        limit,
        max_reply: MAX_REPLY,
        max_bytes: MAX_BYTES,
        max_time: MAX_TIME,
    })?;
    let next = scanned.next.map(|from| PageToken { order, from }.to_string());
    Ok(Page { events: scanned.events, next: next.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_nothing_else_is_one() {
        for order in [Order::OldestFirst, Order::NewestFirst] {
            for from in [0, 7, u64::MAX] {
                let text = PageToken { order, from }.to_string();
                let token: PageToken = text.parse().unwrap();
                assert_eq!((token.order, token.from), (order, from));
            }
        }
        for wrong in ["", "o", "7", "x7", "o+7", "o-7", "o07", "o 7", "n18446744073709551616", "é7"]
        {
            assert!(wrong.parse::<PageToken>().is_err(), "{wrong}");
        }
    }
}
