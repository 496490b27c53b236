//! Last uses read ahead are those that are asked for one by one.

use super::*;

#[test]
fn keys_have_their_last_uses_in_whatever_order_they_are_asked_for() {
    let data = Data::new();
    let usage = data.open();
    // More than are read in one go, and as many between them that were not used.
    let mut ids: Vec<_> = (0..5000).map(|_| KeyId::generate().unwrap()).collect();
    for (number, id) in ids.iter().enumerate().filter(|(number, _)| number % 2 == 0) {
        usage.set_last_used(*id, after(-i64::try_from(number).unwrap())).unwrap();
    }
    let mut used = 0;
    let mut check = |ids: &[KeyId]| {
        let mut last_uses = usage.last_uses();
        for id in ids {
            // Twice: a filter may ask, and then an order.
            assert_eq!([last_uses.of(*id), last_uses.of(*id)], [usage.last_used(*id); 2]);
            used += usize::from(usage.last_used(*id).is_some());
        }
    };
    check(&ids);
    ids.sort_unstable();
    check(&ids);
    check(&ids[2500..]);
    ids.reverse();
    check(&ids);
    assert_eq!(
        used,
        3 * 2500 + ids[..2500].iter().filter(|id| usage.last_used(**id).is_some()).count()
    );
}

#[test]
fn a_use_is_known_to_who_asks_after_it_was_collected() {
    let data = Data::new();
    let usage = data.open();
    let key = key(&[1]);
    let cell = usage.cell(&key);
    cell.touch(1, after(1));
    assert_eq!(usage.last_uses().of(key.id), None);
    usage.collect().unwrap();
    assert_eq!(usage.last_uses().of(key.id), Some(after(1)));
    usage.forget(key.id);
    assert_eq!(usage.last_uses().of(key.id), None);
}
