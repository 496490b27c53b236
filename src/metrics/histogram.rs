//! A histogram of durations that is only atomics: observing one waits for nobody.
//!
//! INVARIANT: what is encoded is consistent in itself: the count is the sum of the buckets.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

/// How long things took. Clones are the same.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The upper bounds of the buckets but the last, in nanoseconds.
    bounds: &'static [u64],
    buckets: Box<[AtomicU64]>,
    nanos: AtomicU64,
}

impl Histogram {
    /// A histogram with buckets up to these `bounds` in nanoseconds, which rise, and one for all above.
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner { bounds, buckets, nanos: AtomicU64::new(0) }))
    }

    /// Takes in one that took so long.
    pub fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.0.bounds.partition_point(|bound| *bound < nanos);
        if let Some(bucket) = self.0.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
            self.0.nanos.fetch_add(nanos, Relaxed);
        }
    }

    /// Takes in what began at `started` and ends now.
    pub fn observe_since(&self, started: Instant) {
        self.observe(started.elapsed());
    }

    /// How many it has taken in.
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }

    pub(super) fn encode(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        let bounds = self.0.bounds.iter().map(|nanos| seconds(*nanos)).chain([f64::INFINITY]);
        let counts = self.0.buckets.iter().map(|bucket| bucket.load(Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = seconds(self.0.nanos.load(Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

#[expect(clippy::cast_precision_loss, reason = "53 bits of nanoseconds are 104 days")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        Self::encode(self, &mut encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text, registry::Registry};

    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_buckets_add_up() {
        let histogram = Histogram::new(&[500, 1_000_000]);
        for nanos in [0, 500, 501, 1_000_000, 1_000_001] {
            histogram.observe(Duration::from_nanos(nanos));
        }
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register("took", "How long", histogram.clone());
        text::encode(&mut text, &registry).unwrap();
        let expected = "# HELP took How long.\n# TYPE took histogram\ntook_sum 0.002001002\n\
             took_count 5\ntook_bucket{le=\"5e-7\"} 2\ntook_bucket{le=\"0.001\"} 4\n\
             took_bucket{le=\"+Inf\"} 5\n# EOF\n";
        assert_eq!(text, expected);
        assert_eq!(histogram.count(), 5);
    }
}
