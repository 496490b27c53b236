//! Pages, against a model that filters and sorts all keys.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::LazyLock,
    time::Duration,
};

use proptest::{collection, option, prelude::*, sample::select};

use super::{
    super::{
        catalog::tests::{MemoryStore, a_key, loaded},
        figures::overview,
    },
    *,
};
use crate::{change::Refusal, policy::Policy, resolved_key::ResolvedKey};

mod back;

const NOW: Timestamp = Timestamp(1000);

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy::built_in().unwrap());

/// A key, and when it was last used. Few values, so that many are equal.
#[derive(Clone, Debug)]
struct Known {
    key: KeyRecord,
    used: Option<Timestamp>,
}

fn a_time() -> impl Strategy<Value = Timestamp> {
    select(vec![990, 995, 999, 1000, 1001, 1005, 1010]).prop_map(Timestamp)
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    let text = || select(vec!["a", "b", "ab"]).prop_map(str::to_owned);
    collection::btree_map(text(), text(), 0..3)
}

fn a_role() -> impl Strategy<Value = String> {
    select(vec!["writer", "admin", "gone"]).prop_map(str::to_owned)
}

prop_compose! {
    fn known()(
        id in "[0-9A-Za-z]{10}",
        name in select(vec!["a", "A", "b", "Straße", "STRASSE ß", "ä", "Ä", "key\u{212a}", "ﬀ", "k"]),
        team in select(vec!["web", "apps"]),
        service in select(vec!["ai-cms", "shop"]),
        role in a_role(),
        active in any::<bool>(),
        times in (a_time(), a_time(), option::of(a_time()), option::of(a_time()), option::of(a_time())),
        labels in labels(),
    ) -> Known {
        let (created, updated, expires, imported, used) = times;
        let key = a_key(&id, team);
        let (name, service) = (name.to_owned(), service.to_owned());
        let key = KeyRecord {
            name, service, role, active, created, updated, expires, imported, labels, ..key
        };
        Known { key, used }
    }
}

prop_compose! {
    fn filter()(
        team in option::weighted(0.2, select(vec!["web", "apps", "none"])),
        service in option::weighted(0.2, select(vec!["ai-cms", "shop", "none"])),
        roles in prop_oneof![Just(Vec::new()), collection::vec(a_role(), 0..3)],
        active in option::weighted(0.2, any::<bool>()),
        name in option::weighted(0.2, select(vec!["A", "ss", "ß", "Ä", "K", "", "ff"])),
        times in (option::weighted(0.2, 0..20_u64), option::weighted(0.2, 0..20_u64)),
        expiry in (option::weighted(0.2, any::<bool>()), option::weighted(0.2, any::<bool>())),
        labels in prop_oneof![3 => Just(BTreeMap::new()), 1 => labels()],
        search in option::weighted(0.2, "A|ß|ﬀ|ss|[0-9Aa]{0,2}"),
        never_used in option::weighted(0.2, any::<bool>()),
    ) -> Filter {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Filter {
            team: text(team), service: text(service), roles, active,
            name_contains: text(name), search, never_used,
            unused_for: times.0.map(Duration::from_millis),
            expires_within: times.1.map(Duration::from_millis),
            expired: expiry.0, lifetime: expiry.1, labels,
        }
    }
}

fn order() -> impl Strategy<Value = Order> {
    let fields = vec![By::Id, By::Name, By::Created, By::Updated, By::Expires, By::LastUsed];
    (select(fields), any::<bool>()).prop_map(|(by, descending)| Order { by, descending })
}

/// Whether `known` belongs to the list, said once more.
fn belongs(known: &Known, filter: &Filter, since: Timestamp, powers: &Powers) -> bool {
    let Known { key, used } = known;
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap();
    let expires = key.expires.map(|at| at.0);
    let known_since = key.imported.unwrap_or(key.created).max(since);
    let idle = NOW.0 - used.unwrap_or(known_since).max(known_since).0;
    powers.sees(key)
        && filter.team.as_ref().is_none_or(|team| key.team == *team)
        && filter.service.as_ref().is_none_or(|service| key.service == *service)
        && (filter.roles.is_empty() || filter.roles.contains(&key.role))
        && filter.active.is_none_or(|active| key.active == active)
        && filter
            .name_contains
            .as_ref()
            .is_none_or(|part| key.name.to_lowercase().contains(&part.to_lowercase()))
        && filter.search.as_ref().is_none_or(|text| {
            key.name.to_lowercase().contains(&text.to_lowercase())
                || key.id.to_string().starts_with(text)
        })
        && filter.never_used.is_none_or(|wanted| used.is_none() == wanted)
        && filter.unused_for.is_none_or(|time| idle >= ms(time))
        && filter
            .expires_within
            .is_none_or(|time| expires.is_some_and(|at| at > NOW.0 && at <= NOW.0 + ms(time)))
        && filter.expired.is_none_or(|wanted| expires.is_some_and(|at| at <= NOW.0) == wanted)
        && filter.lifetime.is_none_or(|wanted| expires.is_none() == wanted)
        && filter.labels.iter().all(|(name, value)| key.labels.get(name) == Some(value))
}

