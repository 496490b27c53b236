//! Figures: how many keys there are of each kind that people look after.
//!
//! INVARIANT: a figure is the `total` of the list with its filter, for it is that
//! filter that counts. Keys that the caller may not see are in none.

use std::{ops::ControlFlow, time::Duration};

use super::{
    Caller, Keyring, KeyringError, Powers,
    catalog::{Card, Catalog, Class, Classes, Verdicts},
    list::{Criteria, Facts, Filter, Finder, Matcher, Page, PageRequest, Uses},
    look::Look,
};
use crate::{
    clock::Timestamp,
    policy::Policy,
    store::{CommitError, Reader},
    token::KeyId,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Keys that expire within this are counted as expiring.
pub const EXPIRING_WITHIN: Duration = DAY.saturating_mul(30);
/// Keys that are unused for this are counted as idle.
pub const IDLE_FOR: Duration = DAY.saturating_mul(90);

/// How many of the keys that a caller may see are what.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// All.
    pub total: u64,
    /// Switched on, and not expired.
    pub active: u64,
    /// Not expired, but within [`EXPIRING_WITHIN`].
    pub expiring: u64,
    /// No last use is known.
    pub never_used: u64,
    /// Unused for [`IDLE_FOR`].
    pub idle: u64,
    /// Never expires.
    pub lifetime: u64,
    /// The role may do everything in its service, without condition. There is no
    /// filter for it: it is decided by the policy in force.
    pub unrestricted: u64,
}

/// A figure's filter, and its place.
type Figure = (Filter, fn(&mut Figures) -> &mut u64);

fn filtered() -> [Figure; 5] {
    let all = Filter::default;
    [
        (Filter { active: Some(true), expired: Some(false), ..all() }, |of| &mut of.active),
        (Filter { expires_within: Some(EXPIRING_WITHIN), ..all() }, |of| &mut of.expiring),
        (Filter { never_used: Some(true), ..all() }, |of| &mut of.never_used),
        (Filter { unused_for: Some(IDLE_FOR), ..all() }, |of| &mut of.idle),
        (Filter { lifetime: Some(true), ..all() }, |of| &mut of.lifetime),
    ]
}

impl Keyring {
    /// A page as [`Keyring::list`] gives it, and how many keys of each kind `caller`
    /// may see, whatever the page is filtered by: all in one look.
    ///
    /// # Errors
    /// [`KeyringError`]
    pub async fn overview(
        &self,
        caller: Caller,
        request: PageRequest,
    ) -> Result<(Page, Figures), KeyringError> {
        let overview = move |look: &Look<'_>| {
            let Look { keyring, powers, uses, now } = *look;
            let (store, catalog) = (&*keyring.store, &keyring.catalog);
            Ok(overview(store, catalog, &keyring.policy(), powers, uses, now, &request)?)
        };
        self.look(caller, overview).await
    }
}

pub(super) fn overview(
    reader: &dyn Reader,
    catalog: &Catalog,
    policy: &Policy,
    powers: &Powers,
    uses: &Uses<'_>,
    now: Timestamp,
    request: &PageRequest,
) -> Result<(Page, Figures), CommitError> {
    let mut finder = Finder::new(request, powers, uses, now, catalog.labels())?;
    let mut found = ControlFlow::Continue(());
    let figures = count(catalog, policy, powers, uses, now, |classes, id, card| {
        if found.is_continue() {
            found = finder.visit(classes, id, card);
        }
    });
    Ok((finder.page(reader, powers)?, figures))
}

