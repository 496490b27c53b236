//! Deletes old history at a start and then every hour.
//!
//! INVARIANT: on a thread that nothing waits for; what fails is logged and tried again,
//! and stops nothing. Called by `server`.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::{Clock, Timestamp},
    store::Embedded,
};

/// How often it is looked for old history.
const PERIOD: Duration = Duration::from_secs(60 * 60);

/// Deletes, again and again, what is older than `age`.
pub(super) async fn run(store: Arc<Embedded>, age: Duration, clock: Clock) {
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        // The first one comes at once.
        ticks.tick().await;
        let (store, now) = (Arc::clone(&store), clock.now());
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp(now.0.saturating_sub(age));
        let forgotten = tokio::task::spawn_blocking(move || store.forget(before, now)).await;
        match forgotten {
            Ok(Ok(forgotten)) if forgotten.postponed => {
                tracing::info!("old history is deleted later: a backup is being made");
            }
            Ok(Ok(forgotten)) if forgotten.segments > 0 => tracing::info!(
                segments = forgotten.segments,
                last_change = forgotten.last,
                "deleted old history; a snapshot of the state stands in its place"
            ),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "old history could not be deleted; it is tried again in an hour");
            }
            Err(_) => tracing::warn!("old history could not be deleted: a defect"),
        }
    }
}
