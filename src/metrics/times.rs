//! How long decisions take, by the API that asked. One of [`SAMPLED`] is timed: two readings of the
//! clock would cost each decision more than all else that is counted.
//!
//! INVARIANT: a timer waits for nobody. Started by `grpc` and `gateway`.

use std::{array, fmt, time::Instant};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::MetricType,
};

use super::{
    histogram::Histogram,
    sharded::{SAMPLED, sampled},
};

/// Which API asks for a decision.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Api {
    /// `Authorize`, alone, in a batch or in a stream.
    Authorize,
    /// Envoy's `Check`.
    Check,
    /// AuthZEN's evaluations.
    Authzen,
    /// `Introspect`.
    Introspect,
}

const APIS: [&str; 4] = ["authorize", "check", "authzen", "introspect"];

/// From 250 ns, which a cached key may take, to 1 s.
const BOUNDS: &[u64] = &[
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    5_000_000,
    25_000_000,
    100_000_000,
    1_000_000_000,
];

pub(super) fn help() -> String {
    format!(
        "Time from a question that has been read to its answer, by API; one of {SAMPLED} is timed, at random"
    )
}

/// The histograms of all APIs. Clones are the same.
#[derive(Clone, Debug)]
pub struct DecisionTimes([Histogram; APIS.len()]);

/// Takes the time until it is dropped, if this is one of those that are timed.
#[derive(Debug)]
#[must_use = "it takes the time until it is dropped"]
pub struct Timer<'a>(Option<(Instant, &'a Histogram)>);

impl Default for DecisionTimes {
    fn default() -> Self {
        Self(array::from_fn(|_| Histogram::new(BOUNDS)))
    }
}

impl DecisionTimes {
    /// Begins to decide for `api`.
    #[inline]
    pub fn start(&self, api: Api) -> Timer<'_> {
        let histogram = if sampled() { self.0.get(api as usize) } else { None };
        Timer(histogram.map(|histogram| (Instant::now(), histogram)))
    }

    /// How many decisions for `api` were timed.
    pub fn timed(&self, api: Api) -> u64 {
        self.0.get(api as usize).map_or(0, Histogram::count)
    }
}

impl Timer<'_> {
    /// One that takes no time.
    pub fn off() -> Self {
        Self(None)
    }
}

impl Drop for Timer<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some((started, histogram)) = self.0 {
            histogram.observe_since(started);
        }
    }
}

impl EncodeMetric for DecisionTimes {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (api, histogram) in APIS.iter().zip(&self.0) {
            histogram.encode(&mut encoder.encode_family(&[("api", *api)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_decisions_are_timed_and_for_their_api_only() {
        let times = DecisionTimes::default();
        for _ in 0..1600 {
            drop(times.start(Api::Check));
        }
        assert!((50..200).contains(&times.timed(Api::Check)), "{}", times.timed(Api::Check));
        assert_eq!(times.timed(Api::Authorize), 0);
    }
}
