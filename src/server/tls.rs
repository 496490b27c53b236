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
        set = Arc::clone(&sets.borrow_and_update());
        for api in &apis {
            api.connections().end_distrusted(|chain| set.admits(chain));
        }
    }
}
