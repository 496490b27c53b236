//! The orders of lists, and places in them.
//!
//! INVARIANT: an order is total and does not change with what else is listed:
//! keys that are equal in it stand in the order of their ids. Names are compared
//! character by character, as they are written.

use std::{cmp::Ordering, str::FromStr};

use super::{super::catalog::Card, super::fields, Uses};
use crate::{change::FieldViolation, clock::Timestamp, token::KeyId};

/// What keys are ordered by.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// The id.
    #[default]
    Id,
    /// The name.
    Name,
    /// When they were created.
    Created,
    /// When they were last changed.
    Updated,
    /// When they expire; lifetime is last.
    Expires,
    /// When they were last used; not used is first.
    LastUsed,
}

/// An order of keys. As text: a field, and ` desc` for the reverse.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// By what.
    pub by: By,
    /// The last first. Keys that are equal stand in the order of their ids.
    pub descending: bool,
}

const FIELDS: [(&str, By); 6] = [
    ("id", By::Id),
    ("name", By::Name),
    ("create_time", By::Created),
    ("update_time", By::Updated),
    ("expire_time", By::Expires),
    ("last_used_time", By::LastUsed),
];

/// Which way a list is read: the whole order, or all of it reversed.
#[derive(Copy, Clone)]
pub(super) struct Way {
    pub(super) order: Order,
    pub(super) back: bool,
}

/// Where a key stands in an order. What the order does not look at is the same
/// for all.
#[derive(Copy, Clone)]
pub(super) struct Spot<'a> {
    pub(super) number: i64,
    pub(super) name: &'a [u8],
    pub(super) id: KeyId,
}

/// The same, kept, for who reads it this way.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) way: Way,
    pub(super) number: i64,
    pub(super) name: Box<[u8]>,
    pub(super) id: KeyId,
}

impl Order {
    pub(super) fn spot<'a>(self, id: KeyId, card: &'a Card, uses: &Uses<'_>) -> Spot<'a> {
        let number = match self.by {
            By::Id | By::Name => 0,
            By::Created => card.created().0,
            By::Updated => card.updated().0,
            By::Expires => card.expires_place(),
            By::LastUsed => (uses.last_used)(id).unwrap_or(Timestamp(i64::MIN)).0,
        };
        let name = if self.by == By::Name { card.name() } else { &[] };
        Spot { number, name, id }
    }

    fn compare(self, left: Spot<'_>, right: Spot<'_>) -> Ordering {
        let reversed = |ordering: Ordering, reverse: bool| {
            if reverse { ordering.reverse() } else { ordering }
        };
        let by_value = (left.number, left.name).cmp(&(right.number, right.name));
        let by_id = reversed(left.id.cmp(&right.id), self.descending && self.by == By::Id);
        reversed(by_value, self.descending).then(by_id)
    }
}

impl Way {
    /// Whether cards come as they lie in the catalog.
    pub(super) fn is_the_catalogs(self) -> bool {
        self.order == Order::default() && !self.back
    }

    pub(super) fn compare(self, left: Spot<'_>, right: Spot<'_>) -> Ordering {
        let ordering = self.order.compare(left, right);
        if self.back { ordering.reverse() } else { ordering }
    }
}

impl FromStr for Order {
    type Err = FieldViolation;

    fn from_str(text: &str) -> Result<Self, FieldViolation> {
        let (name, descending) =
            text.strip_suffix(" desc").map_or((text, false), |name| (name, true));
        if text.is_empty() {
            return Ok(Self::default());
        }
        let field = FIELDS.iter().find(|(known, _)| *known == name);
        field.map(|(_, by)| Self { by: *by, descending }).ok_or_else(|| {
            let known: Vec<_> = FIELDS.iter().map(|(known, _)| format!("`{known}`")).collect();
            let problem = format!(
                "`{}` is no order; give one of {}, or one of them with ` desc` for the reverse",
                fields::shown(text),
                known.join(", ")
            );
            FieldViolation { field: "order_by", problem }
        })
    }
}

impl Place {
    pub(super) fn new(way: Way, Spot { number, name, id }: Spot<'_>) -> Self {
        Self { way, number, name: name.into(), id }
    }

    pub(super) fn spot(&self) -> Spot<'_> {
        Spot { number: self.number, name: &self.name, id: self.id }
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.way.compare(self.spot(), other.spot())
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}
