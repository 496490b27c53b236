//! SIGKILL: what was used at most one flush interval before is known, and nothing
//! is known that was not so.
//!
//! A flush that wrote something changes the file `synced`, last of all. What was
//! noted before such a change is written when two more were seen: the first may
//! have been under way at the time, the second was not.

use std::{fs, path::Path, time::Duration};

use tempfile::TempDir;

use super::{ALLOWED, DENIED, Use, asks, get, now, shown};
use crate::sidecar::{PATIENCE, Sidecar};

const INTERVAL: Duration = Duration::from_millis(200);
/// What a flush and a loaded machine may take beside that.
const SLACK: Duration = Duration::from_secs(2);

fn synced(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("usage/synced")).unwrap_or_default()
}

#[tokio::test]
async fn after_a_kill_a_last_use_is_at_most_a_flush_interval_old_and_no_count_too_high() {
    let dir = TempDir::new().unwrap();
    let args = ["--usage-flush-interval", "200ms"];
    let mut sidecar = Sidecar::start_on(dir.path(), &args);
    let (key, text) = sidecar.create("writer").await;
    let (once, once_text) = sidecar.create("writer").await;
    assert!(!sidecar.authorize(&once_text, DENIED).await.allowed);
    let noted_once = shown(&sidecar, &once.id).await;
    // Used for longer than interval and slack; and killed early.
    for lasts in [INTERVAL + SLACK + INTERVAL, Duration::ZERO] {
        let base = shown(&sidecar, &key.id).await;
        let mut client = sidecar.authorization().await;
        let mut last_synced = synced(dir.path());
        // When each use began, at the earliest, and what was shown after each flush.
        let (mut begun, mut noted) = (Vec::new(), Vec::new());
        let started = now();
        while noted.len() < 4 || now() - started < lasts.as_millis() as i64 {
            begun.push(now());
            assert!(client.authorize(asks(&text, ALLOWED)).await.unwrap().into_inner().allowed);
            let synced = synced(dir.path());
            if synced != last_synced {
                last_synced = synced;
                let used = Use::of(&get(&sidecar, &key.id).await);
                assert_eq!(used.allowed, base.allowed + begun.len() as u64);
                noted.push(used);
            }
            assert!(now() - started < PATIENCE.as_millis() as i64, "nothing is flushed");
        }
        sidecar.kill();
        sidecar = Sidecar::start_on(dir.path(), &args);
        let known = shown(&sidecar, &key.id).await;
        let sent = base.allowed + begun.len() as u64;
        assert!(known.allowed <= sent && known.denied == 0, "{sent} sent: {known:?}");
        let written = &noted[noted.len() - 3];
        known.assert_not_before(written);
        known.assert_not_before(&base);
        assert_eq!(known.since, base.since);
        let age = begun.last().unwrap() - known.last.unwrap();
        let allowed = (INTERVAL + SLACK).as_millis() as i64;
        assert!(age <= allowed, "{age} ms old after a kill");
        assert!(known.last.unwrap() <= now());
        // A use long before is there as it was.
        assert_eq!(shown(&sidecar, &once.id).await, noted_once);
    }
    // It goes on where it was.
    let known = shown(&sidecar, &key.id).await;
    assert!(!sidecar.authorize(&text, DENIED).await.allowed);
    let used = shown(&sidecar, &key.id).await;
    assert_eq!(used.counts(), (known.allowed, known.denied + 1));
    used.assert_not_before(&known);
    sidecar.finish().await;
}
