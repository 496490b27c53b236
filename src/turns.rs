//! Turns of work that takes long and would take the processors from the workers.
//!
//! INVARIANT: one at a time, in the order in which they were asked for: of each client first
//! among its own, and then its first among the first of the others. So however much one client
//! asks for, another waits for no more than one turn of each. Whoever gives up waiting leaves
//! the queue. No client has more than a few that wait.

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
    /// Those alone that wait.
    clients: Mutex<HashMap<C, Client>>,
}

#[derive(Debug)]
struct Client {
    waiting: usize,
    /// Whose turn it is to wait among the others.
    first: Arc<Semaphore>,
}

/// One that waits.
struct Waiting<'a, C: Clone + Eq + Hash> {
    turns: &'a Turns<C>,
    client: C,
    first: Arc<Semaphore>,
}

impl<C: Clone + Eq + Hash> Turns<C> {
    /// Nobody's turn; of each client at most `most_waiting` wait for theirs.
    pub(crate) fn new(most_waiting: usize) -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), most_waiting, clients: Mutex::default() }
    }

    /// A turn of `client`, once it comes; ends when the permit is dropped. `None`: too many of this
    /// client wait already.
    pub(crate) async fn take(&self, client: C) -> Option<OwnedSemaphorePermit> {
        if let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() {
            return Some(turn);
        }
        let waiting = self.wait(client)?;
        // INVARIANT: they are never closed.
        let _first = waiting.first.acquire().await.ok()?;
        Arc::clone(&self.turn).acquire_owned().await.ok()
    }

    fn wait(&self, client: C) -> Option<Waiting<'_, C>> {
        let mut clients = self.clients();
        let new = || Client { waiting: 0, first: Arc::new(Semaphore::new(1)) };
        let known = clients.entry(client.clone()).or_insert_with(new);
        if known.waiting >= self.most_waiting {
            return None;
        }
        known.waiting += 1;
        Some(Waiting { turns: self, client, first: Arc::clone(&known.first) })
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<C, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Clone + Eq + Hash> Drop for Waiting<'_, C> {
    fn drop(&mut self) {
        let mut clients = self.turns.clients();
        if let Some(known) = clients.get_mut(&self.client) {
            known.waiting = known.waiting.saturating_sub(1);
            if known.waiting == 0 {
                clients.remove(&self.client);
            }
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
        assert_eq!(turns.clients().len(), 1);
        assert!(pin!(turns.take("one")).poll(&mut context).is_pending());
        drop(running);
        assert!(matches!(first.as_mut().poll(&mut context), Poll::Ready(Some(_))));
        assert!(turns.clients().is_empty());
    }

    #[tokio::test]
    async fn however_many_of_one_client_wait_another_is_the_next_but_one() {
        let turns = Turns::new(16);
        let mut context = Context::from_waker(Waker::noop());
        let running = turns.take("greedy").await.unwrap();
        let mut greedy: Vec<_> = (0..16).map(|_| Box::pin(turns.take("greedy"))).collect();
        assert!(greedy.iter_mut().all(|one| one.as_mut().poll(&mut context).is_pending()));
        let mut other = pin!(turns.take("other"));
        assert!(other.as_mut().poll(&mut context).is_pending());
        drop(running);
        let Poll::Ready(Some(next)) = greedy[0].as_mut().poll(&mut context) else {
            panic!("it was there first")
        };
        assert!(greedy[1].as_mut().poll(&mut context).is_pending());
        drop(next);
        assert!(matches!(other.as_mut().poll(&mut context), Poll::Ready(Some(_))));
    }
}
