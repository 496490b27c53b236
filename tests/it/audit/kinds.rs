//! The events of what is not one call about one key: imports, new digests, batches.

use std::time::Instant;

use octavia_authz::pb::v1::{
    ApiKey, AuditEvent, AuditEventKind as Kind, AuditFilter, BatchRevokeApiKeysRequest,
    GetApiKeyRequest, ImportApiKeysRequest, ImportedKey, imported_key::Digest,
};
use sha2::Digest as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;

use super::{all, audit, create_in, list};
use crate::sidecar::{PATIENCE, Sidecar, without_usage};

fn imported(name: &str, text: &str) -> ImportedKey {
    let digest = sha2::Sha256::digest(text.as_bytes());
    let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    ImportedKey {
        name: name.into(),
        role: "writer".into(),
        team: "web".into(),
        digest: Some(Digest::Sha256(hex)),
        ..Default::default()
    }
}

async fn get(sidecar: &Sidecar, id: &str) -> ApiKey {
    let got = sidecar.keys().await.get_api_key(GetApiKeyRequest { id: id.into() }).await;
    without_usage(got.unwrap().into_inner().api_key.unwrap())
}

#[tokio::test]
async fn an_import_is_an_event_for_each_key_that_came_and_each_that_was_refused() {
    let sidecar = Sidecar::start();
    let keys = vec![
        imported("one", "first"),
        ImportedKey { role: "king".into(), ..imported("two", "second") },
        imported("three", "third"),
        // There already: nothing was done.
        imported("one", "first"),
    ];
    let trial = ImportApiKeysRequest { keys: keys.clone(), dry_run: true };
    let real = ImportApiKeysRequest { keys, dry_run: false };
    let (messages, sent) = mpsc::channel(1);
    let mut request = Request::new(ReceiverStream::new(sent));
    request.metadata_mut().insert("x-request-id", "import-7".parse().unwrap());
    let mut answers = sidecar.keys().await.import_api_keys(request).await.unwrap().into_inner();
    let mut refusal = String::new();
    for message in [trial, real] {
        // One after the other: what is on the way at once is taken over side by side.
        messages.send(message).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!((answer.imported_count, answer.existing_count, answer.failed_count), (2, 1, 1));
        refusal = answer.failures[0].message.clone();
    }
    drop(messages);
    assert_eq!(answers.message().await.unwrap(), None);
    let events = all(&sidecar).await;
    assert_eq!(events.len(), 3, "{events:?}");
    for event in &events {
        assert_eq!((event.kind(), event.actor.as_str()), (Kind::Import, "operator"));
        assert_eq!((event.request_id.as_str(), &event.before), ("import-7", &None));
        assert!(event.peer.starts_with("127.0.0.1:"), "{}", event.peer);
    }
    let [done, refused]: [Vec<&AuditEvent>; 2] = [false, true]
        .map(|refused| events.iter().filter(|event| event.refusal.is_some() == refused).collect());
    let [first, third] = done[..] else { panic!("{events:?}") };
    for (event, name) in [(first, "one"), (third, "three")] {
        let after = event.after.clone().unwrap();
        assert_eq!(
            (after.name.as_str(), &after.id, event.team.as_str()),
            (name, &event.key_id, "web")
        );
        assert!(after.import_time.is_some());
        assert_eq!(get(&sidecar, &event.key_id).await, without_usage(after));
    }
    let [refused] = refused[..] else { panic!("{events:?}") };
    assert_eq!((refused.key_id.as_str(), &refused.after), ("", &None));
    let why = refused.refusal.as_ref().unwrap();
    assert_eq!((why.code, &why.message, why.unlisted_count), (3, &refusal, 0));
    assert!(refusal.contains("`king`"), "{refusal}");
    sidecar.finish().await;
}

