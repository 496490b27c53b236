//! What the sidecar tells Prometheus.
//!
//! INVARIANT: nothing here fails a decision, makes it wait, or takes a lock on its way; what callers
//! send or keys say is no label. Made once, in `Server::start`; the handles are passed down to those
//! who count. Gauges are read when a scraper asks, by collectors. Layout: `decisions` and `times` are
//! on the way of a request, out of `sharded` and `histogram`; `text` is what a scraper takes.

mod admin;
mod decisions;
mod handles;
mod histogram;
mod process;
pub(crate) mod scrape;
mod sharded;
mod store;
mod text;
mod times;

use std::{
    fmt,
    sync::{PoisonError, RwLock},
};

use prometheus_client::{
    collector::Collector,
    encoding::{self, DescriptorEncoder},
    metrics::info::Info,
    registry::{Registry, Unit},
};

use self::{admin::AdminTimes, process::Process, scrape::Scrape, sharded::Sharded};
pub use self::{
    admin::{AdminCalls, Call},
    decisions::{Counted, DecisionCounts, NONE, OTHER, RoleCounts},
    handles::{Connected, Count, ListenerMetrics, Listeners, Ready, Reloads, TlsMetrics},
    histogram::Histogram,
    store::{CommitResult, StoreMetrics},
    text::Exposition,
    times::{Api, DecisionTimes, Timer},
};

use crate::telemetry;

/// All names begin with this, but for the process's.
const PREFIX: &str = "octavia_authz";

/// Every metric, and the handles of those who count.
#[derive(Debug)]
pub struct Metrics {
    registry: RwLock<Registry>,
    handles: Handles,
}

/// One handle for each that counts. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Handles {
    /// For the authorizer.
    pub decisions: DecisionMetrics,
    /// For the store.
    pub store: StoreMetrics,
    /// For the admin API.
    pub admin: AdminCalls,
    /// For the listeners.
    pub listeners: Listeners,
    /// For certificates.
    pub tls: TlsMetrics,
    /// For who reads the policy anew.
    pub policy_reloads: Reloads,
    /// Sign-ins to the admin API that failed.
    pub sign_ins_failed: Count,
    /// Whether the sidecar is ready.
    pub ready: Ready,
}

/// What the authorizer counts. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct DecisionMetrics {
    /// Decisions.
    pub counts: DecisionCounts,
    /// How long they take.
    pub times: DecisionTimes,
    /// How often a resolved key was found in the cache, and was not.
    pub cache: CacheCounts,
}

/// How often keys were found in the cache. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct CacheCounts(Sharded<2>);

impl CacheCounts {
    /// A key was found, or had to be looked for in the store.
    #[inline]
    pub fn add(&self, hit: bool) {
        self.0.add(hit.into());
    }

    /// How often one was found.
    pub fn hits(&self) -> u64 {
        self.0.sum(true.into())
    }

    /// How often one was not.
    pub fn misses(&self) -> u64 {
        self.0.sum(false.into())
    }
}

impl Collector for CacheCounts {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut scrape = Scrape(encoder);
        let help = "Keys that were found in the cache";
        scrape.counter("cache_hits", help, None, self.hits())?;
        let help = "Keys that were not in the cache, and were read from the store";
        scrape.counter("cache_misses", help, None, self.misses())
    }
}

/// What telemetry could not get rid of. It begins before there are metrics, and there is one in a
/// process, so it keeps count itself.
#[derive(Debug)]
struct Dropped;

impl Collector for Dropped {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut scrape = Scrape(encoder);
        let help = "Lines of the log that were dropped, because nobody read them fast enough";
        scrape.counter("log_dropped", help, None, telemetry::lines_dropped())?;
        let help = "Spans that were dropped, because the collector did not take them";
        scrape.counter("traces_dropped", help, None, telemetry::spans_dropped())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let (mut registry, handles) = (Registry::default(), Handles::default());
        let ours = registry.sub_registry_with_prefix(PREFIX);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        ours.register("build", "The program that runs", build);
        handles.register(ours);
        registry.register_collector(Box::new(Process));
        Self { registry: RwLock::new(registry), handles }
    }
}

impl Metrics {
    /// The handles of those who count.
    pub fn handles(&self) -> &Handles {
        &self.handles
    }

    /// Asks `collector`, too, whenever a scraper asks.
    pub fn collect(&self, collector: Box<dyn Collector>) {
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        registry.sub_registry_with_prefix(PREFIX).register_collector(collector);
    }

    /// All metrics as they are now, for a scraper. Reads directories and, at a million keys, looks
    /// at the keys for some hundredths of a second: not for a thread that decides.
    ///
    /// # Errors
    /// A defect of a collector.
    pub fn encode(&self, exposition: Exposition) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        encoding::text::encode(&mut text, &registry)?;
        drop(registry);
        Ok(match exposition {
            Exposition::OpenMetrics => text,
            Exposition::Classic => text::classic(&text),
        })
    }
}

impl Handles {
    fn register(&self, registry: &mut Registry) {
        let DecisionMetrics { counts, times, cache } = &self.decisions;
        registry.register_collector(Box::new(cache.clone()));
        registry.register(
            "decisions",
            "Decisions by service, role, the action's resource, and reason",
            counts.clone(),
        );
        let unit = || Unit::Seconds;
        registry.register_with_unit("decision_duration", times::help(), unit(), times.clone());
        self.store.register(registry);
        registry.register("admin_requests", "Admin calls that have ended", self.admin.clone());
        registry.register_with_unit(
            "admin_request_duration",
            "Time that admin calls took, to the end of the answer",
            unit(),
            AdminTimes(self.admin.clone()),
        );
        self.listeners.register(registry);
        self.tls.register(registry);
        registry.register(
            "policy_reloads",
            "Policies that were read anew",
            self.policy_reloads.0.clone(),
        );
        registry.register_collector(Box::new(Dropped));
        registry.register(
            "admin_sign_ins_failed",
            "Sign-ins to the admin API and the dashboard that failed",
            self.sign_ins_failed.0.clone(),
        );
        registry.register("ready", "1 while the sidecar can decide", self.ready.0.clone());
    }
}

#[cfg(test)]
mod tests;
