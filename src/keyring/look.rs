//! Looks through all keys: for lists, and for figures.
//!
//! INVARIANT: one look at a time, however many ask and from where, so that looks
//! cannot take the processors from the workers. It runs beside the runtime's
//! threads. Whoever gives up waiting for its turn leaves the queue; a look that
//! has begun keeps its turn to the end, also when nobody waits for it any more.

use std::{cell::RefCell, sync::Arc};

use super::{Caller, Keyring, KeyringError, Powers, list::Uses};
use crate::clock::Timestamp;

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
        let turn = Arc::clone(&self.looks).acquire_owned().await;
        let turn = turn.map_err(|_| KeyringError::BrokenOff)?;
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
        task::{Context, Waker},
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
        clock::Clock,
        digest::Digester,
        policy::{CurrentPolicy, Policy},
        usage::Usage,
    };

    #[tokio::test]
    async fn looks_take_turns_and_one_that_is_given_up_leaves_the_queue() {
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
        let turn = Arc::clone(&keyring.looks).acquire_owned().await.unwrap();
        let (mut first, mut second) = (list(), pin!(list()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(first);
        drop(turn);
        assert_eq!(second.await.unwrap().total, 1);
        assert_eq!(keyring.looks.available_permits(), 1);
    }
}