/// Counts, and shows each card to `visit` on the way.
fn count(
    catalog: &Catalog,
    policy: &Policy,
    powers: &Powers,
    uses: &Uses<'_>,
    now: Timestamp,
    mut visit: impl FnMut(&Classes, KeyId, &Card),
) -> Figures {
    let all = Filter::default();
    let mut is_seen = Matcher::new(&all, powers, uses, now, catalog.labels());
    // None of them asks for a class, a label or a text.
    let filtered = filtered().map(|(filter, figure)| (Criteria::new(&filter, now), figure));
    let has_all = |class: &Class| {
        policy.service(&class.service).is_some_and(|service| service.gives_all(&class.role))
    };
    let (mut figures, mut unrestricted) = (Figures::default(), Verdicts::default());
    catalog.walk(None, |classes, id, card| {
        visit(classes, id, card);
        if is_seen.matches(classes, id, card) {
            figures.total += 1;
            figures.unrestricted += u64::from(unrestricted.of(classes, card.class(), has_all));
            let facts = Facts::new(id, card, uses);
            for (criteria, figure) in &filtered {
                *figure(&mut figures) += u64::from(criteria.hold(&facts));
            }
        }
        ControlFlow::Continue(())
    });
    figures
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{
        super::{
            catalog::tests::{MemoryStore, a_key, loaded},
            list,
        },
        *,
    };
    use crate::{record::KeyRecord, resolved_key::ResolvedKey};

    const NOW: i64 = 1_800_000_000_000;
    const DAY: i64 = 24 * 60 * 60 * 1000;

    /// Keys on both sides of every border, each with each; and when they were used.
    fn keys() -> Vec<(KeyRecord, Option<Timestamp>)> {
        let at = |at: i64| Some(Timestamp(at));
        let ends = [None, at(NOW), at(NOW + 1), at(NOW + 30 * DAY), at(NOW + 30 * DAY + 1)];
        let uses = [None, at(NOW - 90 * DAY), at(NOW - 90 * DAY + 1), at(NOW)];
        let mut keys = Vec::new();
        for expires in ends {
            for used in uses {
                for created in [NOW - 90 * DAY, NOW - 90 * DAY + 1].map(Timestamp) {
                    for role in ["super_admin", "admin", "gone"] {
                        for (active, team) in [(true, "web"), (false, "web"), (true, "apps")] {
                            let role = role.to_owned();
                            let key = a_key(&format!("{:010}", keys.len()), team);
                            keys.push((KeyRecord { role, active, created, expires, ..key }, used));
                        }
                    }
                }
            }
        }
        keys
    }

    #[test]
    fn each_figure_is_the_total_of_the_list_with_its_filter() {
        let (keys, policy) = (keys(), Policy::built_in().unwrap());
        let used: HashMap<KeyId, Option<Timestamp>> =
            keys.iter().map(|(key, used)| (key.id, *used)).collect();
        let store = MemoryStore::with(keys.into_iter().map(|(key, _)| key));
        let catalog = loaded(&store);
        let (last_used, now) = (|id| used[&id], Timestamp(NOW));
        let uses = Uses { last_used: &last_used, since: Timestamp(0) };
        let own = ResolvedKey::new(a_key("zzzzzzzzzz", "web"), &policy);
        let everything = Figures {
            total: 360,
            active: 192,
            expiring: 144,
            never_used: 90,
            idle: 90,
            lifetime: 72,
            unrestricted: 120,
        };
        let of_web = Figures {
            total: 240,
            active: 96,
            expiring: 96,
            never_used: 60,
            idle: 60,
            lifetime: 48,
            unrestricted: 80,
        };
        for (powers, expected) in [(Powers::All, everything), (Powers::Of(Box::new(own)), of_web)] {
            let all = PageRequest::default();
            let overview = overview(&store, &catalog, &policy, &powers, &uses, now, &all);
            let (_, figures) = overview.unwrap();
            assert_eq!(figures, expected);
            let total = |filter| {
                let request = PageRequest { filter, ..PageRequest::default() };
                list::page(&store, &catalog, &powers, &uses, now, &request).unwrap().total as u64
            };
            assert_eq!(figures.total, total(Filter::default()));
            for (filter, figure) in filtered() {
                assert_eq!(*figure(&mut figures.clone()), total(filter.clone()), "{filter:?}");
            }
            let all_powerful = Filter { roles: vec!["super_admin".into()], ..Filter::default() };
            assert_eq!(figures.unrestricted, total(all_powerful));
        }
    }
}
