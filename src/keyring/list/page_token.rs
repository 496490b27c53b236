//! What a page says to the one after it, and to the one before it.
//!
//! INVARIANT: a token is taken back only as it was given, with the filter and the
//! order that it was given for: it begins with a digest of all three. It is no
//! secret and proves nothing; whoever makes one up gets keys that it may see
//! anyway.

use super::{
    filter::Filter,
    order::{Order, Place, Spot, Way},
};
use crate::change::Refusal;

/// Bytes of the digest.
const CHECK: usize = 8;

/// Where to begin, which way to go, and how many keys there are in all.
#[derive(Clone)]
pub(super) struct PageToken {
    /// The key to begin at, and the way.
    pub(super) edge: Place,
    /// Whether that key belongs to the page.
    pub(super) inclusive: bool,
    /// How many keys matched when the first page was made.
    pub(super) total: usize,
}

impl PageToken {
    /// The same place between two keys, to go the other way from.
    pub(super) fn turned(mut self) -> Self {
        self.edge.way.back = !self.edge.way.back;
        self.inclusive = !self.inclusive;
        self
    }

    /// Whether a key at `spot` does not come any more on this way.
    pub(super) fn has_passed(&self, spot: Spot<'_>) -> bool {
        let ordering = self.edge.way.compare(spot, self.edge.spot());
        if self.inclusive { ordering.is_lt() } else { ordering.is_le() }
    }

    /// Its text: hexadecimal digits of the check, a byte for way and edge, the total,
    /// the number in the order of the key at the edge, its id, its name in the order.
    pub(super) fn text(&self, filter: &Filter) -> String {
        let mut body = vec![u8::from(self.edge.way.back) | u8::from(self.inclusive) << 1];
        body.extend_from_slice(&(self.total as u64).to_le_bytes());
        body.extend_from_slice(&self.edge.number.to_le_bytes());
        body.extend_from_slice(self.edge.id.as_bytes());
        body.extend_from_slice(&self.edge.name);
        let check = check(filter, self.edge.way.order, &body);
        check.iter().chain(&body).map(|byte| format!("{byte:02x}")).collect()
    }

    /// What a text says, if it was given for `filter` and `order`.
    pub(super) fn read(text: &str, filter: &Filter, order: Order) -> Result<Self, Refusal> {
        let refused = |problem| Refusal::field("page_token", problem);
        let garbage = "is no page token: give back `next_page_token` of the page before as it was";
        let bytes = bytes(text).ok_or_else(|| refused(garbage))?;
        let (told, body) = bytes.split_first_chunk::<CHECK>().ok_or_else(|| refused(garbage))?;
        let token = Self::parse(body, order).ok_or_else(|| refused(garbage))?;
        if *told != check(filter, order, body) {
            return Err(refused(
                "belongs to another filter or order: give it with those of its page, or none for a first page",
            ));
        }
        Ok(token)
    }

    fn parse(body: &[u8], order: Order) -> Option<Self> {
        let (turn @ 0..=3, rest) = body.split_first()? else { return None };
        let way = Way { order, back: turn & 1 != 0 };
        let (total, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (id, name) = rest.split_first_chunk::<10>()?;
        let id = str::from_utf8(id).ok()?.parse().ok()?;
        let edge = Place { way, number: i64::from_le_bytes(*number), name: name.into(), id };
        let total = usize::try_from(u64::from_le_bytes(*total)).ok()?;
        Some(Self { edge, inclusive: turn & 2 != 0, total })
    }
}

fn check(filter: &Filter, order: Order, body: &[u8]) -> [u8; CHECK] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[order.by as u8, order.descending.into()]);
    filter.write(&mut |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    });
    hasher.update(body);
    let mut check = [0; CHECK];
    hasher.finalize_xof().fill(&mut check);
    check
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    let pairs = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    pairs.collect::<Option<Vec<u8>>>().filter(|_| odd.is_empty())
}
