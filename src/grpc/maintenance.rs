//! `MaintenanceService`: the sidecar itself, its status and its backup. For the
//! operator token only.
//!
//! INVARIANT: a backup holds a bounded number of chunks in memory, however slow the
//! one who takes them: it is read from the disk as fast as it is taken, on a thread
//! that nothing else waits for. One at a time, and one that nobody takes ends.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use super::{bearer, convert};
use crate::{
    authorizer::Authorizer,
    clock::Clock,
    keyring::{Keyring, Powers},
    operator::OperatorToken,
    pb::v1::{
        BackupRequest, BackupResponse, GetStatusRequest, GetStatusResponse,
        maintenance_service_server::MaintenanceService,
    },
    store::{Backup, BackupError, Embedded, Log as _, UsageCopy},
    usage::Usage,
};

/// Chunks that wait to be taken.
const CHUNKS_AHEAD: usize = 4;
/// A backup of which no chunk is taken for this long ends: it keeps others, and
/// retention, from their work.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers with what the sidecar says of itself.
#[derive(Clone)]
pub struct Maintenance {
    keyring: Keyring,
    authorizer: Arc<Authorizer>,
    operator: OperatorToken,
    store: Arc<Embedded>,
    usage: Usage,
    clock: Clock,
    started: crate::clock::Timestamp,
    backups: Arc<Semaphore>,
}

impl Maintenance {
    /// The service of a sidecar that starts now. The authorizer is only asked how
    /// full its cache is.
    pub fn new(
        keyring: Keyring,
        authorizer: Arc<Authorizer>,
        operator: OperatorToken,
        store: Arc<Embedded>,
        usage: Usage,
        clock: Clock,
    ) -> Self {
        let (started, backups) = (clock.now(), Arc::new(Semaphore::new(1)));
        Self { keyring, authorizer, operator, store, usage, clock, started, backups }
    }

    /// Checks that the operator calls.
    fn admit<T>(&self, request: &Request<T>, what: &'static str) -> Result<(), Status> {
        let caller = bearer::caller(request, &self.operator, self.keyring.digester())?;
        match self.keyring.authenticate(&caller).map_err(|error| convert::status(error.into()))? {
            Powers::All => Ok(()),
            Powers::Of(_) => Err(Status::permission_denied(what)),
        }
    }
}

#[tonic::async_trait]
impl MaintenanceService for Maintenance {
    type BackupStream = Pin<Box<dyn Stream<Item = Result<BackupResponse, Status>> + Send>>;

    async fn backup(
        &self,
        request: Request<BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        self.admit(&request, "a backup is for the operator token only")?;
        let permit = Arc::clone(&self.backups).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted("another backup is being made; try again when it is done")
        })?;
        let (store, usage, now) = (Arc::clone(&self.store), self.usage.clone(), self.clock.now());
        let begun = tokio::task::spawn_blocking(move || store.backup(copy(&usage), now)).await;
        let failed = || Status::internal("the backup failed");
        let backup = begun.map_err(|_| failed())?.map_err(|error| status(&error))?;
        let (chunks, taken) = mpsc::channel(CHUNKS_AHEAD);
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            send(backup, &chunks, &runtime);
            drop(permit);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(taken))))
    }

    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        self.admit(&request, "the status is for the operator token only")?;
        let summary = self.keyring.summary();
        Ok(Response::new(GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: Some(convert::timestamp(self.started)),
            revision: summary.revision,
            key_count: summary.key_count,
            policy_digest: convert::hex(self.keyring.policy().digest()),
            store: summary.engine.to_owned(),
            state_digest: convert::hex(&summary.state_digest),
            journal_head: convert::hex(&summary.journal_head),
            data_dir: summary.data_dir.display().to_string(),
            cached_keys: self.authorizer.cached_keys(),
            pepper: self.keyring.digester().pepper().map(|id| id.to_string()).unwrap_or_default(),
            outdated_digest_count: self.keyring.digester().outdated(),
            oldest_audit_sequence: self.store.oldest().unwrap_or_default(),
            usage_since_time: Some(convert::timestamp(self.usage.since())),
        }))
    }
}

/// How keys were used, for a backup. One without it is better than none.
fn copy(usage: &Usage) -> UsageCopy {
    let rows = usage.flush().and_then(|()| usage.rows());
    match rows {
        Ok(rows) => UsageCopy {
            since: Some(usage.since()),
            keys: Box::new(rows.map_while(|row| {
                let row = row.inspect_err(
                    |error| tracing::warn!(%error, "how keys were used is not all in the backup"),
                );
                row.ok()
            })),
        },
        Err(error) => {
            tracing::warn!(%error, "how keys were used is not in the backup");
            UsageCopy::default()
        }
    }
}

type Chunks = mpsc::Sender<Result<BackupResponse, Status>>;

/// Sends a backup, as fast as it is taken.
fn send(backup: Backup, chunks: &Chunks, runtime: &Handle) {
    let (revision, total_bytes) = (backup.revision(), backup.total_bytes());
    let journal_head = convert::hex(backup.journal_head());
    for chunk in backup {
        let piece = chunk.map_err(|error| status(&error)).map(|chunk| BackupResponse {
            chunk,
            total_bytes,
            revision,
            journal_head: journal_head.clone(),
        });
        // Whoever asked has gone, or takes nothing: what was sent has no end, and says so.
        if runtime.block_on(chunks.send_timeout(piece, PATIENCE)).is_err() {
            tracing::warn!("a backup was given up before its end: nobody takes it");
            return;
        }
    }
}

fn status(error: &BackupError) -> Status {
    tracing::error!(%error, "a backup failed");
    Status::internal(format!("the backup failed: {error}"))
}
