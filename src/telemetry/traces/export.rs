//! Spans on their way to the collector: a queue, and the one task that empties it.
//!
//! INVARIANT: whoever ends a span does not wait. The queue is bounded; a span that finds no room and
//! one that the collector did not take are counted. Not the SDK's batch processor, which does not say
//! how many it drops.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanExporter, SpanProcessor},
};
use tokio::{
    sync::{mpsc, watch},
    time::{timeout, timeout_at},
};

use super::EXPORT_TIMEOUT;

/// Spans that wait at most.
const MAX_WAITING: usize = 2048;
/// Spans that are sent at once.
const MAX_BATCH: usize = 512;
/// A span waits for others for so long.
const DELAY: Duration = Duration::from_secs(1);
/// From one line about a collector that does not answer to the next.
const SILENCE: Duration = Duration::from_secs(60);

/// Spans that were dropped since the process began.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many spans were dropped since the process began.
pub fn spans_dropped() -> u64 {
    DROPPED.load(Relaxed)
}

/// Takes spans that have ended.
#[derive(Debug)]
pub(super) struct Queue(mpsc::Sender<SpanData>);

/// A queue, and the work that sends what is in it by `exporter` until `stop` turns.
pub(super) fn queue(
    exporter: impl SpanExporter,
    stop: watch::Receiver<bool>,
) -> (Queue, impl Future<Output = ()>) {
    let (queue, waiting) = mpsc::channel(MAX_WAITING);
    (Queue(queue), send(waiting, exporter, stop))
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.0.try_send(span).is_err() {
            DROPPED.fetch_add(1, Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

async fn send(
    mut waiting: mpsc::Receiver<SpanData>,
    exporter: impl SpanExporter,
    mut stop: watch::Receiver<bool>,
) {
    let mut trouble = Trouble::default();
    let mut stopping = false;
    loop {
        let mut batch = Vec::new();
        let more = async {
            if waiting.recv_many(&mut batch, MAX_BATCH).await == 0 {
                return false;
            }
            let deadline = tokio::time::Instant::now() + DELAY;
            while batch.len() < MAX_BATCH {
                let room = MAX_BATCH - batch.len();
                match timeout_at(deadline, waiting.recv_many(&mut batch, room)).await {
                    Ok(0) => return false,
                    Ok(_) => {}
                    Err(_) => return true,
                }
            }
            true
        };
        let more = if stopping {
            more.await
        } else {
            tokio::select! {
                more = more => more,
                // An error is that nobody is left to stop it: then it does.
                _ = stop.wait_for(|stop| *stop) => {
                    stopping = true;
                    // What waits is still taken out, and then it ends.
                    waiting.close();
                    true
                }
            }
        };
        let count = batch.len() as u64;
        if count > 0 {
            let sent = timeout(EXPORT_TIMEOUT, exporter.export(batch)).await;
            let problem = match sent {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {EXPORT_TIMEOUT:?}")),
            };
            if problem.is_some() {
                DROPPED.fetch_add(count, Relaxed);
            }
            trouble.tell(problem);
        }
        if !more {
            return;
        }
    }
}

/// Says that the collector does not take spans, and when it does again.
#[derive(Debug, Default)]
struct Trouble {
    told: Option<Instant>,
    lasts: bool,
}

impl Trouble {
    fn tell(&mut self, problem: Option<String>) {
        match problem {
            None if self.lasts => {
                self.lasts = false;
                tracing::info!("the collector takes spans again");
            }
            None => {}
            Some(_) if self.told.is_some_and(|told| told.elapsed() < SILENCE) => self.lasts = true,
            Some(error) => {
                (self.told, self.lasts) = (Some(Instant::now()), true);
                let dropped = spans_dropped();
                tracing::warn!(error, dropped, "the collector does not take spans");
            }
        }
    }
}
