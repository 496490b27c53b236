//! Keys that are not used are found, and none is called unused before that is known.

use std::{fs, time::Instant};

use octavia_authz::pb::v1::{ApiKey, GetStatusRequest, ImportedKey, KeyFilter, ListApiKeysRequest};
use prost_types::{Duration, Timestamp};
use tempfile::TempDir;

use super::{ALLOWED, Use, counted, foreign, get, import, list, millis, now, tick};
use crate::{
    command_line::{admin, run},
    sidecar::{PATIENCE, Sidecar},
};

/// How long a key has to be idle.
const IDLE_MS: i64 = 1000;

/// The names of the keys that `filter` gives, sorted.
async fn found(sidecar: &Sidecar, filter: KeyFilter) -> Vec<String> {
    let request =
        ListApiKeysRequest { filter: Some(filter), order_by: "name".into(), ..Default::default() };
    let page = sidecar.keys().await.list_api_keys(request).await.unwrap().into_inner();
    page.api_keys.into_iter().map(|key| key.name).collect()
}

/// The names of the keys that are unused for so long, sorted.
async fn unused(sidecar: &Sidecar, millis: i64) -> Vec<String> {
    let nanos = i32::try_from(millis % 1000).unwrap() * 1_000_000;
    let unused_for = Some(Duration { seconds: millis / 1000, nanos });
    found(sidecar, KeyFilter { unused_for, ..Default::default() }).await
}

fn names(keys: Vec<ApiKey>) -> Vec<String> {
    keys.into_iter().map(|key| key.name).collect()
}

/// Waits until exactly these are unused for [`IDLE_MS`].
async fn until_unused(sidecar: &Sidecar, expected: &[&str]) {
    let started = Instant::now();
    loop {
        let found = unused(sidecar, IDLE_MS).await;
        if found == expected {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{found:?} instead of {expected:?}");
    }
}

#[tokio::test]
async fn unused_keys_are_found_when_they_are_and_ordered_by_their_last_use() {
    let dir = TempDir::new().unwrap();
    let mut sidecar = Sidecar::start_on(dir.path(), &[]);
    let years_ago = Some(Timestamp { seconds: 1_500_000_000, nanos: 0 });
    let later = Some(Timestamp { seconds: 1_600_000_000, nanos: 0 });
    let keys = vec![
        ImportedKey { last_used_time: later, create_time: years_ago, ..foreign("b: years ago") },
        foreign("a: never"),
        foreign("c: once"),
        foreign("d: now"),
    ];
    import(&sidecar, keys).await;
    assert!(sidecar.authorize("c: once", ALLOWED).await.allowed);
    tick();
    assert!(sidecar.authorize("d: now", ALLOWED).await.allowed);
    for restart in [false, true] {
        if restart {
            sidecar.finish().await;
            sidecar = Sidecar::start_on(dir.path(), &[]);
        }
        let order = ["a: never", "b: years ago", "c: once", "d: now"];
        assert_eq!(names(list(&sidecar, "last_used_time").await), order);
        let never = |never| KeyFilter { never_used: Some(never), ..Default::default() };
        assert_eq!(found(&sidecar, never(true)).await, order[..1]);
        assert_eq!(found(&sidecar, never(false)).await, order[1..]);
        let mut order = order;
        order.reverse();
        assert_eq!(names(list(&sidecar, "last_used_time desc").await), order);
    }
    // None is called unused before it was here for so long.
    assert!(unused(&sidecar, 3_600_000).await.is_empty());
    let started = Instant::now();
    loop {
        assert!(sidecar.authorize("d: now", ALLOWED).await.allowed);
        let asked = now();
        let found = unused(&sidecar, IDLE_MS).await;
        let answered = now();
        for key in list(&sidecar, "name").await {
            let shown = Use::of(&key);
            let idle = shown.since.max(shown.last.unwrap_or(0));
            let is_found = found.contains(&key.name);
            assert!(!is_found || answered - idle >= IDLE_MS, "found too early: {key:?}");
            assert!(is_found || asked - idle < IDLE_MS, "not found: {key:?}");
        }
        if found == ["a: never", "b: years ago", "c: once"] {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{found:?}");
    }
    // A use takes it off the list at once, and to the other end of the order.
    tick();
    assert!(!sidecar.authorize("b: years ago", "articles.publish").await.allowed);
    assert!(!unused(&sidecar, IDLE_MS).await.contains(&"b: years ago".into()));
    assert_eq!(names(list(&sidecar, "last_used_time desc").await)[0], "b: years ago");
    sidecar.finish().await;
}

#[tokio::test]
async fn without_its_files_use_is_known_from_the_start_on_and_no_key_is_unused_before() {
    let dir = TempDir::new().unwrap();
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    let (key, text) = sidecar.create("writer").await;
    assert_eq!(Use::of(&key).since, millis(key.create_time.unwrap()));
    let table = run(admin(&sidecar, &["keys", "list"])).with(0);
    let row =
        |table: &str, id: &str| table.lines().find(|line| line.starts_with(id)).unwrap().to_owned();
    assert!(row(&table, &key.id).contains("never"), "{table}");
    assert!(sidecar.authorize(&text, ALLOWED).await.allowed);
    counted(&sidecar, &key.id, (1, 0)).await;
    until_unused(&sidecar, &["a writer"]).await;
    sidecar.finish().await;

    fs::remove_dir_all(dir.path().join("usage")).unwrap();
    let before = now();
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    let serving = now();
    let (new, _) = sidecar.create("editor").await;
    let lost = Use::of(&get(&sidecar, &key.id).await);
    assert_eq!((lost.counts(), lost.last, lost.secret(1)), ((0, 0), None, None));
    assert!((before..=serving).contains(&lost.since), "{before} {lost:?} {serving}");
    let mut maintenance = sidecar.maintenance_as(&sidecar.operator_token()).await;
    let status = maintenance.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.usage_since_time.map(millis), Some(lost.since));
    drop(maintenance);
    // What was created since is known completely.
    assert_eq!(Use::of(&new).since, millis(new.create_time.unwrap()));
    let table = run(admin(&sidecar, &["keys", "list"])).with(0);
    assert!(row(&table, &key.id).contains("not since"), "{table}");
    assert!(row(&table, &new.id).contains("never"), "{table}");
    loop {
        let found = unused(&sidecar, IDLE_MS).await;
        let answered = now();
        if found.contains(&"a writer".into()) {
            assert!(answered - lost.since >= IDLE_MS, "called unused too early");
            break;
        }
        assert!(answered - lost.since < PATIENCE.as_millis() as i64);
    }
    // A use that is known again.
    assert!(sidecar.authorize(&text, ALLOWED).await.allowed);
    let used = counted(&sidecar, &key.id, (1, 0)).await;
    assert_eq!((used.since, used.secret(1)), (lost.since, used.last));
    sidecar.finish().await;
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    assert_eq!(Use::of(&get(&sidecar, &key.id).await), used);
    sidecar.finish().await;
}
