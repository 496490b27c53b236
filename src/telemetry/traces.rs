//! Spans of sampled calls, sent to a collector over OTLP.
//!
//! INVARIANT: a call that is not sampled costs the look for a header and a random number; one that is
//! never waits for the collector. Spans that cannot be got rid of are dropped and counted. Started by
//! `server`; `grpc::TraceCalls` makes the spans, `decision_log` says what was decided in them.

mod endpoint;
mod export;
mod noted;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::HeaderMap;
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    resource::EnvResourceDetector,
    trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanExporter as _},
};
use tokio::{sync::watch, task::JoinHandle};

pub(crate) use self::noted::Noted;
pub use self::{
    endpoint::{InvalidOtlpEndpoint, OtlpEndpoint},
    export::spans_dropped,
};
use super::{Ratio, traceparent::Traceparent};

/// So long may sending one batch take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// So long is waited at the end for spans to be sent.
const FLUSH: Duration = Duration::from_secs(2);

/// Where spans go, and of how many calls.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// The collector.
    pub endpoint: OtlpEndpoint,
    /// The share of the calls without a trace context that are traced.
    pub ratio: Ratio,
}

/// Traces calls. Clones are the same.
#[derive(Clone, Debug)]
pub struct Traces {
    tracer: SdkTracer,
    ratio: Ratio,
    sending: Arc<Sending>,
}

#[derive(Debug)]
struct Sending {
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Traces {
    /// Begins to send to the collector, which need not be there. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// A variable of OpenTelemetry's in the environment, such as `OTEL_EXPORTER_OTLP_HEADERS`, is
    /// wrong.
    pub fn start(otlp: &Otlp) -> Result<Self, ExporterBuildError> {
        let mut exporter = SpanExporter::builder()
            .with_tonic()
            .with_channel(otlp.endpoint.channel(EXPORT_TIMEOUT))
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        let resource = resource();
        exporter.set_resource(&resource);
        let (stop, stopped) = watch::channel(false);
        let (queue, send) = export::queue(exporter, stopped);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            // What is sampled is decided before a span is made.
            .with_sampler(Sampler::AlwaysOn)
            .with_span_processor(queue)
            .build();
        let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
        let task = Mutex::new(Some(tokio::spawn(send)));
        Ok(Self { tracer, ratio: otlp.ratio, sending: Arc::new(Sending { stop, task }) })
    }

    /// The context of a call with these headers if it is traced: its caller's, if that has one, or
    /// an empty one for a sample of the others.
    #[inline]
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Option<Context> {
        match Traceparent::of(headers) {
            Some(parent) if parent.is_sampled() => {
                Some(Context::new().with_remote_span_context(parent.context(headers)))
            }
            Some(_) => None,
            None => self.ratio.pick().then(Context::new),
        }
    }

    /// Begins a span within `context`.
    pub(crate) fn span(&self, builder: SpanBuilder, context: &Context) -> Span {
        self.tracer.build_with_context(builder, context)
    }

    /// Sends what waits, as far as that can be done within two seconds, and then no more.
    pub async fn close(&self) {
        self.sending.stop.send_replace(true);
        let task = self.sending.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut task) = task
            && tokio::time::timeout(FLUSH, &mut task).await.is_err()
        {
            task.abort();
            tracing::warn!("the last spans could not be sent: the collector does not answer");
        }
    }
}

/// Who we are; what the environment says goes before.
fn resource() -> Resource {
    let mut own = vec![
        KeyValue::new("service.name", env!("CARGO_PKG_NAME")),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ];
    own.extend(instance().map(|id| KeyValue::new("service.instance.id", id)));
    let environment = Box::new(EnvResourceDetector::new());
    Resource::builder_empty().with_attributes(own).with_detector(environment).build()
}

/// A random UUID for this process, as the conventions ask for.
fn instance() -> Option<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).ok()?;
    // Version 4, RFC 9562's variant.
    let number = u128::from_be_bytes(bytes) & !(0xf << 76 | 0b11 << 62) | 4 << 76 | 0b10 << 62;
    let hex = format!("{number:032x}");
    let (a, rest) = hex.split_at_checked(8)?;
    let (b, rest) = rest.split_at_checked(4)?;
    let (c, rest) = rest.split_at_checked(4)?;
    let (d, e) = rest.split_at_checked(4)?;
    Some(format!("{a}-{b}-{c}-{d}-{e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_a_random_uuid() {
        let (one, other) = (instance().unwrap(), instance().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert_eq!(&one[14..15], "4");
        assert!("89ab".contains(&one[19..20]), "{one}");
    }
}