/// The list as it should be, said once more.
fn sorted(mut list: Vec<Known>, order: Order) -> Vec<KeyId> {
    list.sort_by(|Known { key: left, used: left_used }, Known { key: right, used: right_used }| {
        let far = Timestamp(i64::MAX);
        let ordering = match order.by {
            By::Id => left.id.cmp(&right.id),
            By::Name => left.name.cmp(&right.name),
            By::Created => left.created.cmp(&right.created),
            By::Updated => left.updated.cmp(&right.updated),
            By::Expires => left.expires.unwrap_or(far).cmp(&right.expires.unwrap_or(far)),
            By::LastUsed => left_used.cmp(right_used),
        };
        let ordering = if order.descending { ordering.reverse() } else { ordering };
        ordering.then(left.id.cmp(&right.id))
    });
    list.into_iter().map(|known| known.key.id).collect()
}

/// A store of keys with a catalog, and when they were used.
struct Shop {
    store: MemoryStore,
    catalog: std::sync::Arc<Catalog>,
    used: HashMap<KeyId, Timestamp>,
    since: Timestamp,
    powers: Powers,
}

impl Shop {
    fn new(known: &[Known], since: Timestamp, powers: Powers) -> Self {
        let store = MemoryStore::with(known.iter().map(|known| known.key.clone()));
        let catalog = loaded(&store);
        let used = known.iter().filter_map(|known| Some((known.key.id, known.used?))).collect();
        Self { store, catalog, used, since, powers }
    }

    fn page(&self, request: &PageRequest) -> Result<Page, CommitError> {
        let uses = Uses { last_used: &|id| self.used.get(&id).copied(), since: self.since };
        let (store, catalog, powers) = (&self.store, &self.catalog, &self.powers);
        let found = page(store, catalog, powers, &uses, NOW, request);
        // On a walk that begins before the page, and goes on behind it.
        let on_the_way = overview(store, catalog, &POLICY, powers, &uses, NOW, request);
        assert_eq!(found.as_ref().ok(), on_the_way.as_ref().ok().map(|(page, _)| page));
        found
    }
}

fn powers(bound: bool) -> Powers {
    if !bound {
        return Powers::All;
    }
    let own = a_key("0000000000", "web");
    Powers::Of(Box::new(ResolvedKey::new(own, &POLICY)))
}

fn distinct(known: Vec<Known>) -> Vec<Known> {
    let mut ids = BTreeSet::new();
    known.into_iter().filter(|known| ids.insert(known.key.id)).collect()
}

