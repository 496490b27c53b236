//! Looks through all keys: for lists, and for figures.
//!
//! INVARIANT: one look at a time, however many ask and from where, so that looks
//! cannot take the processors from the workers; and callers take turns, so that
//! none shuts out the others. A look runs beside the runtime's threads.
//! Once it has begun it keeps its turn to the end, also when nobody waits for it
//! any more.

use std::cell::RefCell;

use super::{Caller, Keyring, KeyringError, Powers, list::Uses};
use crate::clock::Timestamp;

/// Looks of one caller that wait for their turn; more are refused.
pub(super) const MAX_WAITING: usize = 16;

/// What is seen with: of one caller, at one moment.
pub(super) struct Look<'a> {
    pub(super) keyring: &'a Keyring,
    pub(super) powers: &'a Powers,
    pub(super) uses: &'a Uses<'a>,
    pub(super) now: Timestamp,
}

impl Keyring {
    /// Takes a look for `caller`, when it may read keys and its turn has come.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        caller: Caller,
        look: impl FnOnce(&Look<'_>) -> Result<T, KeyringError> + Send + 'static,
    ) -> Result<T, KeyringError> {
        // Proven before it waits: nobody waits in another's name.
        let powers = self.authenticate(&caller)?;
        powers.require("api_keys.read")?;
        let turn = self.looks.take(powers.actor()).await.ok_or(KeyringError::TooManyLooks)?;
        let keyring = self.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let seen = keyring.look_now(&caller, look);
            drop(turn);
            seen
        });
        looking.await.map_err(|_| KeyringError::BrokenOff)?
    }

    fn look_now<T>(
        &self,
        caller: &Caller,
        look: impl FnOnce(&Look<'_>) -> Result<T, KeyringError>,
    ) -> Result<T, KeyringError> {
        let powers = self.authenticate(caller)?;
        powers.require("api_keys.read")?;
        let now = self.clock.now();
        self.catalog.ready()?;
        // What cannot be taken in now is in a later look.
        let _ = self.usage.collect();
        let last_uses = RefCell::new(self.usage.last_uses());
        let last_used = |id| last_uses.borrow_mut().of(id);
        let uses = Uses { last_used: &last_used, since: self.usage.since() };
        look(&Look { keyring: self, powers: &powers, uses: &uses, now })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::Arc,
        task::{Context, Poll, Waker},
    };

    use tempfile::TempDir;

    use super::{
        super::{
            Identity, PageRequest,
            catalog::tests::{MemoryStore, a_key},
        },
        *,
    };
    use crate::{
        change::Actor,
        clock::Clock,
        digest::Digester,
        policy::{CurrentPolicy, Policy},
        usage::Usage,
    };

    #[tokio::test]
    async fn looks_take_turns_and_no_caller_has_many_that_wait() {
        let (dir, clock) = (TempDir::new().unwrap(), Clock::test(Timestamp(1000)));
        let store = MemoryStore::with([a_key("0000000001", "web")]);
        let policy = CurrentPolicy::new(Policy::built_in().unwrap());
        let usage = Usage::open(dir.path(), clock.clone()).unwrap();
        let keyring =
            Keyring::new(Arc::new(store), policy, Digester::new(None, None), usage, clock);
        let list = || {
            let (peer, request_id) = Default::default();
            let caller = Caller { identity: Identity::Operator, peer, request_id };
            Box::pin(keyring.list(caller, PageRequest::default()))
        };
        let turn = keyring.looks.take(Actor::System).await.unwrap();
        let (mut first, mut second) = (list(), pin!(list()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(first);
        let mut others: Vec<_> = (1..MAX_WAITING).map(|_| list()).collect();
        assert!(others.iter_mut().all(|list| list.as_mut().poll(&mut context).is_pending()));
        let refused = list().as_mut().poll(&mut context);
        assert!(matches!(refused, Poll::Ready(Err(KeyringError::TooManyLooks))), "{refused:?}");
        drop(turn);
        assert_eq!(second.await.unwrap().total, 1);
        for list in others {
            assert_eq!(list.await.unwrap().total, 1);
        }
    }
}
