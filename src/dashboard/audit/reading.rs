//! Whose turn it is to read the log.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::verification::Verifications;

/// Reads of one session that wait for their turn; more are refused.
const MAX_WAITING: usize = 2;

/// Reads the log for pages.
///
/// INVARIANT: one page at a time, and beside it one verification, which takes a thread of its own for
/// as long as it lasts: visitors cannot take more of the processors from the workers. And no session
/// has more than a few waiting: no visitor can make the others wait for long.
#[derive(Debug)]
pub struct Reading {
    turn: Arc<Semaphore>,
    /// How many, by session; those alone that have any.
    waiting: Mutex<HashMap<String, usize>>,
    pub(super) verifications: Verifications,
}

/// A read that waits.
struct Waiting<'a> {
    reading: &'a Reading,
    session: &'a str,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            waiting: Mutex::default(),
            verifications: Verifications::default(),
        }
    }
}

impl Reading {
    /// The turn of a read of `session`, once it comes; `None`: too many of its reads wait. Whoever
    /// gives up waiting leaves the queue.
    pub(super) async fn turn(&self, session: &str) -> Option<OwnedSemaphorePermit> {
        if let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() {
            return Some(turn);
        }
        let _waiting = self.wait(session)?;
        // INVARIANT: it is never closed.
        Arc::clone(&self.turn).acquire_owned().await.ok()
    }

    fn wait<'a>(&'a self, session: &'a str) -> Option<Waiting<'a>> {
        let mut waiting = self.waiting();
        let count = waiting.entry(session.to_owned()).or_default();
        if *count >= MAX_WAITING {
            return None;
        }
        *count += 1;
        Some(Waiting { reading: self, session })
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.reading.waiting();
        let left = waiting.get(self.session).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => drop(waiting.remove(self.session)),
            left => drop(waiting.insert(self.session.to_owned(), left)),
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
    async fn of_one_session_few_reads_wait_and_another_session_still_may() {
        let reading = Reading::default();
        let mut context = Context::from_waker(Waker::noop());
        let running = reading.turn("one").await.unwrap();
        let mut first = pin!(reading.turn("one"));
        assert!(first.as_mut().poll(&mut context).is_pending());
        {
            let mut second = pin!(reading.turn("one"));
            assert!(second.as_mut().poll(&mut context).is_pending());
            assert!(reading.turn("one").await.is_none());
            assert!(pin!(reading.turn("another")).poll(&mut context).is_pending());
        }
        // Who gave up waits no more.
        assert_eq!(reading.waiting().len(), 1);
        assert!(pin!(reading.turn("one")).poll(&mut context).is_pending());
        drop(running);
        assert!(matches!(first.as_mut().poll(&mut context), Poll::Ready(Some(_))));
        assert!(reading.waiting().is_empty());
    }
}
