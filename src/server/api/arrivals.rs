//! Calls that wait for the rest of their message.
//!
//! INVARIANT: there is an entry for each as long as its [`Arriving`] lives. Calls that have arrived
//! are answered as fast as we can, others as slowly as their clients like: so of those the oldest
//! makes room when there are too many.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use super::Api;

/// Those of an API, in the order in which they came.
#[derive(Default)]
pub(super) struct Arrivals(Mutex<Waiters>);

#[derive(Default)]
struct Waiters {
    next: u64,
    open: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A call whose message arrives.
pub(in crate::server) struct Arriving {
    api: Api,
    id: u64,
    told: oneshot::Receiver<()>,
}

impl Arrivals {
    /// One more, of `api`, whose these are.
    pub(super) fn enter(&self, api: &Api) -> Arriving {
        let (tell, told) = oneshot::channel();
        let mut waiters = self.waiters();
        let id = waiters.next;
        waiters.next = id.wrapping_add(1);
        waiters.open.insert(id, tell);
        drop(waiters);
        Arriving { api: api.clone(), id, told }
    }

    /// Tells the oldest to make room. False if there is none.
    pub(super) fn evict_oldest(&self) -> bool {
        let oldest = self.waiters().open.pop_first();
        // One that ends by itself does not listen, and makes room, too.
        oldest.map(|(_, tell)| tell.send(())).is_some()
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arriving {
    /// Ready when it has to make room.
    pub(in crate::server) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        std::pin::Pin::new(&mut self.told).poll(cx).map(|_| ())
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.api.arrivals().waiters().open.remove(&self.id);
    }
}
