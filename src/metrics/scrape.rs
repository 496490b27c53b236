//! Writes what a collector reads at scrape: gauges that nobody keeps.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::Unit,
};

/// Writes families, one after the other.
pub(crate) struct Scrape<'a>(pub(crate) DescriptorEncoder<'a>);

impl Scrape<'_> {
    /// A gauge without labels.
    pub(crate) fn gauge<N>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: N,
    ) -> fmt::Result
    where
        N: EncodeGaugeValue,
    {
        let mut encoder =
            self.0.encode_descriptor(name, &sentence(help), unit, MetricType::Gauge)?;
        encoder.encode_gauge(&value)
    }

    /// A gauge for each value of one label.
    pub(crate) fn gauges<N>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &[(&str, N)],
    ) -> fmt::Result
    where
        N: EncodeGaugeValue + Copy,
        ConstGauge<N>: prometheus_client::encoding::EncodeMetric,
    {
        let mut encoder =
            self.0.encode_descriptor(name, &sentence(help), None, MetricType::Gauge)?;
        for (value, number) in values {
            ConstGauge::new(*number).encode(encoder.encode_family(&[(label, *value)])?)?;
        }
        Ok(())
    }

    /// A counter that somebody else keeps.
    pub(crate) fn counter<N>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: N,
    ) -> fmt::Result
    where
        ConstCounter<N>: prometheus_client::encoding::EncodeMetric,
    {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(
            name,
            &sentence(help),
            unit,
            MetricType::Counter,
        )?)
    }

    /// A text, as the label of a 1.
    pub(crate) fn info(&mut self, name: &str, help: &str, label: &str, value: &str) -> fmt::Result {
        let info = Info::new([(label.to_owned(), value.to_owned())]);
        info.encode(self.0.encode_descriptor(name, &sentence(help), None, MetricType::Info)?)
    }
}

/// As the registry ends its own.
fn sentence(help: &str) -> String {
    format!("{help}.")
}
