//! What the walk of a request leaves behind: the use of keys.

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;
use crate::{
    change::{Actor, Change, ChangeKind, Effect, Origin},
    record::{KeyRecord, SecretRecord},
    store::Embedded,
    token::Token,
    usage::{DayUsage, KeyUsage},
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn put(store: &Embedded, active: bool) -> (KeyId, Token) {
    let id = KeyId::generate().unwrap();
    let token = Token::generate(id).unwrap();
    let secret = SecretRecord::new(&token, 3, &Digester::new(None, None), NOW);
    let key = KeyRecord {
        id,
        name: "a key".to_owned(),
        team: "default".to_owned(),
        service: "ai-cms".to_owned(),
        role: "writer".to_owned(),
        grants: Vec::new(),
        active,
        expires: None,
        created: NOW,
        updated: NOW,
        subject: String::new(),
        description: String::new(),
        labels: BTreeMap::new(),
        created_by: Actor::Operator,
        revision: 0,
        secrets: vec![secret],
        imported: None,
    };
    let change = Change {
        kind: ChangeKind::Create,
        time: NOW,
        origin: Origin { actor: Actor::Operator, peer: String::new(), request_id: String::new() },
        key_id: Some(id),
        team: "default".to_owned(),
        service: "ai-cms".to_owned(),
        effect: Effect::Put(Box::new(key)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.commit(Box::new(move |_| Ok(vec![change.clone()])))).unwrap();
    (id, token)
}

#[test]
fn what_a_proven_key_asks_is_counted_and_what_proves_nothing_is_not() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(Embedded::open(&dir.path().join("data")).unwrap());
    let clock = Clock::test(NOW);
    let usage = Usage::open(&dir.path().join("usage"), clock.clone()).unwrap();
    let policy = CurrentPolicy::new(Policy::built_in().unwrap());
    let digester = Digester::new(None, None);
    let authorizer =
        Authorizer::new(store.clone(), policy, digester, usage.clone(), 100, clock.clone());
    let (id, token) = put(&store, true);
    let (inactive, inactive_token) = put(&store, false);
    let ask = |key: &str, action: &str| {
        let question = Question { key, action, ..Question::default() };
        authorizer.authorize(&question).unwrap().outcome == Outcome::Allow
    };

    let wrong = Token::generate(id).unwrap();
    assert!(!ask(wrong.reveal(), "articles.create"));
    assert!(!ask("no key", "articles.create"));
    assert_eq!(usage.of(id).unwrap(), KeyUsage::default());

    assert!(ask(token.reveal(), "articles.create"));
    clock.set(Timestamp(NOW.0 + 1));
    assert!(!ask(token.reveal(), "no.such"));
    assert!(!ask(inactive_token.reveal(), "articles.create"));
    clock.set(Timestamp(NOW.0 + 2));
    assert!(authorizer.authenticate(token.reveal(), "").unwrap().is_ok());
    let at = Timestamp(NOW.0 + 2);
    let today = DayUsage { start: Timestamp(NOW.0 - NOW.0 % 86_400_000), allowed: 1, denied: 1 };
    let (secrets, days) = (vec![(3, at)], vec![today]);
    let expected = KeyUsage { last_used: Some(at), allowed: 1, denied: 1, secrets, days };
    assert_eq!(usage.of(id).unwrap(), expected);
    assert_eq!(usage.of(inactive).unwrap().denied, 1);
}
