//! Pages before pages.

use super::*;

fn ids(page: &Page) -> Vec<KeyId> {
    page.keys.iter().map(|key| key.id).collect()
}

/// The page of `token`, of `size` keys in the order of ids.
fn page_of(shop: &Shop, size: usize, token: &str) -> Page {
    let token = token.to_owned();
    shop.page(&PageRequest { size, token, ..PageRequest::default() }).unwrap()
}

proptest! {
    #[test]
    fn steps_on_and_back_of_any_size_show_what_lies_there(
        known in collection::vec(known(), 0..60).prop_map(distinct),
        filter in filter(), order in order(), first in 1_usize..9,
        steps in collection::vec((any::<bool>(), 1_usize..9), 0..30),
    ) {
        let shop = Shop::new(&known, Timestamp(0), Powers::All);
        let is_in = |known: &Known| belongs(known, &filter, Timestamp(0), &shop.powers);
        let list = sorted(known.iter().filter(|known| is_in(known)).cloned().collect(), order);
        let mut request = PageRequest { size: first, order, filter, ..PageRequest::default() };
        let mut page = shop.page(&request).unwrap();
        let (mut start, mut end) = (0, first.min(list.len()));
        let look = |page: &Page, start: usize, end: usize| {
            prop_assert_eq!(&ids(page)[..], &list[start..end]);
            prop_assert_eq!(page.total, list.len());
            prop_assert_eq!(page.previous.is_empty(), start == 0);
            prop_assert_eq!(page.next.is_empty(), end == list.len());
            Ok(())
        };
        look(&page, start, end)?;
        for (back, size) in steps {
            let token = if back { page.previous.clone() } else { page.next.clone() };
            if token.is_empty() {
                continue;
            }
            (start, end) = match back {
                true => (start.saturating_sub(size), start),
                false => (end, list.len().min(end + size)),
            };
            (request.size, request.token) = (size, token);
            page = shop.page(&request).unwrap();
            look(&page, start, end)?;
        }
    }
}

#[test]
fn what_is_left_before_a_page_is_a_short_first_page() {
    let known = some_keys();
    let shop = Shop::new(&known, NOW, Powers::All);
    let id = |number: usize| known[number].key.id;
    let first = page_of(&shop, 8, "");
    let second = page_of(&shop, 8, &first.next);
    for number in 0..5 {
        shop.store.remove(id(number));
    }
    let before = page_of(&shop, 8, &second.previous);
    assert_eq!(ids(&before), [id(5), id(6), id(7)]);
    assert_eq!(before.previous, "");
    assert_eq!(ids(&page_of(&shop, 8, &before.next)), ids(&second));
}

#[test]
fn an_empty_page_leads_to_all_that_lies_beside_it() {
    let known = some_keys();
    let shop = Shop::new(&known, NOW, Powers::All);
    let first = page_of(&shop, 8, "");
    let second = page_of(&shop, 8, &first.next);
    for known in &known[16..] {
        shop.store.remove(known.key.id);
    }
    let third = page_of(&shop, 8, &second.next);
    assert_eq!((ids(&third), &*third.next), (Vec::new(), ""));
    let again = page_of(&shop, 8, &third.previous);
    assert_eq!(ids(&again), ids(&second));
    for known in &known[..8] {
        shop.store.remove(known.key.id);
    }
    let none = page_of(&shop, 8, &again.previous);
    assert_eq!((ids(&none), &*none.previous), (Vec::new(), ""));
    let again = page_of(&shop, 8, &none.next);
    assert_eq!(ids(&again), ids(&second));
    // A whole list that is gone, seen from both sides.
    for known in &known[8..16] {
        shop.store.remove(known.key.id);
    }
    let none = page_of(&shop, 8, &again.previous);
    let none = page_of(&shop, 8, &none.next);
    assert_eq!((ids(&none), &*none.next), (Vec::new(), ""));
    assert_eq!(ids(&page_of(&shop, 8, &none.previous)), []);
}

#[test]
fn large_keys_make_pages_short_on_the_way_back_too() {
    let mut known = some_keys();
    for known in &mut known {
        known.key.description = "x".repeat(MAX_REPLY / 3);
    }
    let shop = Shop::new(&known, NOW, Powers::All);
    let mut page = page_of(&shop, 0, "");
    let mut there = ids(&page);
    while !page.next.is_empty() {
        page = page_of(&shop, 0, &page.next);
        there.extend(ids(&page));
    }
    let mut back = vec![ids(&page)];
    while !page.previous.is_empty() {
        page = page_of(&shop, 0, &page.previous);
        assert_eq!(page.keys.len(), 2);
        back.push(ids(&page));
    }
    back.reverse();
    assert_eq!(back.concat(), there);
}
