//! What is read when a scraper asks: the state of the store, the keys, the cache, the disk.
//!
//! INVARIANT: what cannot be read is left out, and keeps nothing alive: a scrape after the end finds
//! nothing. Made by `Server::start`.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, registry::Unit};

use crate::{
    authorizer::Authorizer,
    clock::Timestamp,
    grpc::hex,
    keyring::{Keyring, Tally},
    metrics::scrape::Scrape,
    store::{Embedded, Store as _},
    usage::{Usage, WeakUsage},
};

/// Reads the parts of a sidecar.
pub(super) struct Gauges {
    store: Weak<Embedded>,
    authorizer: Weak<Authorizer>,
    tally: Tally,
    usage: WeakUsage,
}

impl Gauges {
    pub(super) fn new(
        store: &Arc<Embedded>,
        authorizer: &Arc<Authorizer>,
        keyring: &Keyring,
        usage: &Usage,
    ) -> Self {
        Self {
            store: Arc::downgrade(store),
            authorizer: Arc::downgrade(authorizer),
            tally: keyring.tally(),
            usage: usage.downgrade(),
        }
    }

    fn keys(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        // Not before the keys were read.
        let Some(counts) = self.tally.counts() else { return Ok(()) };
        let by_status =
            [("active", counts.active), ("inactive", counts.inactive), ("expired", counts.expired)];
        scrape.gauges("keys", "Keys that there are, by status", "status", &by_status)?;
        let expiring = [("7d", counts.expiring_in_7_days), ("30d", counts.expiring_in_30_days)];
        let help = "Active keys that expire within this time; the longer holds the shorter";
        scrape.gauges("keys_expiring", help, "within", &expiring)
    }

    fn store(&self, store: &Embedded, scrape: &mut Scrape<'_>) -> fmt::Result {
        let bytes = Some(&Unit::Bytes);
        let disk = store.disk_use();
        for (name, help, value) in [
            ("journal", "Size of the journal, which is the audit log", disk.journal),
            ("state", "Size of the state on the disk", disk.state),
            (
                "usage",
                "Size of the usage of keys on the disk",
                self.usage.upgrade().and_then(|usage| usage.disk_use()),
            ),
            ("disk_free", "Room that is left on the disk of the data directory", disk.free),
        ] {
            if let Some(value) = value {
                scrape.gauge(name, help, bytes, value)?;
            }
        }
        scrape.gauge(
            "revision",
            "The newest revision that is decided on",
            None,
            store.revision(),
        )?;
        let help = "How far what is decided on may be behind; the store is here, so nothing";
        scrape.gauge("staleness", help, Some(&Unit::Seconds), 0_u64)?;
        let sequence = store.summary().revision;
        let help = "Number of the last event in the audit log";
        scrape.gauge("audit_sequence", help, None, sequence)
    }
}

impl Collector for Gauges {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut scrape = Scrape(encoder);
        if let Some(authorizer) = self.authorizer.upgrade() {
            let help = "Resolved keys in the cache";
            scrape.gauge("cache_entries", help, None, authorizer.cached_keys())?;
            let digest = hex(authorizer.policy().digest());
            scrape.info("policy", "The policy in force", "digest", &digest)?;
        }
        if let Some(store) = self.store.upgrade() {
            self.keys(&mut scrape)?;
            self.store(&store, &mut scrape)?;
        }
        if let Some(at) = self.usage.upgrade().and_then(|usage| usage.flushed()) {
            let help = "When the usage of keys was last known to be on the disk";
            scrape.gauge("usage_written_timestamp", help, Some(&Unit::Seconds), seconds(at))?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit 53 bits")]
fn seconds(at: Timestamp) -> f64 {
    at.0 as f64 / 1e3
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}
