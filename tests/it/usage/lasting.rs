//! Use outlives an orderly stop to the last call, and every change of its key; it
//! ends with the key.

use octavia_authz::pb::v1::{
    ApiKey, GetApiKeyRequest, ImportedKey, KeyStatus, RevokeApiKeyRequest, UpdateApiKeyRequest,
    imported_key::Digest,
};
use prost_types::{FieldMask, Timestamp};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::{
    ALLOWED, DENIED, Use, asks, counted, foreign, get, import, list, millis, now, rotate, shown,
    tick,
};
use crate::sidecar::Sidecar;

/// So long that only the stop flushes.
const NEVER: [&str; 2] = ["--usage-flush-interval", "1h"];

async fn update(sidecar: &Sidecar, id: &str, path: &str, values: ApiKey) -> ApiKey {
    let request = UpdateApiKeyRequest {
        id: id.into(),
        api_key: Some(values),
        update_mask: Some(FieldMask { paths: vec![path.into()] }),
        ..Default::default()
    };
    sidecar.keys().await.update_api_key(request).await.unwrap().into_inner().api_key.unwrap()
}

async fn revoke(sidecar: &Sidecar, id: &str) -> ApiKey {
    let request = RevokeApiKeyRequest { id: id.into(), ..Default::default() };
    sidecar.keys().await.revoke_api_key(request).await.unwrap().into_inner().api_key.unwrap()
}

#[tokio::test]
async fn an_orderly_stop_loses_no_use() {
    let dir = TempDir::new().unwrap();
    let sidecar = Sidecar::start_on(dir.path(), &NEVER);
    let mut texts = Vec::new();
    for calls in 0..5 {
        let (key, text) = sidecar.create("writer").await;
        for call in 0..calls {
            sidecar.authorize(&text, if call % 2 == 0 { ALLOWED } else { DENIED }).await;
        }
        texts.push((key.id, text));
    }
    let (id, old) = &texts[4];
    let new = rotate(&sidecar, id, 3600).await.key;
    sidecar.authorize(&new, ALLOWED).await;
    tick();
    sidecar.authorize(old, ALLOWED).await;
    let before = list(&sidecar, "").await;
    let counts: Vec<_> = before.iter().map(|key| key.allowed_count + key.denied_count).collect();
    assert_eq!(counts.iter().sum::<u64>(), 1 + 2 + 3 + 4 + 2);
    let mut sidecar = sidecar;
    for _ in 0..2 {
        sidecar.finish().await;
        sidecar = Sidecar::start_on(dir.path(), &NEVER);
        assert_eq!(list(&sidecar, "").await, before);
    }
    // And again, on top of what was there.
    sidecar.authorize(&new, ALLOWED).await;
    let last = get(&sidecar, id).await;
    assert_eq!(last.allowed_count, 5);
    sidecar.finish().await;
    let sidecar = Sidecar::start_on(dir.path(), &NEVER);
    assert_eq!(get(&sidecar, id).await, last);
    sidecar.finish().await;
}

#[tokio::test]
async fn what_is_answered_while_the_sidecar_stops_is_counted_too() {
    let dir = TempDir::new().unwrap();
    let args = [&NEVER[..], &["--drain-timeout", "300ms"]].concat();
    let sidecar = Sidecar::start_on(dir.path(), &args);
    let (key, text) = sidecar.create("writer").await;
    let mut client = sidecar.authorization().await;
    let (questions, asked) = mpsc::channel(1);
    let asking = tokio::spawn(async move {
        let mut sent = 0_u64;
        while questions.send(asks(&text, ALLOWED)).await.is_ok() {
            sent += 1;
        }
        sent
    });
    let mut answers =
        client.stream_authorize(ReceiverStream::new(asked)).await.unwrap().into_inner();
    let mut answered = 0;
    while let Ok(Some(answer)) = answers.message().await {
        assert!(answer.allowed);
        answered += 1;
        if answered == 20 {
            sidecar.terminate();
        }
    }
    drop((answers, client));
    sidecar.finish_after_stop().await;
    let sent = asking.await.unwrap();
    assert!(answered > 20, "none was answered after SIGTERM");
    let sidecar = Sidecar::start_on(dir.path(), &NEVER);
    let known = shown(&sidecar, &key.id).await;
    assert!((answered..=sent).contains(&known.allowed), "{answered} {known:?} {sent}");
    sidecar.finish().await;
}

