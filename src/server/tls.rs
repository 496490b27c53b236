//! Follows the certificates: says when they expire, and ends connections whose client a new set
//! does not let in.

use std::sync::Arc;

use tokio::sync::watch;

use super::Api;
use crate::{metrics::TlsMetrics, tls::Set};

/// Follows `sets` for `apis`, as long as there can be a new one.
pub(super) async fn follow(
    mut sets: watch::Receiver<Arc<Set>>,
    apis: Vec<Api>,
    metrics: TlsMetrics,
) {
    let mut set = Arc::clone(&sets.borrow_and_update());
    loop {
        for api in &apis {
            metrics.set_expiry(api.name(), set.expires());
        }
        if sets.changed().await.is_err() {
            return;
        }
        let before = std::mem::replace(&mut set, Arc::clone(&sets.borrow_and_update()));
        // A certificate that has expired since it was shown is no reason.
        if set.trusts_as(&before) {
            continue;
        }
        let (asked, newest) = (apis.clone(), Arc::clone(&set));
        let ended = tokio::task::spawn_blocking(move || {
            for api in asked {
                api.connections().end_distrusted(|chain| newest.admits(chain));
            }
        });
        // One that panicked has said so already.
        let _ = ended.await;
    }
}
