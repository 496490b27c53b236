//! `AuditService`: what was changed, by whom; what changes now; and whether the
//! log is still as it was written. Runs beside the workers, never on them.
//!
//! INVARIANT: a file is only read on a thread that may wait for it: one list, one
//! batch of what was before, and one of what is new at a time, so that none waits
//! for the others. A watch reads a batch when the one before was taken: who is
//! slow costs no memory and holds nobody up. Its caller's rights are checked again
//! before each. There are only so many watches.

mod places;
mod watch;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch as channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use self::places::Places;
use super::{bearer, convert};
use crate::{
    audit::{AuditError, Auditor},
    change::{Actor, Refusal},
    keyring::Caller,
    operator::OperatorToken,
    pb::v1::{
        ListAuditEventsRequest, ListAuditEventsResponse, VerifyAuditRequest, VerifyAuditResponse,
        WatchAuditEventsRequest, WatchAuditEventsResponse, audit_service_server::AuditService,
    },
    turns::Turns,
};

/// Lists of one caller that wait for their turn; more are refused.
const MAX_WAITING: usize = 16;
/// How often the progress of a verification is told.
const PROGRESS: Duration = Duration::from_millis(250);

/// Turns true when the server stops.
type Stopping = channel::Receiver<bool>;

/// Answers with what the auditor reads.
#[derive(Clone)]
pub struct Audit {
    auditor: Auditor,
    operator: OperatorToken,
    stopping: Stopping,
    lists: Arc<Turns<Actor>>,
    /// INVARIANT: one permit each, so that readers cannot take the processors from
    /// the workers. For watches that still read what was before.
    catching_up: Arc<Semaphore>,
    /// For watches that have caught up, and read what is new.
    following: Arc<Semaphore>,
    watches: Places,
    verifications: Arc<Semaphore>,
}

impl Audit {
    /// The service in front of `auditor`. Its watches end when `stopping` turns.
    pub fn new(auditor: Auditor, operator: OperatorToken, stopping: Stopping) -> Self {
        let one = || Arc::new(Semaphore::new(1));
        let (catching_up, following, verifications) = (one(), one(), one());
        let lists = Arc::new(Turns::new(MAX_WAITING));
        let watches = Places::default();
        Self { auditor, operator, stopping, lists, catching_up, following, watches, verifications }
    }

    fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        bearer::caller(request, &self.operator, self.auditor.digester())
    }

    /// Runs `read` on a thread that may wait for a disk.
    async fn read<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        read: impl FnOnce(&Auditor) -> Result<T, AuditError> + Send + 'static,
    ) -> Result<T, Status> {
        let auditor = self.auditor.clone();
        // It keeps the permit when its call is given up.
        let read = tokio::task::spawn_blocking(move || {
            let read = read(&auditor);
            drop(permit);
            read
        });
        read.await.map_err(|_| failed())?.map_err(convert::audit_status)
    }
}

fn failed() -> Status {
    Status::internal("reading the audit log failed")
}

#[tonic::async_trait]
impl AuditService for Audit {
    type WatchAuditEventsStream = ReceiverStream<Result<WatchAuditEventsResponse, Status>>;
    type VerifyAuditStream = ReceiverStream<Result<VerifyAuditResponse, Status>>;

    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        let caller = self.caller(&request)?;
        let page = convert::audit_page_request(request.into_inner())?;
        // Proven before it waits: nobody waits in another's name. And waiting here and not
        // in the blocking task: a call that is given up leaves the queue.
        let actor = self.auditor.require_reader(&caller).map_err(convert::audit_status)?;
        let turn = self.lists.take(actor).await.ok_or_else(|| {
            Status::resource_exhausted(
                "too many lists of this caller wait for their turn: ask for one after the other",
            )
        })?;
        let page = self.read(turn, move |auditor| auditor.list(&caller, &page)).await?;
        Ok(Response::new(convert::audit_page(page)))
    }

    async fn watch_audit_events(
        &self,
        request: Request<WatchAuditEventsRequest>,
    ) -> Result<Response<Self::WatchAuditEventsStream>, Status> {
        let caller = self.caller(&request)?;
        let WatchAuditEventsRequest { filter, after_sequence } = request.into_inner();
        let filter = convert::audit_filter(filter)?;
        let newest = self.auditor.newest();
        let after = after_sequence.unwrap_or(newest);
        // Before anything is said of the log.
        let actor = self.auditor.require_reader(&caller).map_err(convert::audit_status)?;
        if after > newest {
            let problem = format!(
                "the newest event is {newest}: this log does not have {after}, or not any more"
            );
            let refusal = Refusal::field("after_sequence", problem);
            return Err(convert::audit_status(refusal.into()));
        }
        let place = self.watches.take(actor)?;
        // One message waits at most.
        let (messages, stream) = mpsc::channel(1);
        let audit = self.clone();
        tokio::spawn(async move {
            let end = audit.follow(&caller, &filter, after, &messages).await;
            // Whoever hears that it ended may open another.
            drop(place);
            audit.end(end, &messages).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn verify_audit(
        &self,
        request: Request<VerifyAuditRequest>,
    ) -> Result<Response<Self::VerifyAuditStream>, Status> {
        let caller = self.caller(&request)?;
        self.auditor.require_operator(&caller).map_err(convert::audit_status)?;
        let expected = convert::expected(&request.into_inner())?;
        let permit = Arc::clone(&self.verifications).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted("the audit log is being verified already: try again later")
        })?;
        let (messages, stream) = mpsc::channel(2);
        let auditor = self.auditor.clone();
        tokio::task::spawn_blocking(move || {
            let (mut told, mut read, mut total) = (Instant::now(), 0, 0);
            let found = auditor.verify(&caller, expected, &mut |now, of| {
                (read, total) = (now, of);
                if told.elapsed() >= PROGRESS {
                    told = Instant::now();
                    // Whoever is slow hears of less.
                    let _ = messages.try_send(Ok(VerifyAuditResponse {
                        read_bytes: read,
                        total_bytes: total,
                        verification: None,
                    }));
                }
            });
            drop(permit);
            let last = found.map_err(convert::audit_status).map(|found| VerifyAuditResponse {
                read_bytes: read,
                total_bytes: total,
                verification: Some(convert::verification(&found)),
            });
            // Nobody may be there to hear it.
            let _ = messages.blocking_send(last);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
