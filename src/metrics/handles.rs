//! Small handles for who counts something now and then: each is made once and cloned.
//!
//! INVARIANT: adding or setting is one atomic operation, without a lock, except where a handle says
//! so; labels are texts of the program, never of callers.

use std::{
    fmt,
    sync::Arc,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::Counter, exemplar::Exemplar, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::clock::Timestamp;

/// The one label of a family.
type Label = [(&'static str, &'static str); 1];

/// Counts something that happens.
#[derive(Clone, Debug, Default)]
pub struct Count(pub(super) Counter);

impl Count {
    /// It happened once more.
    pub fn add(&self) {
        self.0.inc();
    }

    /// How often it happened.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// Whether the sidecar is ready: 0 until it is said.
#[derive(Clone, Debug, Default)]
pub struct Ready(pub(super) Gauge);

impl Ready {
    /// Says whether it is.
    pub fn set(&self, ready: bool) {
        self.0.set(ready.into());
    }
}

/// Counts results, from a list that is known beforehand.
#[derive(Clone, Debug)]
pub(super) struct Results(Arc<[(&'static str, AtomicU64)]>);

impl Results {
    pub(super) fn new(names: &[&'static str]) -> Self {
        Self(names.iter().map(|name| (*name, AtomicU64::new(0))).collect())
    }

    pub(super) fn add(&self, number: usize) {
        if let Some((_, count)) = self.0.get(number) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn count(&self, number: usize) -> u64 {
        self.0.get(number).map_or(0, |(_, count)| count.load(Relaxed))
    }
}

impl EncodeMetric for Results {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (name, count) in &*self.0 {
            let none: Option<&Exemplar<Label, f64>> = None;
            let labels = [("result", *name)];
            encoder.encode_family(&labels)?.encode_counter(&count.load(Relaxed), none)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// Counts what is read anew while the sidecar runs: the policy, certificates.
#[derive(Clone, Debug)]
pub struct Reloads(pub(super) Results);

impl Default for Reloads {
    fn default() -> Self {
        Self(Results::new(&["done", "failed"]))
    }
}

impl Reloads {
    /// What was read is in force.
    pub fn done(&self) {
        self.0.add(0);
    }

    /// It was wrong or could not be read: the one before stays in force.
    pub fn failed(&self) {
        self.0.add(1);
    }
}

/// The metrics of all listeners.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    connections: Family<Label, Gauge>,
    refused: Family<Label, Counter>,
    shed: Family<Label, Counter>,
}

/// The metrics of one listener, or of several of one name.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    connections: Gauge<i64, AtomicI64>,
    refused: Counter,
    shed: Counter,
}

/// An open connection: it is counted until this is dropped.
#[derive(Debug)]
#[must_use = "the connection is counted until it is dropped"]
pub struct Connected(Gauge<i64, AtomicI64>);

impl Listeners {
    /// Those of `listener`. Takes a lock: to be asked when the listener is made.
    pub fn of(&self, listener: &'static str) -> ListenerMetrics {
        let label = [("listener", listener)];
        ListenerMetrics {
            connections: self.connections.get_or_create(&label).clone(),
            refused: self.refused.get_or_create(&label).clone(),
            shed: self.shed.get_or_create(&label).clone(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Connections that are open", self.connections.clone());
        registry.register(
            "connections_refused",
            "Connections that were closed at once: over the limit, or no TLS handshake",
            self.refused.clone(),
        );
        registry.register(
            "requests_shed",
            "Calls that were turned away because too many were in flight",
            self.shed.clone(),
        );
    }
}

impl ListenerMetrics {
    /// A connection is opened.
    pub fn connected(&self) -> Connected {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// A connection is closed at once.
    pub fn refused(&self) {
        self.refused.inc();
    }

    /// A call is turned away.
    pub fn shed(&self) {
        self.shed.inc();
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The metrics of certificates.
#[derive(Clone, Debug, Default)]
pub struct TlsMetrics {
    expiry: Family<Label, Gauge>,
    reloads: Reloads,
}

impl TlsMetrics {
    /// The certificate of `listener` expires at `at`. Takes a lock.
    pub fn set_expiry(&self, listener: &'static str, at: Timestamp) {
        self.expiry.get_or_create(&[("listener", listener)]).set(at.0.div_euclid(1000));
    }

    /// Counts certificates that were read anew.
    pub fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "tls_certificate_expiry_timestamp",
            "When the certificate that is served expires",
            Unit::Seconds,
            self.expiry.clone(),
        );
        registry.register(
            "tls_reloads",
            "Certificates and client CAs that were read anew",
            self.reloads.0.clone(),
        );
    }
}
