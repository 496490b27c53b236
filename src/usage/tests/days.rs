//! The counts of the last days: what stands on which day, and for how long.

use super::*;

const DAY: i64 = 86_400_000;
/// The midnight before `START`.
const MIDNIGHT: i64 = START.0 - START.0 % DAY;

impl Data {
    /// Noon, so many days after that of `START`.
    fn set_day(&self, day: i64) {
        self.clock.set(Timestamp(MIDNIGHT + day * DAY + DAY / 2));
    }
}

/// So many days after that of `START`.
fn on(day: i64, allowed: u64, denied: u64) -> DayUsage {
    DayUsage { start: Timestamp(MIDNIGHT + day * DAY), allowed, denied }
}

fn days(usage: &Usage, key: &KeyRecord) -> Vec<DayUsage> {
    usage.of(key.id).unwrap().days
}

/// Restores one row, and opens what that made.
fn restored(data: &Data, key: &KeyRecord, stored: StoredUsage) -> Usage {
    Usage::restore(&data.path(), START, [(key.id, stored)]).unwrap();
    data.open()
}

#[test]
fn what_is_recorded_stands_on_the_day_on_which_it_is_collected() {
    let data = Data::new();
    let usage = data.open();
    let key = key(&[1]);
    let cell = usage.cell(&key);
    cell.record(1, START, true);
    cell.record(1, START, false);
    assert_eq!(days(&usage, &key), [on(0, 1, 1)]);
    data.clock.set(Timestamp(MIDNIGHT + DAY - 1));
    cell.record(1, START, true);
    usage.flush().unwrap();
    assert_eq!(days(&usage, &key), [on(0, 2, 1)]);
    cell.record(1, START, false);
    data.clock.set(Timestamp(MIDNIGHT + DAY));
    usage.flush().unwrap();
    let expected = [on(0, 2, 1), on(1, 0, 1)];
    assert_eq!(days(&usage, &key), expected);
    drop((usage, cell));
    let usage = data.open();
    assert_eq!(days(&usage, &key), expected);
    usage.cell(&key).record(1, START, true);
    assert_eq!(days(&usage, &key), [on(0, 2, 1), on(1, 1, 1)]);
    let shown = usage.of(key.id).unwrap();
    assert_eq!((shown.allowed, shown.denied), (3, 2));
}

#[test]
fn the_31st_day_drops_the_oldest_and_no_count_of_the_key() {
    let data = Data::new();
    let usage = data.open();
    let key = key(&[1]);
    let cell = usage.cell(&key);
    for day in 0..31 {
        data.set_day(day);
        (0..=day).for_each(|_| cell.record(1, START, day % 2 == 0));
        usage.flush().unwrap();
        let all = (0..=day).map(|day| (day, u64::try_from(day).unwrap() + 1));
        let all = all.map(|(day, n)| if day % 2 == 0 { on(day, n, 0) } else { on(day, 0, n) });
        let oldest = usize::from(day == 30);
        assert_eq!(days(&usage, &key), all.skip(oldest).collect::<Vec<_>>());
    }
    let shown = usage.of(key.id).unwrap();
    assert_eq!(shown.allowed + shown.denied, (1..=31).sum::<u64>());
    drop((usage, cell));
    let usage = data.open();
    assert_eq!(usage.of(key.id).unwrap(), shown);
}

#[test]
fn days_without_use_are_none_and_let_older_ones_go() {
    let data = Data::new();
    let usage = data.open();
    let key = key(&[1]);
    let cell = usage.cell(&key);
    for (day, expected) in [
        (0, vec![0]),
        (3, vec![0, 3]),
        (29, vec![0, 3, 29]),
        (31, vec![3, 29, 31]),
        (60, vec![31, 60]),
        (90, vec![90]),
        (1000, vec![1000]),
    ] {
        data.set_day(day);
        cell.record(1, START, true);
        let expected: Vec<_> = expected.into_iter().map(|day| on(day, 1, 0)).collect();
        assert_eq!(days(&usage, &key), expected);
        usage.flush().unwrap();
        assert_eq!(days(&usage, &key), expected);
    }
}

#[test]
fn a_new_day_writes_no_row_of_a_key_that_is_not_used() {
    let data = Data::new();
    let usage = data.open();
    let (used, unused) = (key(&[1]), key(&[1]));
    let cell = usage.cell(&used);
    cell.record(1, START, true);
    usage.cell(&unused).record(1, START, true);
    usage.flush().unwrap();
    for day in 1..=40 {
        data.set_day(day);
        cell.record(1, START, true);
        cell.record(1, START, false);
        usage.flush().unwrap();
        assert_eq!(usage.written(), 2 + u64::try_from(day).unwrap());
    }
    assert_eq!(days(&usage, &unused), [on(0, 1, 0)]);
    assert_eq!(days(&usage, &used).len(), 30);
}

