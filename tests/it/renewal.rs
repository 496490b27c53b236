//! Renewed digests, with the server's task in the test's hands: what a renewal may
//! change that is late.

use std::sync::Arc;

use octavia_authz::{
    authorizer::{Authorizer, Outcome, Question, Reason},
    clock::{Clock, Timestamp},
    digest::{Digest, Digester, Pepper, Renewal, Scheme},
    keyring::{Caller, Identity, Imported, ImportedKey, Keyring, NewKey},
    policy::{CurrentPolicy, Policy},
    store::{Embedded, Store as _},
    token::{KeyId, Token},
    usage::Usage,
};
use sha2::Digest as _;
use tempfile::TempDir;

use crate::sidecar::wait_until;

struct Parts {
    dir: TempDir,
    store: Arc<Embedded>,
    digester: Digester,
    authorizer: Authorizer,
    keyring: Keyring,
}

fn parts() -> Parts {
    parts_with(None)
}

fn parts_with(pepper: Option<Pepper>) -> Parts {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(Embedded::open(&dir.path().join("data")).unwrap());
    let digester = Digester::new(pepper, None);
    let (told, clock) = (digester.clone(), Clock::test(Timestamp(1_800_000_000_000)));
    store.subscribe(Box::new(move |changed| told.count(changed.before, changed.after)));
    let usage = Usage::open(&dir.path().join("usage"), clock.clone()).unwrap();
    let policy = CurrentPolicy::new(Policy::built_in().unwrap());
    let (kept, ours) = (store.clone(), policy.clone());
    let authorizer =
        Authorizer::new(kept, ours, digester.clone(), usage.clone(), 1000, clock.clone());
    let keyring = Keyring::new(store.clone(), policy, digester.clone(), usage, clock);
    Parts { dir, store, digester, authorizer, keyring }
}

fn operator() -> Caller {
    Caller { identity: Identity::Operator, peer: String::new(), request_id: String::new() }
}

fn by_sha256(text: &str) -> (Scheme, Digest) {
    (Scheme::Sha256, Digest::from_bytes(sha2::Sha256::digest(text).into()))
}

fn by_blake3(text: &str) -> (Scheme, Digest) {
    (Scheme::Blake3, Digest::of(text.as_bytes()))
}

impl Parts {
    async fn import(&self, id: Option<KeyId>, (scheme, digest): (Scheme, Digest)) -> KeyId {
        let new = NewKey { name: "a key".into(), role: "writer".into(), ..NewKey::default() };
        let (hint, created, last_used) = (String::new(), None, None);
        let key = ImportedKey { new, scheme, digest, id, hint, created, last_used };
        match self.keyring.import(operator(), vec![key], false).await.unwrap().as_slice() {
            [Imported::Done(id)] => *id,
            other => panic!("{other:?}"),
        }
    }

    async fn revoke(&self, id: KeyId) {
        self.keyring.revoke(operator(), id.as_str(), String::new(), false).await.unwrap();
    }

    fn outcome(&self, text: &str) -> Outcome {
        let question = Question { key: text, action: "articles.create", ..Question::default() };
        self.authorizer.authorize(&question).unwrap().outcome
    }

    /// What the use of `text` asks for, and nobody has done yet.
    async fn asked_by_use_of(&self, text: &str) -> Vec<Renewal> {
        assert_eq!(self.outcome(text), Outcome::Allow);
        let renewals = self.digester.renewals().await;
        assert_eq!(renewals.len(), 1);
        renewals
    }

    /// The directory, free for the next start.
    fn ended(self) -> TempDir {
        let Self { dir, store, digester, authorizer, keyring } = self;
        drop((authorizer, keyring, digester));
        // The keyring's loader has a thread of its own, and the store while it reads.
        wait_until("the store to be let go of", || Arc::strong_count(&store) == 1);
        drop(store);
        dir
    }
}

const UNKNOWN: Outcome = Outcome::Deny(Reason::KeyUnknown);

#[tokio::test]
async fn a_late_renewal_never_brings_a_revoked_text_back() {
    let parts = parts();
    let id = KeyId::generate().unwrap();
    let [old, new] = [(); 2].map(|()| Token::generate(id).unwrap().reveal().to_owned());
    parts.import(Some(id), by_sha256(&old)).await;
    let late = parts.asked_by_use_of(&old).await;
    parts.revoke(id).await;
    parts.import(Some(id), by_sha256(&new)).await;
    parts.keyring.renew(late).await.unwrap();
    assert_eq!((parts.outcome(&old), parts.outcome(&new)), (UNKNOWN, Outcome::Allow));
}

#[tokio::test]
async fn a_late_renewal_takes_no_digest_that_another_key_has() {
    let parts = parts();
    let first = parts.import(None, by_sha256("twice")).await;
    let late = parts.asked_by_use_of("twice").await;
    let second = parts.import(None, by_blake3("twice")).await;
    assert_eq!(parts.outcome("twice"), UNKNOWN);
    parts.keyring.renew(late).await.unwrap();
    assert_eq!(parts.outcome("twice"), UNKNOWN);
    // Each is found by its own digest: the one that is left is whole.
    parts.revoke(second).await;
    assert_eq!(parts.outcome("twice"), Outcome::Allow);
    parts.revoke(first).await;
    assert_ne!(parts.outcome("twice"), Outcome::Allow);
}

#[tokio::test]
async fn of_renewals_made_together_only_one_takes_a_digest() {
    // Neither of the two ways in which it was imported is the one in force.
    let parts = parts_with(Some(Pepper::new(b"of this test")));
    parts.import(None, by_sha256("twice")).await;
    let mut both = parts.asked_by_use_of("twice").await;
    let second = parts.import(None, by_blake3("twice")).await;
    // As if the second had come between two looks for the first.
    both.push(Renewal { id: second, old: by_blake3("twice"), new: both[0].new });
    parts.keyring.renew(both).await.unwrap();
    assert_eq!((parts.digester.outdated(), parts.outcome("twice")), (1, UNKNOWN));
    parts.revoke(second).await;
    assert_eq!(parts.outcome("twice"), Outcome::Allow);
}

#[tokio::test]
async fn a_state_in_which_one_text_was_two_keys_is_whole_at_the_next_start() {
    let parts = parts();
    parts.import(None, by_sha256("twice")).await;
    let late = parts.asked_by_use_of("twice").await;
    parts.import(None, by_blake3("twice")).await;
    parts.keyring.renew(late).await.unwrap();
    let dir = parts.ended();
    let again = Embedded::open(&dir.path().join("data")).unwrap();
    assert_eq!(again.recovery().set_aside, None);
    assert_eq!(again.summary().key_count, 2);
}

#[tokio::test]
async fn a_renewal_is_made_once_and_changes_nothing_but_the_digest() {
    let parts = parts();
    parts.import(None, by_sha256("text")).await;
    let renewals = parts.asked_by_use_of("text").await;
    parts.keyring.renew(renewals.clone()).await.unwrap();
    let revision = parts.store.revision();
    parts.keyring.renew(renewals).await.unwrap();
    assert_eq!(parts.store.revision(), revision);
    assert_eq!((parts.outcome("text"), parts.digester.outdated()), (Outcome::Allow, 0));
}
