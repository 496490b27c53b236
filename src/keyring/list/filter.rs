//! Which keys a list gives.
//!
//! INVARIANT: a key that the caller may not see matches no filter. Team, service
//! and role are decided once for each class of keys, the rest on each card.

use std::{collections::BTreeMap, time::Duration};

use super::{
    super::{
        catalog::{Card, Class, Classes, LabelHasher, Verdicts},
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
    now: Timestamp,
    // What most cards are turned away by, side by side.
    active: Option<bool>,
    expired: Option<bool>,
    lifetime: Option<bool>,
    never_used: Option<bool>,
    expires_by: Option<Timestamp>,
    unused_since: Option<Timestamp>,
    /// In small letters.
    name_part: Option<String>,
    search: Option<String>,
    labels: Vec<u64>,
    classes: Verdicts,
    /// Room for a name in small letters.
    lowered: String,
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
            now,
            unused_since: filter
                .unused_for
                .map(|time| Timestamp(now.0.saturating_sub(millis(time)))),
            expires_by: filter
                .expires_within
                .map(|time| Timestamp(now.0.saturating_add(millis(time)))),
            active: filter.active,
            expired: filter.expired,
            lifetime: filter.lifetime,
            never_used: filter.never_used,
            name_part: filter.name_contains.as_ref().map(|part| part.to_lowercase()),
            search: filter.search.as_ref().map(|part| part.to_lowercase()),
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
        self.matches_class(classes, card.class()) && self.matches_card(id, card)
    }

    /// Whether the filter lets the key through, whatever its team, service and role.
    pub(in crate::keyring) fn matches_card(&mut self, id: KeyId, card: &Card) -> bool {
        // What costs least first.
        self.active.is_none_or(|active| active == card.is_active())
            && self.matches_expiration(card.expires())
            && self.labels.iter().all(|label| card.has_label(*label))
            && self.unused_since.is_none_or(|since| self.is_unused(id, card, since))
            && self.matches_use(id)
            && self.matches_text(id, card.name())
    }

    fn matches_class(&mut self, classes: &Classes, number: u32) -> bool {
        let (filter, powers) = (self.filter, self.powers);
        self.classes.of(classes, number, |class| {
            powers.sees_in(&class.team, &class.service) && filter.matches_class(class)
        })
    }

    fn matches_expiration(&self, expires: Option<Timestamp>) -> bool {
        let expired = expires.is_some_and(|expires| self.now >= expires);
        let is_by = |end| expires.is_some_and(|expires| expires <= end);
        self.expired.is_none_or(|wanted| wanted == expired)
            && self.lifetime.is_none_or(|wanted| wanted == expires.is_none())
            && self.expires_by.is_none_or(|end| !expired && is_by(end))
    }

    fn is_unused(&self, id: KeyId, card: &Card, since: Timestamp) -> bool {
        // Before use was tracked it may have been used, whatever is known of then.
        let known_since = card.came().max(self.uses.since);
        let last_used = (self.uses.last_used)(id);
        let idle_since = last_used.map_or(known_since, |used| used.max(known_since));
        idle_since <= since
    }

    fn matches_use(&self, id: KeyId) -> bool {
        let is_never_used = || (self.uses.last_used)(id).is_none();
        self.never_used.is_none_or(|wanted| wanted == is_never_used())
    }

    fn matches_text(&mut self, id: KeyId, name: &[u8]) -> bool {
        if self.name_part.is_none() && self.search.is_none() {
            return true;
        }
        self.lower(name);
        let is_in_name = |part: &String| self.lowered.contains(part);
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

/// To the millisecond below.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