#[test]
fn what_counts_nothing_is_on_no_day() {
    let data = Data::new();
    let usage = data.open();
    let (touched, imported) = (key(&[1]), key(&[1]));
    usage.cell(&touched).touch(1, START);
    usage.set_last_used(imported.id, START).unwrap();
    usage.flush().unwrap();
    for key in [touched, imported] {
        let shown = usage.of(key.id).unwrap();
        assert_eq!((shown.last_used, shown.days), (Some(START), Vec::new()));
    }
}

#[test]
fn a_clock_that_is_wrong_for_a_time_does_not_keep_out_the_right_days() {
    let data = Data::new();
    let usage = data.open();
    let key = key(&[1]);
    let cell = usage.cell(&key);
    let count = |now| {
        data.clock.set(now);
        cell.record(1, START, true);
        usage.flush().unwrap();
        days(&usage, &key)
    };
    assert_eq!(count(START), [on(0, 1, 0)]);
    // It does not tell the time: counted, on no day.
    for none in [i64::MAX, i64::MIN, -1] {
        assert_eq!(count(Timestamp(none)), [on(0, 1, 0)]);
    }
    // A day too early, and back.
    let yesterday = Timestamp(START.0 - DAY);
    assert_eq!(count(yesterday), [on(-1, 1, 0), on(0, 1, 0)]);
    assert_eq!(count(START), [on(-1, 1, 0), on(0, 2, 0)]);
    // Far off.
    for wrong in [Timestamp(0), Timestamp(START.0 + 10_000 * DAY)] {
        let first = Timestamp(wrong.0 - wrong.0 % DAY);
        assert_eq!(count(wrong), [DayUsage { start: first, allowed: 1, denied: 0 }]);
        assert_eq!(count(START), [on(0, 1, 0)]);
    }
    assert_eq!(usage.of(key.id).unwrap().allowed, 10);
}

#[test]
fn a_row_from_before_days_were_counted_is_read_and_gets_them_with_use() {
    let data = Data::new();
    let key = key(&[1]);
    let last_used_ms = START.0 - 5 * DAY;
    let old = StoredUsage { last_used_ms, allowed: 7, denied: 2, ..StoredUsage::default() };
    let usage = restored(&data, &key, old.clone());
    assert_eq!(usage.since(), START);
    let shown = usage.of(key.id).unwrap();
    assert_eq!((shown.allowed, shown.denied, &*shown.days), (7, 2, &[][..]));
    assert_eq!(usage.rows().unwrap().map(Result::unwrap).collect::<Vec<_>>(), [(key.id, old)]);
    usage.cell(&key).record(1, START, false);
    let shown = usage.of(key.id).unwrap();
    assert_eq!((shown.allowed, shown.denied, &*shown.days), (7, 3, &[on(0, 0, 1)][..]));
}

#[test]
fn silly_days_in_a_row_do_no_harm() {
    let today = u32::try_from(MIDNIGHT / DAY).unwrap();
    let row = |newest_day, allowed_by_day, denied_by_day| StoredUsage {
        allowed: 5,
        newest_day,
        allowed_by_day,
        denied_by_day,
        ..StoredUsage::default()
    };
    let thirty: Vec<_> = (0..30).rev().map(|back| on(-back, 1, 0)).collect();
    for (stored, read, used) in [
        // More days than are kept.
        (row(today, vec![1; 1000], vec![]), thirty.clone(), {
            [&thirty[..29], &[on(0, 2, 0)]].concat()
        }),
        // Not as many of one as of the other; some with nothing, also at the ends.
        (
            row(today, vec![0, 0, 4], vec![0, 3, 0, 0, 1, 0, 0]),
            vec![on(-4, 0, 1), on(-2, 4, 0), on(-1, 0, 3)],
            vec![on(-4, 0, 1), on(-2, 4, 0), on(-1, 0, 3), on(0, 1, 0)],
        ),
        // No more can be counted.
        (
            row(today, vec![u64::MAX], vec![u64::MAX]),
            vec![on(0, u64::MAX, u64::MAX)],
            vec![on(0, u64::MAX, u64::MAX)],
        ),
        // A day after the end of time.
        (row(u32::MAX, vec![1; 3], vec![2]), vec![], vec![on(0, 1, 0)]),
        (row(2_932_897, vec![1; 3], vec![2]), vec![], vec![on(0, 1, 0)]),
        // Days before 1970.
        (
            row(0, vec![1; 3], vec![]),
            vec![DayUsage { start: Timestamp(0), allowed: 1, denied: 0 }],
            vec![on(0, 1, 0)],
        ),
        (row(today, vec![], vec![]), vec![], vec![on(0, 1, 0)]),
        (row(u32::MAX, vec![], vec![0; 50]), vec![], vec![on(0, 1, 0)]),
    ] {
        let (data, key) = (Data::new(), key(&[1]));
        let usage = restored(&data, &key, stored);
        assert_eq!(days(&usage, &key), read);
        usage.cell(&key).record(1, START, true);
        usage.flush().unwrap();
        assert_eq!(days(&usage, &key), used);
        drop(usage);
        let usage = data.open();
        assert_eq!((usage.since(), usage.of(key.id).unwrap().allowed), (START, 6));
        assert_eq!(days(&usage, &key), used);
    }
}