proptest! {
    #[test]
    fn pages_together_are_the_whole_list_filtered_and_sorted(
        known in collection::vec(known(), 0..60).prop_map(distinct),
        filter in filter(), order in order(), size in 1_usize..9, since in a_time(),
        bound in any::<bool>(),
    ) {
        let shop = Shop::new(&known, since, powers(bound));
        let is_in = |known: &Known| belongs(known, &filter, since, &shop.powers);
        let expected = sorted(known.iter().filter(|known| is_in(known)).cloned().collect(), order);
        let mut request = PageRequest { size, order, filter, ..PageRequest::default() };
        let mut seen = Vec::new();
        loop {
            let page = shop.page(&request).unwrap();
            prop_assert_eq!(page.total, expected.len());
            let whole = page.keys.len() == size || page.next.is_empty();
            prop_assert!(whole, "a page is full, or the last");
            seen.extend(page.keys.iter().map(|key| key.id));
            if page.next.is_empty() {
                break;
            }
            request.token = page.next;
        }
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn keys_that_come_and_go_between_pages_hide_and_repeat_no_other(
        known in collection::vec(known(), 10..60).prop_map(distinct),
        coming in collection::vec(known(), 0..30),
        filter in filter(), order in order(), size in 1_usize..5,
        going in collection::vec(any::<prop::sample::Index>(), 0..30), back in any::<bool>(),
    ) {
        let mut shop = Shop::new(&known, Timestamp(0), Powers::All);
        let mut all: HashMap<_, _> = known.iter().map(|known| (known.key.id, known.clone())).collect();
        let mut throughout: BTreeSet<_> = all.keys().copied().collect();
        let (mut coming, mut going) = (coming.into_iter(), going.into_iter());
        let mut request = PageRequest { size, order, filter: filter.clone(), ..Default::default() };
        let mut page = shop.page(&request).unwrap();
        while back && !page.next.is_empty() {
            request.token = page.next;
            page = shop.page(&request).unwrap();
        }
        let mut seen: Vec<KeyId> = Vec::new();
        loop {
            let mut shown: Vec<_> = page.keys.iter().map(|key| key.id).collect();
            if back {
                shown.reverse();
            }
            seen.extend(shown);
            request.token = if back { page.previous } else { page.next };
            if request.token.is_empty() {
                break;
            }
            // One goes that was there from the start, one that was shown last, one comes.
            let last = seen.last().copied().filter(|_| seen.len().is_multiple_of(2));
            let other = going.next().map(|index| index.get(&known).key.id);
            for id in [last, other].into_iter().flatten() {
                throughout.remove(&id);
                shop.store.remove(id);
            }
            if let Some(new) = coming.next().filter(|new| !all.contains_key(&new.key.id)) {
                shop.used.extend(new.used.map(|used| (new.key.id, used)));
                shop.store.put(new.key.clone());
                all.insert(new.key.id, new);
            }
            page = shop.page(&request).unwrap();
        }
        if back {
            seen.reverse();
        }
        let once: BTreeSet<_> = seen.iter().copied().collect();
        prop_assert_eq!(once.len(), seen.len(), "a key was shown twice");
        let in_order = sorted(seen.iter().map(|id| all[id].clone()).collect(), order);
        prop_assert_eq!(&in_order, &seen);
        for id in throughout {
            let is_in = belongs(&all[&id], &filter, Timestamp(0), &Powers::All);
            prop_assert_eq!(once.contains(&id), is_in, "{}", id);
        }
    }

    #[test]
    fn no_text_but_a_page_token_is_taken_for_one(text in "\\PC*|[0-9a-f]{0,200}") {
        prop_assume!(!text.is_empty());
        let shop = Shop::new(&[], NOW, Powers::All);
        let refused = shop.page(&PageRequest { token: text, ..Default::default() });
        prop_assert!(is_refused(refused));
    }
}

fn is_refused(page: Result<Page, CommitError>) -> bool {
    let Err(CommitError::Refused(Refusal::Invalid(violations))) = page else { return false };
    violations.len() == 1 && violations[0].field == "page_token"
}

fn some_keys() -> Vec<Known> {
    let key = |number| a_key(&format!("{number:010}"), "web");
    (0..20).map(|number| Known { key: key(number), used: None }).collect()
}

#[test]
fn a_token_is_for_its_own_filter_and_order_and_whole() {
    let shop = Shop::new(&some_keys(), NOW, Powers::All);
    let filter = Filter {
        roles: vec!["admin".to_owned(), "writer".to_owned()],
        name_contains: Some("KEY".to_owned()),
        ..Filter::default()
    };
    let order = Order { by: By::Name, descending: true };
    let request = PageRequest { size: 3, order, filter, token: String::new() };
    let token = shop.page(&request).unwrap().next;
    let request = PageRequest { token: token.clone(), ..request };
    assert_eq!(shop.page(&request).unwrap().keys.len(), 3);
    // Another size, and the same filter in other words.
    let mut same = PageRequest { size: 5, ..request.clone() };
    same.filter.roles.reverse();
    same.filter.name_contains = Some("key".to_owned());
    assert_eq!(shop.page(&same).unwrap().keys.len(), 5);

    let changes: [fn(&mut PageRequest); 18] = [
        |request| request.order.descending = false,
        |request| request.order.by = By::Id,
        |request| request.order.by = By::Updated,
        |request| request.filter.team = Some(String::new()),
        |request| request.filter.service = Some("ai-cms".to_owned()),
        |request| request.filter.roles.clear(),
        |request| request.filter.roles.push("gone".to_owned()),
        |request| request.filter.active = Some(true),
        |request| request.filter.expired = Some(true),
        |request| request.filter.lifetime = Some(true),
        |request| request.filter.name_contains = None,
        |request| request.filter.search = Some(String::new()),
        |request| request.filter.never_used = Some(true),
        |request| request.filter.unused_for = Some(Duration::ZERO),
        |request| request.filter.expires_within = Some(Duration::ZERO),
        |request| request.filter.labels = BTreeMap::from([(String::new(), String::new())]),
        |request| request.token.truncate(30),
        |request| request.token.push_str("00"),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut other = request.clone();
        change(&mut other);
        assert!(is_refused(shop.page(&other)), "change {number}");
    }
    for place in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
        let other = PageRequest { token: String::from_utf8(bytes).unwrap(), ..request.clone() };
        assert!(is_refused(shop.page(&other)), "digit {place}");
    }
}

