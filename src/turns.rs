//! Turns of work that takes long and would take the processors from the workers.
//!
//! INVARIANT: one at a time, in the order in which they were asked for. Whoever gives up waiting
//! leaves the queue. No client has more than a few that wait, so none makes the others wait for
//! long.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The queue of one kind of work, for clients who are told apart by `C`.
#[derive(Debug)]
pub(crate) struct Turns<C> {
    turn: Arc<Semaphore>,
    most_waiting: usize,
    /// How many, by client; those alone that have any.
    waiting: Mutex<HashMap<C, usize>>,
}

/// One that waits.
struct Waiting<'a, C: Clone + Eq + Hash> {
    turns: &'a Turns<C>,
    client: C,
}

impl<C: Clone + Eq + Hash> Turns<C> {
    /// Nobody's turn; of each client at most `most_waiting` wait for theirs.
    pub(crate) fn new(most_waiting: usize) -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), most_waiting, waiting: Mutex::default() }
    }

    /// A turn of `client`, once it comes; ends when the permit is dropped. `None`: too many of this
    /// client wait already.
    pub(crate) async fn take(&self, client: C) -> Option<OwnedSemaphorePermit> {
        if let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() {
            return Some(turn);
        }
        let _waiting = self.wait(client)?;
        // INVARIANT: it is never closed.
        Arc::clone(&self.turn).acquire_owned().await.ok()
    }

    fn wait(&self, client: C) -> Option<Waiting<'_, C>> {
        let mut waiting = self.waiting();
        let count = waiting.get(&client).copied().unwrap_or_default();
        if count >= self.most_waiting {
            return None;
        }
        waiting.insert(client.clone(), count + 1);
        Some(Waiting { turns: self, client })
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<C, usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Clone + Eq + Hash> Drop for Waiting<'_, C> {
    fn drop(&mut self) {
        let mut waiting = self.turns.waiting();
        let left = waiting.get(&self.client).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => drop(waiting.remove(&self.client)),
            left => drop(waiting.insert(self.client.clone(), left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    #[tokio::test]
    async fn of_one_client_few_wait_and_another_still_may() {
        let turns = Turns::new(2);
        let mut context = Context::from_waker(Waker::noop());
        let running = turns.take("one").await.unwrap();
        let mut first = pin!(turns.take("one"));
        assert!(first.as_mut().poll(&mut context).is_pending());
        {
            let mut second = pin!(turns.take("one"));
            assert!(second.as_mut().poll(&mut context).is_pending());
            assert!(turns.take("one").await.is_none());
            assert!(pin!(turns.take("another")).poll(&mut context).is_pending());
        }
        // Who gave up waits no more.
        assert_eq!(turns.waiting().len(), 1);
        assert!(pin!(turns.take("one")).poll(&mut context).is_pending());
        drop(running);
        assert!(matches!(first.as_mut().poll(&mut context), Poll::Ready(Some(_))));
        assert!(turns.waiting().is_empty());
    }
}
