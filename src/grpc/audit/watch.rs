//! Gives a watcher one batch after the other, for as long as it may see them.
//!
//! INVARIANT: it sleeps only after everything published was looked at, and only
//! until the next is. Every batch is read when there is room for it.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tonic::Status;

use super::Audit;
use crate::{event::Filter, grpc::convert, keyring::Caller, pb::v1::WatchAuditEventsResponse};

/// A watcher that hears of nothing hears at least this often how far it is. The
/// contract of the service is 10 s.
const HEARTBEAT: Duration = Duration::from_secs(5);

impl Audit {
    /// Sends the events after `after` until the caller may not see them any more,
    /// goes away, or the server stops.
    pub(super) async fn follow(
        self,
        caller: Caller,
        filter: Filter,
        mut after: u64,
        messages: mpsc::Sender<Result<WatchAuditEventsResponse, Status>>,
    ) {
        let mut newest = self.auditor.watch();
        let mut stopping = self.stopping.clone();
        // At once: then the watcher knows where it is.
        let mut heartbeat = Instant::now();
        loop {
            let room = tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => break,
                room = messages.reserve() => match room {
                    Ok(room) => room,
                    // It went away.
                    Err(_) => return,
                },
            };
            // Before it is read: what comes meanwhile wakes.
            newest.borrow_and_update();
            let (caller, filter) = (caller.clone(), filter.clone());
            let batch = self.read(move |auditor| auditor.follow(&caller, after, &filter)).await;
            let batch = match batch {
                Ok(batch) => batch,
                Err(status) => return room.send(Err(status)),
            };
            after = batch.through;
            if !batch.events.is_empty() || Instant::now() >= heartbeat {
                room.send(Ok(convert::batch(&batch)));
                heartbeat = Instant::now() + HEARTBEAT;
            } else {
                drop(room);
            }
            if batch.more {
                continue;
            }
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => break,
                // An error is that the store is gone: then the server stops.
                changed = newest.changed() => if changed.is_err() { break },
                () = sleep_until(heartbeat) => {}
                () = messages.closed() => return,
            }
        }
        // Who has no room for it sees the stream end.
        let _ = messages.try_send(Err(Status::unavailable(
            "the sidecar stops: watch again after the last `sequence`",
        )));
    }
}
