//! An API: what answers its calls, and what its clients have taken of it.
//!
//! INVARIANT: every connection and every call of an API is counted here, from its
//! beginning to its end, and what is over a limit gets an answer that says so.

mod arrivals;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto::Builder,
};

use self::arrivals::Arrivals;
pub(super) use self::arrivals::Arriving;
use super::{
    connection::Pacing,
    connections::{Connections, Ended, Full, Place},
    limits,
};
use crate::{config::Limits, metrics::ListenerMetrics, telemetry::OncePerSecond};

/// How often it is looked whether there is a place.
const ADMISSION_STEP: Duration = Duration::from_millis(5);

/// Which HTTP a listener speaks.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 alone: gRPC.
    Grpc,
    /// HTTP/1.1, and HTTP/2 for who begins with it.
    Http,
}

/// An API. Clones are the same.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    name: &'static str,
    protocol: Protocol,
    router: Router,
    http: Builder<TokioExecutor>,
    limits: Limits,
    pacing: Pacing,
    connections: Connections,
    waiting: AtomicUsize,
    arrivals: Arrivals,
    /// Bytes of messages of calls that wait.
    held: AtomicUsize,
    metrics: ListenerMetrics,
    refused: OncePerSecond,
    shed: OncePerSecond,
}

/// A call that waits for its answer; it, and what has arrived of its message, is counted until this
/// is dropped. Clones are the same.
pub(super) struct Waiting(Arc<Held>);

/// What a call makes us hold.
pub(super) struct Held {
    api: Api,
    bytes: AtomicUsize,
    waits: AtomicBool,
    has_arrived: AtomicBool,
}

impl Api {
    /// The API `name`, answered by `router`, within `limits`.
    pub fn new(
        name: &'static str,
        protocol: Protocol,
        router: Router,
        limits: Limits,
        metrics: ListenerMetrics,
    ) -> Self {
        let pacing = Pacing {
            head: limits.handshake_timeout,
            idle: limits::IDLE_TIMEOUT,
            write: limits.request_timeout,
        };
        Self(Arc::new(Inner {
            name,
            protocol,
            router,
            http: http(protocol, &limits),
            limits,
            pacing,
            connections: Connections::new(
                limits.max_connections,
                limits.request_timeout,
                limits.max_held_bytes(),
            ),
            waiting: AtomicUsize::new(0),
            arrivals: Arrivals::default(),
            held: AtomicUsize::new(0),
            metrics,
            refused: OncePerSecond::default(),
            shed: OncePerSecond::default(),
        }))
    }

    /// A place for one more connection, waited for if some are ending; `None` when there are too
    /// many.
    pub(super) async fn admit(&self) -> Option<(Place, Ended)> {
        let mut waited = Duration::ZERO;
        let place = loop {
            match self.0.connections.admit(&self.0.metrics) {
                Ok(place) => break Some(place),
                Err(Full::ForNow) if waited < limits::ADMISSION => {
                    tokio::time::sleep(ADMISSION_STEP).await;
                    waited = waited.saturating_add(ADMISSION_STEP);
                }
                Err(_) => break None,
            }
        };
        if place.is_none() {
            self.0.metrics.refused();
            if let Some(unlogged) = self.0.refused.admit() {
                tracing::warn!(
                    api = self.0.name,
                    max_connections = self.0.limits.max_connections,
                    unlogged,
                    "a connection was closed: there are too many"
                );
            }
        }
        place
    }

    /// One more call; `None` when too many wait already. One whose message has not arrived whole
    /// makes room: clients that open calls and do not go on shut nobody out.
    pub(super) fn begin(&self) -> Option<Waiting> {
        // From here on it is taken back when it is dropped.
        let held = Held {
            api: self.clone(),
            bytes: AtomicUsize::new(0),
            waits: true.into(),
            has_arrived: false.into(),
        };
        let waiting = Waiting(Arc::new(held));
        if self.0.waiting.fetch_add(1, Ordering::Relaxed) < self.0.limits.max_in_flight {
            return Some(waiting);
        }
        // Either this one or another.
        self.shed("too many are in flight");
        self.0.arrivals.evict_oldest().then_some(waiting)
    }

