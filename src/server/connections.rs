//! The open connections of an API: how many, how idle, and how one is told to end.
//!
//! INVARIANT: there are never more than a tenth over the limit, and those over it are ending.

mod activity;
mod debt;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tokio_rustls::rustls::pki_types::CertificateDer;

use self::{activity::millis, debt::Debts};
pub(super) use self::{
    activity::{Activity, InFlight},
    debt::Piece,
};
use crate::metrics::{Connected, ListenerMetrics};

/// Those of one API. Clones are the same.
#[derive(Clone)]
pub(super) struct Connections(Arc<Inner>);

struct Inner {
    max: usize,
    /// A stream on which nothing was answered for so long, in milliseconds, keeps no connection
    /// from being idle.
    quiet: u64,
    epoch: Instant,
    debts: Debts,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, Entry>,
    /// How many of them were told to end.
    told: usize,
    next: u64,
    draining: bool,
}

struct Entry {
    activity: Arc<Activity>,
    /// Gone when it was told already.
    end: Option<oneshot::Sender<End>>,
    /// The certificates that the client has shown.
    chain: Option<Arc<[CertificateDer<'static>]>>,
}

/// There is no place for a connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// In a moment there may be: some are ending.
    ForNow,
    /// Calls are in flight on all of them.
    Busy,
}

/// Why a connection has to end.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The sidecar stops.
    Drain,
    /// It makes room for another.
    Evicted,
    /// Its client's CA is gone.
    Distrusted,
}

/// A connection's place in the table; free when this is dropped.
pub(super) struct Place {
    connections: Connections,
    id: u64,
    activity: Arc<Activity>,
    _connected: Connected,
}

/// Tells a connection that it has to end.
pub(super) struct Ended(Option<oneshot::Receiver<End>>);

impl Connections {
    /// At most `max`; a stream may be `quiet` for so long, and clients may leave `owed` bytes of
    /// their answers untaken together.
    pub(super) fn new(max: usize, quiet: Duration, owed: usize) -> Self {
        let (quiet, epoch, debts) = (millis(quiet), Instant::now(), Debts::new(owed));
        Self(Arc::new(Inner { max, quiet, epoch, debts, table: Mutex::default() }))
    }

    /// A place for one more. Where there is none the idlest are told to end: those that have made
    /// no call first, the oldest of them first.
    pub(super) fn admit(&self, metrics: &ListenerMetrics) -> Result<(Place, Ended), Full> {
        let max = self.0.max;
        let mut table = self.table();
        if table.open.len() >= max.saturating_add(max / 10 + 1) {
            return Err(Full::ForNow);
        }
        // Those that were told already make room, too.
        let staying = table.open.len().saturating_sub(table.told);
        if staying >= max {
            table.evict(max / 100 + 1, self.0.quiet)?;
        }
        let activity = Arc::new(Activity::new(self.0.epoch, self.0.debts.of_one()));
        let (end, told) = oneshot::channel();
        let id = table.next;
        table.next = id.wrapping_add(1);
        if table.draining {
            // The receiver is there: it cannot fail.
            let _ = end.send(End::Drain);
        } else {
            let entry = Entry { activity: Arc::clone(&activity), end: Some(end), chain: None };
            table.open.insert(id, entry);
        }
        drop(table);
        let connections = self.clone();
        let connected = metrics.connected();
        let place = Place { connections, id, activity, _connected: connected };
        Ok((place, Ended(Some(told))))
    }

    /// Tells all to end, and those to come.
    pub(super) fn drain(&self) {
        let mut table = self.table();
        table.draining = true;
        for entry in table.open.values_mut() {
            entry.tell(End::Drain);
        }
        table.told = table.open.len();
    }

    /// Tells those to end whose client has shown certificates, or none, that `admits` does not
    /// let in.
    pub(super) fn end_distrusted(&self, admits: impl Fn(&[CertificateDer<'static>]) -> bool) {
        let shown = |(id, entry): (&u64, &Entry)| Some((*id, entry.chain.clone()?));
        let shown: Vec<_> = self.table().open.iter().filter_map(shown).collect();
        // Without the lock: signatures are verified, and others come and go.
        for (id, chain) in shown {
            if admits(&chain) {
                continue;
            }
            let mut table = self.table();
            let Some(entry) = table.open.get_mut(&id) else { continue };
            // Whether it ends already or not.
            entry.activity.distrust();
            if entry.tell(End::Distrusted) {
                table.told = table.told.saturating_add(1);
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Tells the `count` idlest to end, or as many as are idle; streams may be `quiet` for so long.
    ///
    /// # Errors
    /// None is.
    fn evict(&mut self, count: usize, quiet: u64) -> Result<(), Full> {
        let staying = self.open.iter().filter(|(_, entry)| entry.end.is_some());
        let idle = staying.filter_map(|(id, entry)| Some((entry.activity.idle_since(quiet)?, *id)));
        let mut idle: Vec<_> = idle.collect();
        if idle.is_empty() {
            return Err(if self.told > 0 { Full::ForNow } else { Full::Busy });
        }
        if let Some(last) = count.checked_sub(1)
            && last < idle.len()
        {
            idle.select_nth_unstable(last);
            idle.truncate(count);
        }
        for (_, id) in &idle {
            if let Some(entry) = self.open.get_mut(id) {
                entry.tell(End::Evicted);
            }
        }
        self.told = self.told.saturating_add(idle.len());
        Ok(())
    }
}

impl Entry {
    /// Tells it to end; false if it was told already.
    fn tell(&mut self, end: End) -> bool {
        let Some(told) = self.end.take() else { return false };
        // One that ends by itself does not listen.
        let _ = told.send(end);
        true
    }
}

impl Place {
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// The client has shown `chain`.
    pub(super) fn shown(&self, chain: Vec<CertificateDer<'static>>) {
        if let Some(entry) = self.connections.table().open.get_mut(&self.id) {
            entry.chain = Some(chain.into());
        }
    }
}

impl Ended {
    /// Why the connection has to end, once it has to, and never again.
    pub(super) async fn why(&mut self) -> End {
        if let Some(told) = &mut self.0 {
            let end = told.await;
            self.0 = None;
            if let Ok(end) = end {
                return end;
            }
        }
        std::future::pending().await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        if table.open.remove(&self.id).is_some_and(|entry| entry.end.is_none()) {
            table.told = table.told.saturating_sub(1);
        }
    }
}
