//! Which keys a list gives.
//!
//! INVARIANT: a key that the caller may not see matches no filter. Team, service
//! and role are decided once for each class of keys, the rest on each card.

use std::{collections::BTreeMap, time::Duration};

use memchr::memmem;

use super::{
    super::{
        catalog::{Card, Class, Classes, LIFETIME, LabelHasher, Verdicts},
        powers::Powers,
    },
    Uses,
};
use crate::{clock::Timestamp, token::KeyId};

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
    /// Part of the name, in any case of letters, or the beginning of the id.
    pub search: Option<String>,
    /// No last use is known, or one is.
    pub never_used: Option<bool>,
    /// Not used for at least so long: neither used, nor created, nor without its use
    /// being tracked since then.
    pub unused_for: Option<Duration>,
    /// Expires within so long, and has not yet.
    pub expires_within: Option<Duration>,
    /// Has expired, or has not.
    pub expired: Option<bool>,
    /// Never expires, or does.
    pub lifetime: Option<bool>,
    /// Has all of these labels.
    pub labels: BTreeMap<String, String>,
}

/// A filter at work for one caller at one moment.
pub(in crate::keyring) struct Matcher<'a> {
    filter: &'a Filter,
    powers: &'a Powers,
    uses: &'a Uses<'a>,
    criteria: Criteria,
    asks_for_use: bool,
    /// In small letters.
    name_part: Option<memmem::Finder<'static>>,
    search: Option<memmem::Finder<'static>>,
    labels: Vec<u64>,
    classes: Verdicts,
    /// Room for a name in small letters.
    lowered: String,
}

/// What a filter asks of a key beside class and texts, as bounds: many filters are
/// tried on each of many cards.
pub(in crate::keyring) struct Criteria {
    active: Option<bool>,
    never_used: Option<bool>,
    /// When it may expire, both ends included; lifetime is the last.
    expires: [i64; 2],
    /// Unused since then, or longer.
    idle_since: Timestamp,
}

/// What [`Criteria`] look at.
pub(in crate::keyring) struct Facts {
    active: bool,
    expires: i64,
    /// Of use, if that is asked for.
    last_used: Option<Timestamp>,
    idle_since: Timestamp,
}

impl Filter {
    /// Tells `part` all that makes it this filter, in an order of its own.
    pub(super) fn write(&self, part: &mut dyn FnMut(&[u8])) {
        let mut roles: Vec<_> = self.roles.iter().collect();
        roles.sort();
        roles.dedup();
        let text = |text: &Option<String>, part: &mut dyn FnMut(&[u8])| match text {
            None => part(&[0]),
            Some(text) => {
                part(&[1]);
                part(text.as_bytes());
            }
        };
        text(&self.team, part);
        text(&self.service, part);
        text(&self.name_contains.as_ref().map(|name| name.to_lowercase()), part);
        text(&self.search, part);
        for flag in [self.active, self.expired, self.lifetime, self.never_used] {
            part(&[flag.map_or(2, u8::from)]);
        }
        for time in [self.unused_for, self.expires_within] {
            part(&time.map_or(u128::MAX, |time| time.as_nanos()).to_le_bytes());
        }
        part(&(roles.len() as u64).to_le_bytes());
        roles.into_iter().for_each(|role| part(role.as_bytes()));
        for (name, value) in &self.labels {
            part(name.as_bytes());
            part(value.as_bytes());
        }
    }

    fn matches_class(&self, class: &Class) -> bool {
        self.team.as_ref().is_none_or(|team| *team == class.team)
            && self.service.as_ref().is_none_or(|service| *service == class.service)
            && (self.roles.is_empty() || self.roles.contains(&class.role))
    }
}

impl Criteria {
    pub(in crate::keyring) fn new(filter: &Filter, now: Timestamp) -> Self {
        let [mut from, mut to] = [i64::MIN, LIFETIME];
        let mut narrow = |least: i64, most: i64| (from, to) = (from.max(least), to.min(most));
        match filter.expired {
            Some(true) => narrow(i64::MIN, now.0.min(LIFETIME - 1)),
            Some(false) => narrow(now.0.saturating_add(1), LIFETIME),
            None => {}
        }
        match filter.lifetime {
            Some(true) => narrow(LIFETIME, LIFETIME),
            Some(false) => narrow(i64::MIN, LIFETIME - 1),
            None => {}
        }
        if let Some(within) = filter.expires_within {
            let end = now.0.saturating_add(millis(within));
            narrow(now.0.saturating_add(1), end.min(LIFETIME - 1));
        }
        let idle_since = filter.unused_for.map(|time| now.0.saturating_sub(millis(time)));
        Self {
            active: filter.active,
            never_used: filter.never_used,
            expires: [from, to],
            idle_since: idle_since.map_or(Timestamp(i64::MAX), Timestamp),
        }
    }

