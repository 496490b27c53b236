//! The catalog holds what the store holds, whatever happens while it is loaded
//! and walked.

use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, atomic::AtomicBool, atomic::Ordering},
    thread,
};

use super::*;
use crate::{
    change::Actor,
    clock::Timestamp,
    digest::Digest,
    store::{Changed, CommitError, Committed, Reader, Revision, Rule, Subscriber, Summary},
};

/// A key with an id and a team, and nothing else that matters.
pub(in crate::keyring) fn a_key(id: &str, team: &str) -> KeyRecord {
    KeyRecord {
        id: id.parse().unwrap(),
        name: format!("key {id}"),
        team: team.to_owned(),
        service: "ai-cms".to_owned(),
        role: "writer".to_owned(),
        grants: Vec::new(),
        active: true,
        expires: None,
        created: Timestamp(0),
        updated: Timestamp(0),
        subject: String::new(),
        description: String::new(),
        labels: BTreeMap::new(),
        created_by: Actor::Operator,
        revision: 0,
        secrets: Vec::new(),
        imported: None,
    }
}

type Meanwhile = Box<dyn Fn(&MemoryStore) + Send + Sync>;

/// A store in memory, which tells its subscribers as a real one does.
#[derive(Default)]
pub(in crate::keyring) struct MemoryStore {
    keys: Mutex<Arc<BTreeMap<KeyId, KeyRecord>>>,
    subscribers: Mutex<Vec<Subscriber>>,
    /// What happens when the first scan has taken its picture of the keys.
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl MemoryStore {
    pub(in crate::keyring) fn with(keys: impl IntoIterator<Item = KeyRecord>) -> Self {
        let keys: BTreeMap<_, _> = keys.into_iter().map(|key| (key.id, key)).collect();
        Self { keys: Mutex::new(Arc::new(keys)), ..Self::default() }
    }

    pub(in crate::keyring) fn put(&self, key: KeyRecord) {
        let before = Arc::make_mut(&mut self.keys.lock().unwrap()).insert(key.id, key.clone());
        self.tell(key.id, before.as_ref(), Some(&key));
    }

    pub(in crate::keyring) fn remove(&self, id: KeyId) {
        let before = Arc::make_mut(&mut self.keys.lock().unwrap()).remove(&id);
        self.tell(id, before.as_ref(), None);
    }

    /// Removes a key without telling anybody yet.
    pub(in crate::keyring) fn remove_untold(&self, id: KeyId) {
        Arc::make_mut(&mut self.keys.lock().unwrap()).remove(&id);
    }

    fn tell(&self, key_id: KeyId, before: Option<&KeyRecord>, after: Option<&KeyRecord>) {
        for subscriber in self.subscribers.lock().unwrap().iter() {
            subscriber(&Changed { key_id, before, after, revision: 0 });
        }
    }
}

impl Reader for MemoryStore {
    fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.keys.lock().unwrap().get(&id).cloned())
    }

    fn find(&self, _digest: &Digest) -> Result<Option<KeyId>, StoreError> {
        Ok(None)
    }
}

impl Store for MemoryStore {
    fn commit(
        &self,
        _rule: Rule,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Committed>, CommitError>> + Send + '_>> {
        Box::pin(async { Err(CommitError::Closed) })
    }

    fn scan(
        &self,
        after: Option<KeyId>,
    ) -> Box<dyn Iterator<Item = Result<KeyRecord, StoreError>> + Send + '_> {
        let keys = Arc::clone(&self.keys.lock().unwrap());
        if let Some(meanwhile) = self.meanwhile.lock().unwrap().take() {
            meanwhile(self);
        }
        let mut next = after.map_or(Bound::Unbounded, Bound::Excluded);
        Box::new(std::iter::from_fn(move || {
            let (id, key) = keys.range((next, Bound::Unbounded)).next()?;
            next = Bound::Excluded(*id);
            Some(Ok(key.clone()))
        }))
    }

    fn subscribe(&self, subscriber: Subscriber) {
        self.subscribers.lock().unwrap().push(subscriber);
    }

    fn revision(&self) -> Revision {
        0
    }

    fn summary(&self) -> Summary {
        unimplemented!("nobody asks")
    }
}

/// Id and name of every card after `after`.
fn walked(catalog: &Catalog, after: Option<KeyId>) -> Vec<(KeyId, String)> {
    let mut cards = Vec::new();
    catalog.walk(after, |_, id, card| {
        cards.push((id, str::from_utf8(card.name()).unwrap().to_owned()));
        ControlFlow::Continue(())
    });
    cards
}

pub(in crate::keyring) fn loaded(store: &dyn Store) -> Arc<Catalog> {
    let catalog = Catalog::follow(store);
    catalog.load(store);
    catalog
}