#[test]
fn a_key_that_is_gone_before_it_is_read_makes_its_page_short_and_ends_nothing() {
    let known = some_keys();
    let shop = Shop::new(&known, NOW, Powers::All);
    // Gone from the store; the catalog has not been told yet.
    for number in [0, 1, 2, 3, 7] {
        shop.store.remove_untold(known[number].key.id);
    }
    let mut request = PageRequest { size: 4, ..PageRequest::default() };
    let mut lengths = Vec::new();
    loop {
        let page = shop.page(&request).unwrap();
        lengths.push(page.keys.len());
        if page.next.is_empty() {
            break;
        }
        request.token = page.next;
    }
    assert_eq!(lengths, [0, 3, 4, 4, 4]);
}

#[test]
fn a_class_that_takes_the_number_of_another_is_decided_anew() {
    let shop = Shop::new(&[], NOW, powers(true));
    let (filter, uses) = (Filter::default(), Uses { last_used: &|_| None, since: NOW });
    let mut matcher = Matcher::new(&filter, &shop.powers, &uses, NOW, shop.catalog.labels());
    let mut seen = Vec::new();
    for team in ["web", "apps", "web"] {
        shop.store.put(a_key("0000000001", team));
        shop.catalog.walk(None, |classes, id, card| {
            seen.push((card.class(), matcher.matches(classes, id, card)));
            ControlFlow::Continue(())
        });
        shop.store.remove(a_key("0000000001", team).id);
    }
    assert_eq!(seen, [(0, true), (0, false), (0, true)]);
}

#[test]
fn an_order_is_a_known_field_and_at_most_desc() {
    for (text, by, descending) in [
        ("", By::Id, false),
        ("id", By::Id, false),
        ("id desc", By::Id, true),
        ("name", By::Name, false),
        ("create_time desc", By::Created, true),
        ("update_time", By::Updated, false),
        ("expire_time", By::Expires, false),
        ("last_used_time desc", By::LastUsed, true),
    ] {
        assert_eq!(text.parse::<Order>().unwrap(), Order { by, descending }, "{text}");
    }
    for text in
        [" ", "desc", " desc", "ID", "name asc", "name DESC", "name desc desc", "name, id", "team"]
    {
        let refused = text.parse::<Order>().unwrap_err();
        assert_eq!(refused.field, "order_by");
        assert!(refused.problem.contains("`last_used_time`"), "{}", refused.problem);
    }
}

#[test]
fn expirations_are_filtered_right_up_to_the_ends_of_time() {
    let ends = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 2, i64::MAX - 1, i64::MAX];
    let expires = ends.map(Some).into_iter().chain([None]).enumerate();
    let keys: Vec<_> = expires
        .map(|(number, expires)| {
            let key = a_key(&format!("{number:010}"), "web");
            KeyRecord { expires: expires.map(Timestamp), ..key }
        })
        .collect();
    let catalog = loaded(&MemoryStore::with(keys.iter().cloned()));
    let uses = Uses { last_used: &|_| None, since: NOW };
    let flags = [None, Some(false), Some(true)];
    let spans = [None, Some(Duration::ZERO), Some(Duration::from_millis(1)), Some(Duration::MAX)];
    for now in ends {
        for (expired, lifetime) in flags.iter().flat_map(|flag| flags.map(|other| (*flag, other))) {
            for expires_within in spans {
                let filter = Filter { expired, lifetime, expires_within, ..Filter::default() };
                let powers = Powers::All;
                let (now, labels) = (Timestamp(now), catalog.labels());
                let mut matcher = Matcher::new(&filter, &powers, &uses, now, labels);
                let mut found = Vec::new();
                catalog.walk(None, |classes, id, card| {
                    if matcher.matches(classes, id, card) {
                        found.push(id);
                    }
                    ControlFlow::Continue(())
                });
                let (now, most) = (i128::from(now.0), i128::from(i64::MAX));
                let belongs = |key: &&KeyRecord| {
                    // A card has no room for the last millisecond of all.
                    let expires = key.expires.map(|at| i128::from(at.0).min(most - 1));
                    let left = expires.map(|at| at - now);
                    let within = |span: Duration| {
                        // No longer than a time can be.
                        let span = i128::try_from(span.as_millis()).unwrap().min(most);
                        left.is_some_and(|left| left > 0 && left <= span)
                    };
                    expired.is_none_or(|wanted| left.is_some_and(|left| left <= 0) == wanted)
                        && lifetime.is_none_or(|wanted| expires.is_none() == wanted)
                        && expires_within.is_none_or(within)
                };
                let expected: Vec<_> = keys.iter().filter(belongs).map(|key| key.id).collect();
                assert_eq!(found, expected, "{filter:?} at {now}");
            }
        }
    }
}
