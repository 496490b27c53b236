//! A key says how often it was allowed and denied by day, also after a restart.

use octavia_authz::pb::v1::{DailyUsage, GetApiKeyRequest};
use tempfile::TempDir;

use super::{ALLOWED, DENIED, millis, now};
use crate::sidecar::Sidecar;

const DAY: i64 = 86_400_000;

async fn daily(sidecar: &Sidecar, id: &str) -> Vec<DailyUsage> {
    let request = GetApiKeyRequest { id: id.into() };
    sidecar.keys().await.get_api_key(request).await.unwrap().into_inner().daily_usage
}

#[tokio::test]
async fn a_key_tells_how_often_it_was_allowed_and_denied_today() {
    let dir = TempDir::new().unwrap();
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    let (key, text) = sidecar.create("writer").await;
    let (unused, _) = sidecar.create("writer").await;
    let began = now();
    for action in [ALLOWED, DENIED, ALLOWED, ALLOWED, DENIED] {
        sidecar.authorize(&text, action).await;
    }
    let told = daily(&sidecar, &key.id).await;
    // Two days, if midnight was between.
    assert_eq!(told.iter().map(|day| day.allowed_count).sum::<u64>(), 3, "{told:?}");
    assert_eq!(told.iter().map(|day| day.denied_count).sum::<u64>(), 2, "{told:?}");
    let days: Vec<_> = told.iter().map(|day| millis(day.start_time.unwrap())).collect();
    assert!(days.is_sorted() && days.iter().all(|day| day % DAY == 0), "{told:?}");
    let (first, last) = (began - began % DAY, now());
    assert!(days.iter().all(|day| (first..=last).contains(day)), "{told:?}");
    assert_eq!(daily(&sidecar, &unused.id).await, []);
    sidecar.finish().await;
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    assert_eq!(daily(&sidecar, &key.id).await, told);
    sidecar.finish().await;
}
