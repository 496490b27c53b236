//! The audit log as a caller may see it: pages, what follows, verification.
//!
//! INVARIANT: whoever reads has the right `audit.read` at that moment; a key sees
//! the events of its own team and service and no other, whatever it asks for. No
//! call reads without bound. Called by `grpc` and `dashboard`, on threads that may wait for a
//! disk.

mod page;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

pub use self::page::{MAX_PAGE, Page, PageRequest};
use crate::{
    change::{Actor, Refusal},
    digest::Digester,
    event::{Event, Filter},
    keyring::{Caller, Keyring, Powers},
    store::{CommitError, Log, LogError, Order, Scan, Verification, VerifyError},
};

/// The right to read.
const RIGHT: &str = "audit.read";
/// A call looks at no more once it has read so much, or for so long.
const MAX_BYTES: u64 = 16 << 20;
const MAX_TIME: Duration = Duration::from_millis(30);
/// The events that a call gives are about as large at most: a client of tonic
/// takes 4 MiB.
const MAX_REPLY: usize = 2 << 20;
/// Events in a batch of those that follow.
const MAX_BATCH: usize = 256;

/// Reads the log on behalf of callers.
#[derive(Clone)]
pub struct Auditor {
    keyring: Keyring,
    log: Arc<dyn Log>,
}

/// Events that follow others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Those that match, the oldest first.
    pub events: Vec<Event>,
    /// Everything up to here was looked at.
    pub through: u64,
    /// More can be read at once.
    pub more: bool,
}

/// The log could not be read for this caller.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The caller may not, or asks for what is not valid; or who it is cannot be
    /// found out.
    #[error(transparent)]
    Caller(#[from] CommitError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log cannot be verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

impl From<Refusal> for AuditError {
    fn from(refusal: Refusal) -> Self {
        Self::Caller(refusal.into())
    }
}

impl Auditor {
    /// Reads `log`; the keyring knows the callers.
    pub fn new(keyring: Keyring, log: Arc<dyn Log>) -> Self {
        Self { keyring, log }
    }

    /// Makes the digests of what callers present.
    pub fn digester(&self) -> &Digester {
        self.keyring.digester()
    }

    /// The newest event that can be read.
    pub fn newest(&self) -> u64 {
        self.log.newest()
    }

    /// Turns with every newest event.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.log.watch()
    }

    /// A page of events. Blocks.
    ///
    /// # Errors
    /// [`AuditError`]
    pub fn list(&self, caller: &Caller, request: &PageRequest) -> Result<Page, AuditError> {
        let filter = self.admitted(caller, &request.filter)?;
        page::read(&*self.log, &filter, request)
    }

    /// The events after `after`, the oldest first. Blocks.
    ///
    /// # Errors
    /// [`AuditError`]
    pub fn follow(
        &self,
        caller: &Caller,
        after: u64,
        filter: &Filter,
    ) -> Result<Batch, AuditError> {
        let filter = self.admitted(caller, filter)?;
        let scan = Scan {
            order: Order::OldestFirst,
            from: after.saturating_add(1),
            filter: &filter,
            limit: MAX_BATCH,
            max_reply: MAX_REPLY / 2,
            max_bytes: MAX_BYTES,
            max_time: MAX_TIME,
        };
        let scanned = self.log.read(&scan)?;
        let through = scanned.next.map_or(scanned.newest, |next| next.saturating_sub(1));
        let through = through.max(after);
        Ok(Batch { events: scanned.events, through, more: scanned.next.is_some() })
    }

    /// Refuses whoever may not read. Gives who it is.
    ///
    /// # Errors
    /// [`AuditError::Caller`]
    pub fn require_reader(&self, caller: &Caller) -> Result<Actor, AuditError> {
        let powers = self.keyring.authenticate(caller)?;
        powers.require(RIGHT)?;
        Ok(powers.actor())
    }

    /// Refuses whoever may not verify: all but the operator.
    ///
    /// # Errors
    /// [`AuditError::Caller`]
    pub fn require_operator(&self, caller: &Caller) -> Result<(), AuditError> {
        match self.keyring.authenticate(caller)? {
            Powers::All => Ok(()),
            Powers::Of(_) => Err(Refusal::Forbidden(
                "the verification of the audit log is for the operator token only".to_owned(),
            )
            .into()),
        }
    }

    /// Verifies the whole log, for the operator. Blocks.
    ///
    /// # Errors
    /// [`AuditError`] when nothing can be said.
    pub fn verify(
        &self,
        caller: &Caller,
        expected: Option<(u64, [u8; 32])>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verification, AuditError> {
        self.require_operator(caller)?;
        Ok(self.log.verify(expected, progress)?)
    }

    /// What of `filter` the caller may see now.
    ///
    /// # Errors
    /// [`AuditError::Caller`]
    fn admitted(&self, caller: &Caller, filter: &Filter) -> Result<Filter, AuditError> {
        let powers = self.keyring.authenticate(caller)?;
        powers.require(RIGHT)?;
        let within = powers.team().zip(powers.service());
        let within = within.map(|(team, service)| (team.to_owned(), service.to_owned()));
        Ok(Filter { within, ..filter.clone() })
    }
}