    /// A call is turned away.
    fn shed(&self, why: &'static str) {
        self.0.metrics.shed();
        if let Some(unlogged) = self.0.shed.admit() {
            tracing::warn!(api = self.0.name, why, unlogged, "a call was turned away");
        }
    }

    /// Has every connection end once its calls are answered, and those to come.
    pub(super) fn drain(&self) {
        self.0.connections.drain();
    }

    /// A connection ended before a call could be made on it.
    pub(super) fn handshake_failed(&self) {
        self.0.metrics.refused();
    }

    pub(super) fn name(&self) -> &'static str {
        self.0.name
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.0.protocol
    }

    pub(super) fn router(&self) -> &Router {
        &self.0.router
    }

    pub(super) fn http(&self) -> &Builder<TokioExecutor> {
        &self.0.http
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(super) fn pacing(&self) -> Pacing {
        self.0.pacing
    }

    #[cfg(test)]
    pub(super) fn paced(self, pacing: Pacing) -> Self {
        let inner = Arc::into_inner(self.0).expect("nobody has it yet");
        Self(Arc::new(Inner { pacing, ..inner }))
    }

    pub(super) fn connections(&self) -> &Connections {
        &self.0.connections
    }

    fn arrivals(&self) -> &Arrivals {
        &self.0.arrivals
    }
}

impl Waiting {
    /// What it makes us hold, to be told of what arrives.
    pub(super) fn held(&self) -> Arc<Held> {
        Arc::clone(&self.0)
    }

    /// Its message is waited for.
    pub(super) fn arriving(&self) -> Arriving {
        self.0.api.arrivals().enter(&self.0.api)
    }

    /// Whether its message is there whole.
    pub(super) fn has_arrived(&self) -> bool {
        self.0.has_arrived.load(Ordering::Relaxed)
    }

    /// How many may wait at once.
    pub(super) fn max(&self) -> usize {
        self.0.api.limits().max_in_flight
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waits.store(false, Ordering::Relaxed);
        self.0.release();
        self.0.api.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

impl Held {
    fn release(&self) {
        let bytes = self.bytes.swap(0, Ordering::AcqRel);
        self.api.0.held.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Whether its call waits for the head of its answer.
    pub(super) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Its message has arrived whole.
    pub(super) fn has_arrived(&self) {
        self.has_arrived.store(true, Ordering::Relaxed);
    }

    /// `len` bytes more of its message have arrived. False when all calls together hold too much.
    pub(super) fn arrived(&self, len: usize) -> bool {
        // A stream that has the head of its answer hands messages on as they come.
        if !self.waits() {
            return true;
        }
        let Inner { held, limits, .. } = &*self.api.0;
        // In this order: what is taken back was added before.
        let before = held.fetch_add(len, Ordering::AcqRel);
        let own = self.bytes.fetch_add(len, Ordering::AcqRel).saturating_add(len);
        // Small ones always fit: who sends large ones shuts nobody else out.
        let fits = own <= limits.max_message_bytes / 64
            || before.saturating_add(len) <= limits.max_held_bytes();
        if !fits {
            self.api.shed("messages that have not arrived whole take too much room");
        }
        fits
    }
}

/// How connections are served. hyper and h2 have no limit, or a generous one, for most of it.
fn http(protocol: Protocol, limits: &Limits) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(limits.max_header_bytes)
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .keep_alive_interval(Some(limits::KEEPALIVE))
        .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT);
    // hyper wants 8 KiB at least.
    let buffer = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX).max(8 << 10);
    http.http1()
        .timer(TokioTimer::new())
        // The stream has a time-out of its own, which knows of idle connections, too.
        .header_read_timeout(None::<Duration>)
        .max_buf_size(buffer);
    match protocol {
        Protocol::Grpc => http.http2_only(),
        Protocol::Http => http,
    }
}
