//! Finding keys: every filter and order of a list, and that it shows what is.

use std::{cmp::Ordering, collections::HashMap, time::SystemTime};

use octavia_authz::pb::v1::{
    ApiKey, CreateApiKeyRequest, KeyFilter, ListApiKeysRequest, ListApiKeysResponse,
    RevokeApiKeyRequest,
};
use prost_types::{Duration, Timestamp};
use tempfile::TempDir;

use super::{create, invalid_fields, new_key, switched_off, update};
use crate::sidecar::{PATIENCE, Sidecar};

const DAY: i64 = 24 * 60 * 60;

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn in_days(days: i64) -> Option<Timestamp> {
    let now = Timestamp::from(SystemTime::now());
    Some(Timestamp { seconds: now.seconds + days * DAY, nanos: now.nanos })
}

fn labels(labels: &[(&str, &str)]) -> HashMap<String, String> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn list(sidecar: &Sidecar, request: ListApiKeysRequest) -> ListApiKeysResponse {
    sidecar.keys().await.list_api_keys(request).await.unwrap().into_inner()
}

/// All pages of `size` keys, one after the other.
async fn all(sidecar: &Sidecar, page_size: i32, order_by: &str, filter: &KeyFilter) -> Vec<ApiKey> {
    let mut request = ListApiKeysRequest {
        page_size,
        order_by: order_by.to_owned(),
        filter: Some(filter.clone()),
        ..Default::default()
    };
    let (mut keys, mut totals) = (Vec::new(), Vec::new());
    loop {
        let page = list(sidecar, request.clone()).await;
        keys.extend(page.api_keys);
        totals.push(page.total_size);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert!(totals.iter().all(|total| *total == keys.len() as i64), "{totals:?}");
    keys
}

/// The names of the keys that `filter` gives, sorted.
async fn names(sidecar: &Sidecar, filter: KeyFilter) -> Vec<String> {
    let keys = all(sidecar, 2, "name", &filter).await;
    keys.into_iter().map(|key| key.name).collect()
}

fn instant(at: &Option<Timestamp>) -> Option<(i64, i32)> {
    at.as_ref().map(|at| (at.seconds, at.nanos))
}

#[tokio::test]
async fn every_order_gives_every_key_once_and_in_order() {
    let sidecar = Sidecar::start();
    let mut made = Vec::new();
    for number in 0..24_i64 {
        let new = CreateApiKeyRequest {
            name: ["Beta", "alpha", "Ämter", "beta", "alpha"][number as usize % 5].to_owned(),
            expire_time: if number % 3 == 0 { None } else { in_days(1 + number % 4) },
            ..new_key("read_only", "web")
        };
        made.push(create(&sidecar, new).await.0);
    }
    let mut keys = sidecar.keys().await;
    for key in made.iter_mut().step_by(3) {
        let change = update(&key.id, &["status"], switched_off());
        *key = keys.update_api_key(change).await.unwrap().into_inner().api_key.unwrap();
    }
    type Compare = fn(&ApiKey, &ApiKey) -> Ordering;
    let orders: [(&str, Compare); 6] = [
        ("id", |left, right| left.id.cmp(&right.id)),
        ("name", |left, right| left.name.cmp(&right.name)),
        ("create_time", |l, r| instant(&l.create_time).cmp(&instant(&r.create_time))),
        ("update_time", |l, r| instant(&l.update_time).cmp(&instant(&r.update_time))),
        ("expire_time", |left, right| {
            let place = |key: &ApiKey| instant(&key.expire_time).unwrap_or((i64::MAX, 0));
            place(left).cmp(&place(right))
        }),
        // None was used.
        ("last_used_time", |_, _| Ordering::Equal),
    ];
    for (order, compare) in orders {
        for (text, reversed) in [(order.to_owned(), false), (format!("{order} desc"), true)] {
            made.sort_by(|left, right| {
                let ordering = compare(left, right);
                let ordering = if reversed { ordering.reverse() } else { ordering };
                ordering.then(left.id.cmp(&right.id))
            });
            for size in [1, 5, 24, 100] {
                let listed = all(&sidecar, size, &text, &KeyFilter::default()).await;
                assert_eq!(listed, made, "{text}, pages of {size}");
            }
        }
    }
    let unset = all(&sidecar, 7, "", &KeyFilter::default()).await;
    assert_eq!(unset, all(&sidecar, 7, "id", &KeyFilter::default()).await);
    sidecar.finish().await;
}

#[tokio::test]
async fn keys_are_found_by_when_they_expire() {
    let sidecar = Sidecar::start();
    // One that expires while the test waits for it.
    let soon = SystemTime::now() + std::time::Duration::from_millis(500);
    for (name, expire_time) in [
        ("expired", Some(soon.into())),
        ("in 2 days", in_days(2)),
        ("in 20 days", in_days(20)),
        ("lifetime", None),
    ] {
        let new =
            CreateApiKeyRequest { name: name.into(), expire_time, ..new_key("read_only", "web") };
        create(&sidecar, new).await;
    }
    let expired = |expired| KeyFilter { expired: Some(expired), ..Default::default() };
    let started = SystemTime::now();
    while names(&sidecar, expired(true)).await.is_empty() {
        assert!(started.elapsed().unwrap() < PATIENCE);
    }
    let within = |time| KeyFilter { expires_within: time, ..Default::default() };
    let lifetime = |lifetime| KeyFilter { lifetime: Some(lifetime), ..Default::default() };
    let both = |one: KeyFilter, other: KeyFilter| KeyFilter {
        expired: one.expired,
        lifetime: other.lifetime,
        expires_within: other.expires_within,
        ..Default::default()
    };
    let cases: [(KeyFilter, &[&str]); 13] = [
        (expired(true), &["expired"]),
        (expired(false), &["in 2 days", "in 20 days", "lifetime"]),
        (lifetime(true), &["lifetime"]),
        (lifetime(false), &["expired", "in 2 days", "in 20 days"]),
        (within(seconds(0)), &[]),
        (within(seconds(DAY)), &[]),
        (within(seconds(3 * DAY)), &["in 2 days"]),
        (within(seconds(21 * DAY)), &["in 2 days", "in 20 days"]),
        (within(seconds(315_576_000_000)), &["in 2 days", "in 20 days"]),
        (both(expired(false), lifetime(false)), &["in 2 days", "in 20 days"]),
        (both(expired(false), within(seconds(3 * DAY))), &["in 2 days"]),
        // Nothing is both.
        (both(expired(true), lifetime(true)), &[]),
        (both(expired(true), within(seconds(21 * DAY))), &[]),
    ];
    for (filter, expected) in cases {
        assert_eq!(names(&sidecar, filter.clone()).await, expected, "{filter:?}");
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn keys_are_found_by_all_their_labels_and_by_how_long_they_were_not_used() {
    let sidecar = Sidecar::start();
    for (name, pairs) in [
        ("both", &[("env", "prod"), ("owner", "Zoë")][..]),
        ("none", &[]),
        ("prod", &[("env", "prod")]),
        ("swapped", &[("prod", "env")]),
        ("test", &[("env", "test"), ("owner", "Zoë")]),
    ] {
        let new = CreateApiKeyRequest {
            name: name.into(),
            labels: labels(pairs),
            ..new_key("read_only", "web")
        };
        create(&sidecar, new).await;
    }
    let labelled = |pairs: &[_]| KeyFilter { labels: labels(pairs), ..Default::default() };
    let unused = |time| KeyFilter { unused_for: time, ..Default::default() };
    let everyone = ["both", "none", "prod", "swapped", "test"];
    let cases: [(KeyFilter, &[&str]); 9] = [
        (labelled(&[]), &everyone),
        (labelled(&[("env", "prod")]), &["both", "prod"]),
        (labelled(&[("owner", "Zoë")]), &["both", "test"]),
        (labelled(&[("owner", "Zoë"), ("env", "prod")]), &["both"]),
        (labelled(&[("env", "PROD")]), &[]),
        (labelled(&[("env", "")]), &[]),
        (labelled(&[("", "")]), &[]),
        (unused(seconds(0)), &everyone),
        (unused(seconds(DAY)), &[]),
    ];
    for (filter, expected) in cases {
        assert_eq!(names(&sidecar, filter.clone()).await, expected, "{filter:?}");
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn what_no_list_can_be_is_an_invalid_argument() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    for order in ["x", "name asc", "NAME", "name,id", " ", "désc", &"x".repeat(100_000)] {
        let request = ListApiKeysRequest { order_by: order.into(), ..Default::default() };
        let status = keys.list_api_keys(request).await.unwrap_err();
        assert_eq!(invalid_fields(&status), ["order_by"], "{order}");
        assert!(status.message().contains("`last_used_time`"), "{}", status.message());
    }
    for (seconds, nanos) in
        [(-1, 0), (0, -1), (1, -1), (0, 1_000_000_000), (315_576_000_001, 0), (i64::MAX, 0)]
    {
        let time = Some(Duration { seconds, nanos });
        let filter = KeyFilter { unused_for: time, expires_within: time, ..Default::default() };
        let request = ListApiKeysRequest { filter: Some(filter), ..Default::default() };
        let status = keys.list_api_keys(request).await.unwrap_err();
        assert_eq!(invalid_fields(&status), ["filter.unused_for", "filter.expires_within"]);
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn a_page_token_is_for_its_own_filter_and_order_even_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    for number in 0..12 {
        let name = format!("key {number:02}");
        create(&sidecar, CreateApiKeyRequest { name, ..new_key("read_only", "web") }).await;
    }
    let filter = Some(KeyFilter { team: "web".into(), ..Default::default() });
    let order_by = "name desc".to_owned();
    let request = ListApiKeysRequest { page_size: 5, order_by, filter, ..Default::default() };
    let first = list(&sidecar, request.clone()).await;
    assert_eq!((first.total_size, &*first.api_keys[4].name), (12, "key 07"));
    let request = ListApiKeysRequest { page_token: first.next_page_token, ..request };
    let second = list(&sidecar, request.clone()).await;
    let mut keys = sidecar.keys().await;
    for other in [
        ListApiKeysRequest { order_by: "name".into(), ..request.clone() },
        ListApiKeysRequest { order_by: String::new(), ..request.clone() },
        ListApiKeysRequest { filter: None, ..request.clone() },
    ] {
        let status = keys.list_api_keys(other).await.unwrap_err();
        assert_eq!(invalid_fields(&status), ["page_token"]);
    }
    sidecar.finish().await;
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    assert_eq!(list(&sidecar, request).await, second);
    assert_eq!((second.total_size, &*second.api_keys[4].name), (12, "key 02"));
    sidecar.finish().await;
}

#[tokio::test]
async fn a_list_shows_every_change_that_was_acknowledged() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let named = |part: &str| KeyFilter { name_contains: part.into(), ..Default::default() };
    for round in 0..20 {
        let (before, after) = (format!("before {round}."), format!("after {round}."));
        let new = CreateApiKeyRequest { name: before.clone(), ..new_key("read_only", "web") };
        let (key, _) = create(&sidecar, new).await;
        assert_eq!(names(&sidecar, named(&before)).await, [&*before]);
        let values =
            ApiKey { name: after.clone(), labels: labels(&[("a", "b")]), ..switched_off() };
        let change = update(
            &key.id,
            &["name", "status", "labels", "role"],
            ApiKey { role: "writer".into(), ..values },
        );
        keys.update_api_key(change).await.unwrap();
        assert!(names(&sidecar, named(&before)).await.is_empty());
        let changed = KeyFilter {
            status: switched_off().status,
            labels: labels(&[("a", "b")]),
            roles: vec!["writer".into()],
            ..named(&after)
        };
        assert_eq!(names(&sidecar, changed.clone()).await, [&*after]);
        let gone = RevokeApiKeyRequest { id: key.id, ..Default::default() };
        keys.revoke_api_key(gone).await.unwrap();
        assert!(names(&sidecar, changed).await.is_empty());
    }
    sidecar.finish().await;
}