#[tokio::test]
async fn no_change_of_a_key_takes_its_use_back() {
    let dir = TempDir::new().unwrap();
    let mut sidecar = Sidecar::start_on(dir.path(), &[]);
    let (key, text) = sidecar.create("writer").await;
    let id = &key.id;
    assert_eq!(Use::of(&key).since, millis(key.create_time.unwrap()));
    sidecar.authorize(&text, ALLOWED).await;
    sidecar.authorize(&text, DENIED).await;
    let before = counted(&sidecar, id, (1, 1)).await;
    let with = |status: KeyStatus| ApiKey { status: status.into(), ..Default::default() };
    let named = ApiKey { name: "renamed".into(), ..Default::default() };
    let editor = ApiKey { role: "editor".into(), ..Default::default() };
    for (path, values) in [
        ("name", named),
        ("role", editor),
        ("status", with(KeyStatus::Inactive)),
        ("status", with(KeyStatus::Active)),
        ("expire_time", ApiKey::default()),
    ] {
        let updated = update(&sidecar, id, path, values).await;
        assert_eq!(Use::of(&updated), before, "{path}");
        assert_eq!(shown(&sidecar, id).await, before, "{path}");
    }
    let rotated = rotate(&sidecar, id, 3600).await;
    let known = shown(&sidecar, id).await;
    assert_eq!(known, Use { secrets: vec![(2, None), (1, before.last)], ..before.clone() });
    assert_eq!(Use::of(&rotated.api_key.unwrap()), known);
    sidecar.finish().await;
    sidecar = Sidecar::start_on(dir.path(), &[]);
    assert_eq!(shown(&sidecar, id).await, known);
    tick();
    sidecar.authorize(&rotated.key, ALLOWED).await;
    let used = shown(&sidecar, id).await;
    assert!(used.last > known.last && used.counts() == (2, 1), "{known:?} {used:?}");
    // Without its first secret the key's own use stays.
    let rotated = rotate(&sidecar, id, 0).await.api_key.unwrap();
    assert_eq!(Use::of(&rotated), Use { secrets: vec![(3, None)], ..used.clone() });
    sidecar.finish().await;
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    assert_eq!(shown(&sidecar, id).await, Use { secrets: vec![(3, None)], ..used });
    sidecar.finish().await;
}

#[tokio::test]
async fn a_revoked_keys_use_is_gone_and_an_id_that_is_imported_again_starts_anew() {
    let dir = TempDir::new().unwrap();
    let mut sidecar = Sidecar::start_on(dir.path(), &[]);
    let (key, text) = sidecar.create("writer").await;
    let (kept, kept_text) = sidecar.create("writer").await;
    sidecar.authorize(&kept_text, ALLOWED).await;
    for restarts in [false, true, false] {
        sidecar.authorize(&text, ALLOWED).await;
        sidecar.authorize(&text, DENIED).await;
        let used = counted(&sidecar, &key.id, (1, 1)).await;
        revoke(&sidecar, &key.id).await;
        let request = GetApiKeyRequest { id: key.id.clone() };
        let status = sidecar.keys().await.get_api_key(request).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        let late = sidecar.authorize(&text, ALLOWED).await;
        assert!(!late.allowed);
        if restarts {
            sidecar.finish().await;
            sidecar = Sidecar::start_on(dir.path(), &[]);
        }
        let started = tick();
        let digest = Some(Digest::Blake3(blake3::hash(text.as_bytes()).to_hex().to_string()));
        let again = ImportedKey { id: key.id.clone(), digest, ..foreign("again") };
        import(&sidecar, vec![again]).await;
        let new = get(&sidecar, &key.id).await;
        let shown = shown(&sidecar, &key.id).await;
        assert_eq!((shown.counts(), shown.last, &*shown.secrets), ((0, 0), None, &[(1, None)][..]));
        assert_eq!(shown.since, millis(new.import_time.unwrap()));
        assert!(shown.since >= started && used.last.unwrap() < started);
    }
    assert_eq!(counted(&sidecar, &kept.id, (1, 0)).await.since, millis(kept.create_time.unwrap()));
    sidecar.finish().await;
}

#[tokio::test]
async fn an_imported_key_shows_the_last_use_that_it_came_with_until_it_is_used() {
    let dir = TempDir::new().unwrap();
    let mut sidecar = Sidecar::start_on(dir.path(), &[]);
    let at = |millis: i64| Some(Timestamp { seconds: millis / 1000, nanos: 0 });
    let long_ago = 1_600_000_000_000;
    let keys = vec![
        ImportedKey { last_used_time: at(long_ago), ..foreign("used") },
        ImportedKey { create_time: at(long_ago), ..foreign("old") },
    ];
    let started = now();
    import(&sidecar, keys).await;
    for restart in [false, true] {
        if restart {
            sidecar.finish().await;
            sidecar = Sidecar::start_on(dir.path(), &[]);
        }
        let keys = list(&sidecar, "name desc").await;
        let [used, old] = keys.as_slice() else { panic!("{keys:?}") };
        assert_eq!(Use::of(used).last, Some(long_ago));
        assert_eq!(Use::of(old).last, None);
        for key in [used, old] {
            let shown = Use::of(key);
            assert_eq!((shown.counts(), shown.secret(1)), ((0, 0), None));
            // What was before it came may be missing.
            assert_eq!(shown.since, millis(key.import_time.unwrap()));
            assert!(shown.since >= started);
        }
    }
    let id = sidecar.authorize("used", ALLOWED).await.key_id;
    let used = counted(&sidecar, &id, (1, 0)).await;
    assert!(used.last.unwrap() >= started && used.secret(1) == used.last);
    // The same import says nothing new.
    let again = ImportedKey { last_used_time: at(long_ago + 1000), ..foreign("used") };
    let messages =
        [octavia_authz::pb::v1::ImportApiKeysRequest { keys: vec![again], dry_run: false }];
    let mut keys = sidecar.keys().await;
    let answers = keys.import_api_keys(tokio_stream::iter(messages)).await.unwrap();
    assert_eq!(answers.into_inner().message().await.unwrap().unwrap().existing_count, 1);
    assert_eq!(shown(&sidecar, &id).await, used);
    sidecar.finish().await;
}