#[test]
fn a_walk_begins_after_any_id_and_goes_in_their_order() {
    let firsts = (b'0'..=b'z').filter(u8::is_ascii_alphanumeric).map(char::from);
    let id = |first: char, rest: &str| format!("{first}{rest}");
    let ids: Vec<_> = firsts
        .flat_map(|first| ["000000000", "mmmmmmmmm", "zzzzzzzzz"].map(|rest| id(first, rest)))
        .collect();
    assert!(ids.is_sorted());
    let store = MemoryStore::with(ids.iter().rev().map(|id| a_key(id, "web")));
    let catalog = loaded(&store);
    let named: Vec<_> =
        ids.iter().map(|id| (id.parse::<KeyId>().unwrap(), format!("key {id}"))).collect();
    assert_eq!(walked(&catalog, None), named);
    for (place, (id, _)) in named.iter().enumerate() {
        assert_eq!(walked(&catalog, Some(*id)), named[place + 1..]);
    }
}

#[test]
fn what_changes_while_the_keys_are_read_wins_over_what_was_read() {
    let ids = ["0gone00000", "0other0000", "0renamed00"];
    let store = MemoryStore::with(ids.map(|id| a_key(id, "web")));
    let renamed = || KeyRecord { name: "anew".to_owned(), ..a_key("0renamed00", "web") };
    // The scan has its picture already, and gives what was.
    *store.meanwhile.lock().unwrap() = Some(Box::new(move |store| {
        store.remove("0gone00000".parse().unwrap());
        store.put(renamed());
        store.put(a_key("0came00000", "apps"));
        store.put(a_key("0brief0000", "apps"));
        store.remove("0brief0000".parse().unwrap());
    }));
    let catalog = loaded(&store);
    let names = |catalog: &Catalog| {
        walked(catalog, None).into_iter().map(|(_, name)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(&catalog), ["key 0came00000", "key 0other0000", "anew"]);
    store.remove("0renamed00".parse().unwrap());
    assert_eq!(names(&catalog), ["key 0came00000", "key 0other0000"]);
}

#[test]
fn a_store_that_cannot_be_read_gives_no_catalog() {
    struct Broken;
    impl Reader for Broken {
        fn get(&self, _id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
            Ok(None)
        }
        fn find(&self, _digest: &Digest) -> Result<Option<KeyId>, StoreError> {
            Ok(None)
        }
    }
    impl Store for Broken {
        fn commit(
            &self,
            _rule: Rule,
        ) -> Pin<Box<dyn Future<Output = Result<Vec<Committed>, CommitError>> + Send + '_>>
        {
            Box::pin(async { Err(CommitError::Closed) })
        }
        fn scan(
            &self,
            after: Option<KeyId>,
        ) -> Box<dyn Iterator<Item = Result<KeyRecord, StoreError>> + Send + '_> {
            let broken = after.is_some_and(|id| id.as_str().starts_with('m'));
            Box::new(broken.then_some(Err(StoreError::Unavailable("a test"))).into_iter())
        }
        fn subscribe(&self, _subscriber: Subscriber) {}
        fn revision(&self) -> Revision {
            0
        }
        fn summary(&self) -> Summary {
            unimplemented!("nobody asks")
        }
    }
    assert!(matches!(loaded(&Broken).ready(), Err(StoreError::Unavailable(_))));
}

#[test]
fn a_class_is_given_up_with_its_last_card_and_its_number_given_anew() {
    let store = MemoryStore::default();
    let catalog = loaded(&store);
    for number in 0..1000 {
        let team = format!("team-{number}");
        store.put(a_key("0000000001", &team));
        store.put(a_key("0000000002", &team));
        assert_eq!(catalog.read().classes.given_up(), number);
        catalog.walk(None, |classes, _, card| {
            assert_eq!(classes.get(card.class()).unwrap().team, team);
            ControlFlow::Continue(())
        });
    }
    store.remove("0000000001".parse().unwrap());
    assert_eq!(catalog.read().classes.given_up(), 999);
    store.remove("0000000002".parse().unwrap());
    assert_eq!(catalog.read().classes.given_up(), 1000);
}

#[test]
fn a_walk_beside_changes_visits_what_stays_once() {
    let id = |number: usize| format!("{}{number:09}", ["A", "Q", "z"][number % 3]);
    let count = 3 * CHUNK;
    // Every second one stays.
    let store = MemoryStore::with((0..count).map(|number| a_key(&id(number), "web")));
    let catalog = loaded(&store);
    let staying: Vec<_> =
        walked(&catalog, None).into_iter().filter(|(id, _)| id.as_bytes()[9] % 2 == 0).collect();
    let (started, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in (1..count).step_by(2).cycle() {
                store.remove(id(number).parse().unwrap());
                started.store(true, Ordering::SeqCst);
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                store.put(a_key(&id(number), "apps"));
            }
        });
        while !started.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        for _ in 0..20 {
            let seen = walked(&catalog, None);
            assert!(seen.is_sorted_by(|one, next| one.0 < next.0));
            let stayed = seen.into_iter().filter(|(id, _)| id.as_bytes()[9] % 2 == 0);
            assert!(stayed.eq(staying.iter().cloned()));
        }
        stop.store(true, Ordering::SeqCst);
    });
}
