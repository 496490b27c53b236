//! Gives a watcher one batch after the other, for as long as it may see them.
//!
//! INVARIANT: it sleeps only after everything published was looked at, and only
//! until the next is. A batch is read when there is room for it, and a permit is
//! held only while one is read.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tonic::Status;

use super::{Audit, failed};
use crate::{
    audit::Batch, event::Filter, grpc::convert, keyring::Caller, pb::v1::WatchAuditEventsResponse,
};

/// A watcher that hears of nothing hears at least this often how far it is. The
/// contract of the service is 10 s.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What a watcher hears.
pub(super) type Messages = mpsc::Sender<Result<WatchAuditEventsResponse, Status>>;

/// Why a watch does not go on.
pub(super) enum End {
    /// The server stops.
    Stops,
    /// The watcher went away.
    Gone,
    /// It cannot go on, or may not.
    Failed(Status),
}

impl Audit {
    /// Sends the events after `after` until the caller may not see them any more,
    /// goes away, or the server stops.
    pub(super) async fn follow(
        &self,
        caller: &Caller,
        filter: &Filter,
        mut after: u64,
        messages: &Messages,
    ) -> End {
        let mut newest = self.auditor.watch();
        let mut stopping = self.stopping.clone();
        // At once: then the watcher knows where it is.
        let mut heartbeat = Instant::now();
        let mut has_caught_up = false;
        loop {
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => return End::Stops,
                room = messages.reserve() => if room.is_err() { return End::Gone },
            }
            let turns = if has_caught_up { &self.following } else { &self.catching_up };
            let mut turn = pin!(Arc::clone(turns).acquire_owned());
            let permit = loop {
                tokio::select! {
                    biased;
                    _ = stopping.wait_for(|stopping| *stopping) => return End::Stops,
                    () = messages.closed() => return End::Gone,
                    permit = &mut turn => match permit {
                        Ok(permit) => break permit,
                        Err(_) => return End::Failed(failed()),
                    },
                    () = sleep_until(heartbeat) => {
                        // Many are before it. Nothing new, so nothing to check; who has
                        // no room for it has not taken the last.
                        let nothing = Batch { events: Vec::new(), through: after, more: true };
                        let _ = messages.try_send(Ok(convert::batch(&nothing)));
                        heartbeat = Instant::now() + HEARTBEAT;
                    }
                }
            };
            // Before it is read: what comes meanwhile wakes.
            newest.borrow_and_update();
            let (asking, filter) = (caller.clone(), filter.clone());
            let read = self.read(permit, move |auditor| auditor.follow(&asking, after, &filter));
            let batch = match read.await {
                Ok(batch) => batch,
                Err(status) => return End::Failed(status),
            };
            after = batch.through;
            if !batch.events.is_empty() || Instant::now() >= heartbeat {
                tokio::select! {
                    _ = stopping.wait_for(|stopping| *stopping) => return End::Stops,
                    sent = messages.send(Ok(convert::batch(&batch))) => {
                        if sent.is_err() { return End::Gone }
                    }
                }
                heartbeat = Instant::now() + HEARTBEAT;
            }
            has_caught_up = !batch.more;
            if batch.more {
                continue;
            }
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => return End::Stops,
                // An error is that the store is gone: then the server stops.
                changed = newest.changed() => if changed.is_err() { return End::Stops },
                () = sleep_until(heartbeat) => {}
                () = messages.closed() => return End::Gone,
            }
        }
    }

    /// Tells why the watch does not go on.
    pub(super) async fn end(&self, end: End, messages: &Messages) {
        let mut stopping = self.stopping.clone();
        match end {
            End::Gone => {}
            End::Stops => {
                // Who has no room for it sees the stream end.
                let _ = messages.try_send(Err(Status::unavailable(
                    "the sidecar stops: watch again after the last `sequence`",
                )));
            }
            End::Failed(status) => tokio::select! {
                biased;
                _ = messages.send(Err(status)) => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            },
        }
    }
}