    pub(in crate::keyring) fn hold(&self, of: &Facts) -> bool {
        let [from, to] = self.expires;
        self.active.is_none_or(|active| active == of.active)
            && of.expires >= from
            && of.expires <= to
            && of.idle_since <= self.idle_since
            && self.never_used.is_none_or(|wanted| wanted == of.last_used.is_none())
    }
}

impl Facts {
    pub(in crate::keyring) fn new(id: KeyId, card: &Card, uses: &Uses<'_>) -> Self {
        let last_used = (uses.last_used)(id);
        // Before use was tracked it may have been used, whatever is known of then.
        let known_since = card.came().max(uses.since);
        let idle_since = last_used.map_or(known_since, |used| used.max(known_since));
        Self { last_used, idle_since, ..Self::without_use(card) }
    }

    /// For criteria that do not ask for use.
    fn without_use(card: &Card) -> Self {
        let (last_used, idle_since) = (None, Timestamp(i64::MIN));
        Self { active: card.is_active(), expires: card.expires_place(), last_used, idle_since }
    }
}

impl<'a> Matcher<'a> {
    pub(in crate::keyring) fn new(
        filter: &'a Filter,
        powers: &'a Powers,
        uses: &'a Uses<'a>,
        now: Timestamp,
        labels: &LabelHasher,
    ) -> Self {
        Self {
            filter,
            powers,
            uses,
            criteria: Criteria::new(filter, now),
            asks_for_use: filter.unused_for.is_some() || filter.never_used.is_some(),
            name_part: filter.name_contains.as_deref().map(needle),
            search: filter.search.as_deref().map(needle),
            labels: filter.labels.iter().map(|(name, value)| labels.hash(name, value)).collect(),
            classes: Verdicts::default(),
            lowered: String::new(),
        }
    }

    /// Whether the caller sees the key and the filter lets it through.
    pub(in crate::keyring) fn matches(
        &mut self,
        classes: &Classes,
        id: KeyId,
        card: &Card,
    ) -> bool {
        // What costs least first.
        self.matches_class(classes, card.class())
            && self.criteria.hold(&self.facts(id, card))
            && self.labels.iter().all(|label| card.has_label(*label))
            && self.matches_text(id, card)
    }

    fn matches_class(&mut self, classes: &Classes, number: u32) -> bool {
        let (filter, powers) = (self.filter, self.powers);
        self.classes.of(classes, number, |class| {
            powers.sees_in(&class.team, &class.service) && filter.matches_class(class)
        })
    }

    fn facts(&self, id: KeyId, card: &Card) -> Facts {
        if self.asks_for_use { Facts::new(id, card, self.uses) } else { Facts::without_use(card) }
    }

    fn matches_text(&mut self, id: KeyId, card: &Card) -> bool {
        if self.name_part.is_none() && self.search.is_none() {
            return true;
        }
        self.lower(card.name());
        let is_in_name = |part: &memmem::Finder<'_>| part.find(self.lowered.as_bytes()).is_some();
        let begins_id = |part: &String| id.as_str().starts_with(part);
        self.name_part.as_ref().is_none_or(is_in_name)
            && (self.search.as_ref().is_none_or(is_in_name)
                || self.filter.search.as_ref().is_some_and(begins_id))
    }

    fn lower(&mut self, name: &[u8]) {
        // INVARIANT: it was a `String`.
        let name = str::from_utf8(name).unwrap_or_default();
        if !name.is_ascii() {
            self.lowered = name.to_lowercase();
            return;
        }
        self.lowered.clear();
        self.lowered.push_str(name);
        self.lowered.make_ascii_lowercase();
    }
}

/// Looks for `part` in names in small letters: made ready once, not for each name.
fn needle(part: &str) -> memmem::Finder<'static> {
    memmem::Finder::new(&part.to_lowercase()).into_owned()
}

/// To the millisecond below.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