#[tokio::test]
async fn a_digest_that_is_made_anew_is_an_event_of_the_system() {
    let sidecar = Sidecar::start();
    let keys = vec![imported("one", "first")];
    let message = ImportApiKeysRequest { keys, dry_run: false };
    let answers = sidecar.keys().await.import_api_keys(tokio_stream::iter([message])).await;
    answers.unwrap().into_inner().message().await.unwrap().unwrap();
    let id = sidecar.authorize("first", "articles.create").await.key_id;
    let redigests = AuditFilter { kinds: vec![Kind::Redigest.into()], ..Default::default() };
    let mut log = audit(&sidecar).await;
    let started = Instant::now();
    let events = loop {
        let events = list(&mut log, redigests.clone()).await.unwrap();
        if !events.is_empty() {
            break events;
        }
        assert!(started.elapsed() < PATIENCE, "its digest stays as it is");
    };
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((event.actor.as_str(), &event.key_id, event.team.as_str()), ("system", &id, "web"));
    assert_eq!((event.peer.as_str(), event.request_id.as_str()), ("", ""));
    assert_eq!((event.sequence, &event.refusal), (2, &None));
    let (before, after) = (event.before.clone().unwrap(), event.after.clone().unwrap());
    let schemes = [&before, &after].map(|key| key.secrets[0].digest_scheme.as_str());
    assert_eq!(schemes, ["sha256", "blake3"]);
    // Nothing else: not even when people last changed it.
    let mut expected = ApiKey { etag: after.etag.clone(), ..before };
    expected.secrets[0].digest_scheme = "blake3".into();
    assert_eq!(after, expected);
    assert_eq!(get(&sidecar, &id).await, without_usage(after));
    let by_system = AuditFilter { actor: "system".into(), ..Default::default() };
    assert_eq!(list(&mut log, by_system).await.unwrap(), events);
    // It is made anew once.
    assert!(sidecar.authorize("first", "articles.create").await.allowed);
    assert_eq!(all(&sidecar).await.len(), 2);
    drop(log);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_batch_is_an_event_for_each_key_and_a_dry_run_is_none() {
    let sidecar = Sidecar::start();
    let (caller, text) = create_in(&sidecar, "super_admin", "web").await;
    let mut victims = Vec::new();
    for _ in 0..5 {
        victims.push(create_in(&sidecar, "writer", "web").await.0);
    }
    let (foreign, _) = create_in(&sidecar, "writer", "apps").await;
    let ids = victims.iter().chain([&foreign]).map(|key| key.id.clone());
    let mut ids: Vec<_> = ids.collect();
    ids.push("0000000000".into());
    for dry_run in [true, false] {
        let batch = BatchRevokeApiKeysRequest { ids: ids.clone(), dry_run };
        let mut request = Request::new(batch);
        request.metadata_mut().insert("x-request-id", "batch-7".parse().unwrap());
        let mut keys = sidecar.keys_as(&text).await;
        let answer = keys.batch_revoke_api_keys(request).await.unwrap().into_inner();
        assert_eq!(answer.revoked_count, 5);
        if dry_run {
            assert_eq!(all(&sidecar).await.len(), 7);
        }
    }
    let of_batch = AuditFilter { request_id: "batch-7".into(), ..Default::default() };
    let events = list(&mut audit(&sidecar).await, of_batch).await.unwrap();
    assert_eq!(events.len(), 7);
    for event in &events {
        assert_eq!((event.kind(), &event.actor), (Kind::Revoke, &format!("key:{}", caller.id)));
        assert_eq!(event.after, None);
        let victim = victims.iter().find(|key| key.id == event.key_id);
        match (victim, &event.refusal) {
            (Some(victim), None) => {
                let before = event.before.clone().unwrap();
                assert_eq!(without_usage(before), without_usage(victim.clone()));
            }
            (None, Some(refusal)) => {
                assert_eq!((refusal.code, event.team.as_str()), (5, "web"));
                assert_eq!(event.before, None);
            }
            other => panic!("{other:?}"),
        }
    }
    sidecar.finish().await;
}
